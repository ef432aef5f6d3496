"""Tables of the kernel that have an end: conntrack's and the neighbours'."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Finding, Where
from skoopctl.checks.inspections.registry import Inspected, Noted, inspection
from skoopctl.dataplane.journey import sysctl_evidence
from skoopctl.kernel.neighbour import NeighbourState
from skoopctl.kernel.netns import Host

_CONNTRACK = "net/netfilter/nf_conntrack"
_NEIGHBOURS = "net/ipv4/neigh/default/gc_thresh3"


@inspection("conntrack", "how full conntrack's table is on each node")
def conntrack(inspected: Inspected) -> Iterator[Noted]:
    """Compare nf_conntrack_count with nf_conntrack_max; a node that counts nothing has no conntrack loaded."""
    hosts = inspected.snapshot.hosts
    told = 0
    for host in hosts.values():
        sysctls = host.root_netns.sysctls
        used, most = sysctls.integer(f"{_CONNTRACK}_count"), sysctls.integer(f"{_CONNTRACK}_max")
        told += "sysctl" not in host.root_netns.gaps
        if used is not None and most:
            limit = inspected.threshold("conntrack-usage")
            yield from _filling(host, "conntrack-table", used, most, limit, f"{_CONNTRACK}_max")
    inspected.count("nodes", told, len(hosts))


@inspection("neighbours", "how full the neighbour table is on each node")
def neighbours(inspected: Inspected) -> Iterator[Noted]:
    """Count learned entries of all namespaces: the table is one for the node (neigh_alloc)."""
    hosts = inspected.snapshot.hosts
    told = 0
    for host in hosts.values():
        most = host.root_netns.sysctls.integer(_NEIGHBOURS)
        told += most is not None and "neigh" not in host.root_netns.gaps
        if most:
            limit = inspected.threshold("neighbour-usage")
            yield from _filling(host, "neighbour-table", learned_neighbours(host), most, limit, _NEIGHBOURS)
    inspected.count("nodes", told, len(hosts))


def learned_neighbours(host: Host) -> int:
    """Count what gc_thresh3 limits: permanent entries and proxies do not count."""
    return sum(
        entry.ip.version == 4 and entry.state is not NeighbourState.PERMANENT and not entry.proxy
        for netns in host.namespaces.values()
        for entry in netns.neighbours
    )


def _filling(host: Host, table: str, used: int, most: int, limit: float, path: str) -> Iterator[Noted]:
    if used < limit * most:
        return
    doc = DOCS[f"{table}-full" if used >= most else f"{table}-filling"]
    what = table.removesuffix("-table")
    summary = f"{host.name} has {used:,} of {most:,} {what} entries ({used / most:.0%})"
    evidence = (sysctl_evidence(host.root_netns, path),)
    yield Noted(Finding(doc.id, doc.severity, Where(host.name, "host"), summary, evidence, doc.why))
