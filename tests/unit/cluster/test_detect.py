"""Detecting plugin, underlay, proxy mode and backend."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from skoopctl.cluster.detect import IptablesBackend, NetworkPlugin, ProxyMode, detect
from skoopctl.kernel.iptables import Backend, Chain, Rule, Table
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.route import NextHop, Route
from tests.support.recorded import load


def changed(host: Host, **parts: object) -> Host:
    """Return a host whose root namespace differs in some parts."""
    root = replace(host.root_netns, **parts)  # type: ignore[arg-type]
    return replace(host, namespaces={**host.namespaces, host.root: root})


@pytest.mark.parametrize(
    ("mode", "expected"), [("iptables", ProxyMode.IPTABLES), ("nftables", ProxyMode.NFTABLES)]
)
def test_recorded_clusters(mode: str, expected: ProxyMode) -> None:
    """Flannel's vxlan, its underlay and kube-proxy's mode are found, without the API too."""
    recorded = load(mode)
    for cluster in (recorded.cluster, None):
        found = detect(recorded.hosts, cluster)
        assert (found.plugin, found.proxy_mode) == (NetworkPlugin.FLANNEL_VXLAN, expected)
        assert found.disagreements == ()
        node = found.hosts["node1-c4"]
        assert (node.underlay, node.backend) == ("ens192", IptablesBackend.NFT)
        assert node.reasons[0] == "device flannel.1 (vxlan id 1, UDP port 8472)"
        assert found.hosts["sw"].plugin is NetworkPlugin.UNKNOWN


def host_gateway() -> dict[str, Host]:
    """Return the recorded nodes with routes straight to each other in place of the vxlan device."""
    hosts = {name: host for name, host in load("iptables").hosts.items() if name != "sw"}
    number = {"master-c4": 0, "node1-c4": 1, "node2-c4": 2}
    found = {}
    for name, host in hosts.items():
        root = host.root_netns
        routes = [r for r in root.routes if not any(h.index == 4 for h in r.next_hops)]
        routes += [
            Route(
                254,
                ip_network(f"10.244.{n}.0/24"),
                next_hops=(NextHop(2, ip_address(f"192.168.3.{85 + n}")),),
                text=f"10.244.{n}.0/24 via 192.168.3.{85 + n} dev ens192",
            )
            for other, n in number.items()
            if other != name
        ]
        links = {i: link for i, link in root.links.items() if link.kind != "vxlan"}
        found[name] = changed(host, routes=tuple(routes), links=links)
    return found


def test_host_gateway_routes() -> None:
    """Routes to other nodes' pods over the nodes themselves are host-gw, with or without the API."""
    for cluster in (load("iptables").cluster, None):
        found = detect(host_gateway(), cluster)
        assert found.plugin is NetworkPlugin.FLANNEL_HOST_GW
        assert found.hosts["node1-c4"].underlay == "ens192"
        assert "10.244.0.0/24 via 192.168.3.85" in found.hosts["node1-c4"].reasons[0]


@pytest.mark.parametrize(
    ("device", "plugin"),
    [
        ("cali12ab", NetworkPlugin.CALICO),
        ("cilium_host", NetworkPlugin.CILIUM),
        ("eth7", NetworkPlugin.UNKNOWN),
    ],
)
def test_devices_name_their_plugin(device: str, plugin: NetworkPlugin) -> None:
    """Calico's and cilium's devices are recognised; others say nothing."""
    host = Host("n", 1, {1: NetNamespace("n", 1, links={2: Link(2, device)})})
    assert detect({"n": host}).plugin is plugin


def test_unread_rules_are_not_no_proxy() -> None:
    """A host whose rules were not read has an unknown proxy mode, with the reason."""
    host = Host("n", 1, {1: NetNamespace("n", 1, gaps={"iptables-nft": "denied: not root"})})
    found = detect({"n": host})
    assert found.proxy_mode is ProxyMode.UNKNOWN
    assert found.hosts["n"].reasons == ("iptables-nft was not read: denied: not root",)
    assert detect({"n": Host("n", 1, {1: NetNamespace("n", 1)})}).proxy_mode is ProxyMode.NONE


def test_ipvs_wins_over_the_chains_that_it_keeps() -> None:
    """In IPVS mode KUBE-SERVICES exists too."""
    hosts = load("iptables").hosts
    node = changed(hosts["node1-c4"], ipvs_services=True)
    assert detect({"node1-c4": node}).proxy_mode is ProxyMode.IPVS


def test_two_backends_are_told() -> None:
    """Rules in both backends at once are a fact worth telling."""
    rule = Rule("nat", "X", 1, "-A X -j Y")
    tables = tuple(Table(4, backend, "nat", {"X": Chain("X", None, (rule,))}) for backend in Backend)
    host = Host("n", 1, {1: NetNamespace("n", 1, iptables=tables)})
    found = detect({"n": host}).hosts["n"]
    assert found.backend is IptablesBackend.BOTH
    assert found.reasons == ("1 iptables rules in the legacy backend", "1 iptables rules in the nft backend")


def test_disagreement_is_told() -> None:
    """Hosts in different modes are counted."""
    hosts = {**load("iptables").hosts}
    hosts["node2-c4"] = load("nftables").hosts["node2-c4"]
    found = detect(hosts)
    assert found.proxy_mode is ProxyMode.IPTABLES
    assert found.disagreements == ("proxy mode differs: 2 hosts iptables, 1 hosts nftables",)
