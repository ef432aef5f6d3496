"""From a bundle's raw evidence to a `Snapshot`: decode every host and every object once."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from skoopctl.checks.detect import detect
from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import load_cluster
from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.kernel.build import build_host
from skoopctl.kernel.netns import Host


def snapshot_of(bundle: Bundle) -> Snapshot:
    """Decode a bundle. Hosts without evidence are in the coverage and among the absent, never forgotten."""
    hosts = {name: build_host(r.evidence) for name, r in bundle.results.items() if r.collected}
    cluster = load_cluster(bundle.cluster)
    return Snapshot(
        hosts=hosts,
        cluster=cluster,
        coverage=_coverage(bundle, hosts),
        detected=detect(hosts),
        absent={r.address: name for name, r in bundle.results.items() if not r.collected and _is_ip(r.address)},
        collected_at=bundle.created.isoformat(timespec="seconds"),
    )


def _coverage(bundle: Bundle, hosts: Mapping[str, Host]) -> Coverage:
    rows = tuple(_host_coverage(name, record, hosts) for name, record in bundle.results.items())
    if bundle.cluster_problem:
        api = bundle.cluster_problem
    elif bundle.cluster:
        api = "ok"
    else:
        api = "not asked"
    return Coverage(rows, api)


def _host_coverage(name: str, record: HostRecord, hosts: Mapping[str, Host]) -> HostCoverage:
    host = hosts.get(name)
    gaps = dict.fromkeys(f"{gap.part}: {gap.status}: {gap.detail}" for gap in host.gaps) if host else ()
    return HostCoverage(name, record.status.value, record.detail, tuple(gaps))


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
