"""From a bundle's raw evidence to a `Snapshot`: decode every host and every object once."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from skoopctl.checks.diagnosis import Coverage, Detected, HostCoverage
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import load_cluster
from skoopctl.cluster.detect import ClusterNetwork, IptablesBackend, NetworkPlugin, ProxyMode, detect
from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.kernel.build import build_host
from skoopctl.kernel.netns import Host

_PLUGIN_WORDS = {
    NetworkPlugin.FLANNEL_VXLAN: "flannel (vxlan)",
    NetworkPlugin.FLANNEL_HOST_GW: "flannel (host-gw)",
    NetworkPlugin.CALICO: "calico",
    NetworkPlugin.CILIUM: "cilium",
    NetworkPlugin.UNKNOWN: "",
}


def snapshot_of(bundle: Bundle) -> Snapshot:
    """Decode a bundle. Hosts without evidence are in the coverage and among the absent, never forgotten."""
    hosts = {name: build_host(r.evidence) for name, r in bundle.results.items() if r.collected}
    cluster = load_cluster(bundle.cluster)
    return Snapshot(
        hosts=hosts,
        cluster=cluster,
        coverage=_coverage(bundle, hosts),
        detected=in_words(detect(hosts, cluster)),
        absent={
            r.address: name for name, r in bundle.results.items() if not r.collected and _is_ip(r.address)
        },
        collected_at=bundle.created.isoformat(timespec="seconds"),
    )


def in_words(network: ClusterNetwork) -> Detected:
    """Say what was detected in words for people; empty where nothing tells."""
    nodes = network.hosts.values()
    used: set[IptablesBackend] = {n.backend for n in nodes if n.backend is not IptablesBackend.NONE}
    silent = {ProxyMode.UNKNOWN, ProxyMode.NONE}
    return Detected(
        network_plugin=_PLUGIN_WORDS[network.plugin],
        underlay_interfaces=tuple(dict.fromkeys(n.underlay for n in nodes if n.underlay)),
        proxy_mode="" if network.proxy_mode in silent else network.proxy_mode.value,
        backend=_backend_words(used),
    )


def _backend_words(used: set[IptablesBackend]) -> str:
    if len(used) > 1 or IptablesBackend.BOTH in used:
        return "iptables-nft and iptables-legacy"
    return next((backend.value for backend in used), "")


def _coverage(bundle: Bundle, hosts: Mapping[str, Host]) -> Coverage:
    rows = tuple(_host_coverage(name, record, hosts) for name, record in bundle.results.items())
    if bundle.cluster_problem:
        api = bundle.cluster_problem
    elif bundle.cluster:
        api = "ok"
    else:
        api = "not asked"
    return Coverage(rows, api, bundle.redacted)


def _host_coverage(name: str, record: HostRecord, hosts: Mapping[str, Host]) -> HostCoverage:
    host = hosts.get(name)
    gaps = dict.fromkeys(f"{gap.part}: {gap.status}: {gap.detail}" for gap in host.gaps) if host else ()
    return HostCoverage(
        name, record.status.value, record.detail, tuple(gaps), record.elapsed_s, record.began_s
    )


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
