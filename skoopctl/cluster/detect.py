"""Detect what carries a cluster's traffic: network plugin, underlay interface, proxy mode, iptables backend.

Each answer comes with the facts that it rests on, in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from skoopctl.cluster.cluster import Cluster
from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.route import Route, RouteType

Interface = IPv4Interface | IPv6Interface

_MAIN = 254
_BIRD = 12
_RULE_ITEMS = ("iptables-nft", "iptables-legacy", "nft")


class NetworkPlugin(StrEnum):
    """What connects pods across nodes."""

    FLANNEL_VXLAN = "flannel-vxlan"
    FLANNEL_HOST_GW = "flannel-host-gw"
    CALICO = "calico"
    CILIUM = "cilium"
    UNKNOWN = "unknown"


class ProxyMode(StrEnum):
    """How kube-proxy implements services."""

    IPTABLES = "iptables"
    NFTABLES = "nftables"
    IPVS = "ipvs"
    NONE = "none"
    UNKNOWN = "unknown"


class IptablesBackend(StrEnum):
    """Where iptables rules are kept."""

    NFT = "nft"
    LEGACY = "legacy"
    BOTH = "both"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """What was detected on one host. ``reasons`` are the facts, in the order of the fields.

    ``underlay`` is the interface that carries traffic between nodes (empty: not found).
    """

    host: str
    plugin: NetworkPlugin
    underlay: str
    proxy_mode: ProxyMode
    backend: IptablesBackend
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterNetwork:
    """What was detected on all hosts; plugin and proxy mode are those of most hosts that tell."""

    hosts: Mapping[str, HostNetwork]
    plugin: NetworkPlugin
    proxy_mode: ProxyMode
    disagreements: tuple[str, ...] = ()


def detect(hosts: Mapping[str, Host], cluster: Cluster | None = None) -> ClusterNetwork:
    """Detect the network of a cluster. Hosts that do not look like nodes tell nothing and do no harm."""
    bridges = {name: _bridge_networks(host.root_netns) for name, host in hosts.items()}
    found = {
        name: _detect_host(
            host.root_netns, [n for other, nets in bridges.items() if other != name for n in nets], cluster
        )
        for name, host in hosts.items()
    }
    plugins = Counter(h.plugin for h in found.values() if h.plugin is not NetworkPlugin.UNKNOWN)
    silent = {ProxyMode.UNKNOWN, ProxyMode.NONE}
    modes = Counter(h.proxy_mode for h in found.values() if h.proxy_mode not in silent)
    nothing = ProxyMode.UNKNOWN if any(h.proxy_mode is ProxyMode.UNKNOWN for h in found.values()) else None
    return ClusterNetwork(
        found,
        plugins.most_common(1)[0][0] if plugins else NetworkPlugin.UNKNOWN,
        modes.most_common(1)[0][0] if modes else nothing or ProxyMode.NONE,
        (
            *_disagreement("network plugin", plugins.most_common()),
            *_disagreement("proxy mode", modes.most_common()),
        ),
    )


def _disagreement(what: str, counts: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    listed = [f"{number} hosts {value}" for value, number in counts]
    return (f"{what} differs: {', '.join(listed)}",) if len(listed) > 1 else ()


def _detect_host(netns: NetNamespace, elsewhere: list[Interface], cluster: Cluster | None) -> HostNetwork:
    reasons: list[str] = []
    gateways = _host_gateway_routes(netns, elsewhere, cluster)
    plugin, why = _plugin(netns, gateways)
    reasons += why
    underlay, why = _underlay(netns, plugin, gateways, cluster)
    reasons += why
    mode, why = _proxy_mode(netns)
    reasons += why
    backend, why = _backend(netns.iptables)
    reasons += why
    return HostNetwork(netns.host, plugin, underlay, mode, backend, tuple(reasons))


# --- network plugin ---------------------------------------------------------------------------------------


def _plugin(netns: NetNamespace, gateways: list[Route]) -> tuple[NetworkPlugin, list[str]]:
    links = sorted(netns.links.values(), key=lambda link: link.index)
    cilium = [link.name for link in links if link.name.startswith(("cilium_", "lxc"))]
    if any(name.startswith("cilium_") for name in cilium):
        return NetworkPlugin.CILIUM, [f"devices {_few(cilium)}"]
    calico = [link.name for link in links if link.name.startswith(("cali", "vxlan.calico"))]
    chains = [c for t in netns.iptables for c in t.chains if c.startswith("cali-")]
    if calico or chains:
        facts = [f"devices {_few(calico)}"] if calico else []
        return NetworkPlugin.CALICO, facts + ([f"chains {_few(chains)}"] if chains else [])
    flannel = [link for link in links if link.kind == "vxlan" and link.name.startswith("flannel")]
    if flannel:
        return NetworkPlugin.FLANNEL_VXLAN, [f"device {_vxlan_words(flannel[0])}"]
    if gateways:
        return NetworkPlugin.FLANNEL_HOST_GW, [f"route {route.text}" for route in gateways[:2]]
    return NetworkPlugin.UNKNOWN, []


def _vxlan_words(link: Link) -> str:
    vxlan = link.vxlan
    return f"{link.name} (vxlan id {vxlan.vni}, UDP port {vxlan.port})" if vxlan else link.name


def _host_gateway_routes(
    netns: NetNamespace, elsewhere: list[Interface], cluster: Cluster | None
) -> list[Route]:
    """Return routes that lead straight to another node for the pods behind it."""
    pods = {str(i.network) for i in elsewhere}
    nodes: set[str] = set()
    for node in cluster.nodes.values() if cluster else ():
        pods.update(node.pod_cidrs)
        nodes.update(node.ips())
    if not _bridge_networks(netns):
        return []
    return [
        route
        for route in netns.routes
        if route.type is RouteType.UNICAST
        and route.table == _MAIN
        and route.protocol != _BIRD
        and str(route.destination) in pods
        and any(hop.gateway and (not nodes or str(hop.gateway) in nodes) for hop in route.next_hops)
    ]


def _bridge_networks(netns: NetNamespace) -> list[Interface]:
    """Return the addresses of bridges: pods stand behind those of flannel and of the bridge plugin."""
    return [
        ip_interface(f"{a.ip}/{a.prefixlen}")
        for a in netns.addresses
        if not a.ip.is_link_local
        and (link := netns.links.get(a.index)) is not None
        and link.kind == "bridge"
        and not link.name.startswith("docker")
    ]


# --- underlay interface -----------------------------------------------------------------------------------


def _underlay(
    netns: NetNamespace, plugin: NetworkPlugin, gateways: list[Route], cluster: Cluster | None
) -> tuple[str, list[str]]:
    for link in netns.links.values():
        if link.vxlan is None or plugin is NetworkPlugin.UNKNOWN:
            continue
        lower = netns.links.get(link.vxlan.lower) or _holder(netns, link.vxlan.local)
        if lower is not None:
            return lower.name, [f"{link.name} sends over {lower.name}"]
    nodes = {ip: n.name for n in cluster.nodes.values() for ip in n.ips()} if cluster else {}
    for address in netns.addresses:
        if str(address.ip) in nodes and address.index in netns.links:
            name = netns.links[address.index].name
            return name, [f"{name} has the InternalIP {address.ip} of node {nodes[str(address.ip)]}"]
    defaults = (r for r in netns.routes if r.table == _MAIN and r.destination.prefixlen == 0)
    for route in (*gateways, *defaults):
        found = netns.links.get(route.next_hops[0].index) if route.next_hops else None
        if found is not None:
            return found.name, [f"route {route.text}"]
    return "", []


def _holder(netns: NetNamespace, ip: str) -> Link | None:
    index = next((a.index for a in netns.addresses if str(a.ip) == ip), 0)
    return netns.links.get(index)


# --- service proxy ----------------------------------------------------------------------------------------


def _proxy_mode(netns: NetNamespace) -> tuple[ProxyMode, list[str]]:
    """IPVS mode keeps KUBE-SERVICES beside it, and a switch of mode may leave chains: so this order."""
    if netns.ipvs_services or netns.link_named("kube-ipvs0"):
        return ProxyMode.IPVS, ["IPVS has virtual services" if netns.ipvs_services else "device kube-ipvs0"]
    for table in netns.nft:
        if table.name == "kube-proxy" and table.family in {"ip", "ip6"} and table.chains:
            return ProxyMode.NFTABLES, [f"nftables table {table.family} kube-proxy"]
    for rules in netns.iptables:
        chain = rules.chains.get("KUBE-SERVICES")
        if rules.name == "nat" and chain is not None and chain.rules:
            return ProxyMode.IPTABLES, [f"chain KUBE-SERVICES in nat with {len(chain.rules)} rules"]
    missing = [name for name in _RULE_ITEMS if name in netns.gaps]
    if missing:
        return ProxyMode.UNKNOWN, [f"{missing[0]} was not read: {netns.gaps[missing[0]]}"]
    return ProxyMode.NONE, []


def _backend(tables: Iterable[Table]) -> tuple[IptablesBackend, list[str]]:
    counts: Counter[Backend] = Counter()
    for table in tables:
        counts[table.backend] += sum(len(chain.rules) for chain in table.chains.values())
    used = [backend for backend, rules in counts.items() if rules]
    if not used:
        return IptablesBackend.NONE, []
    reasons = [f"{counts[backend]} iptables rules in the {backend} backend" for backend in used]
    return (IptablesBackend.BOTH if len(used) > 1 else IptablesBackend(used[0].value)), reasons


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
