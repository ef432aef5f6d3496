"""Findings about the evidence itself: what of the nodes on the path could not be read, or cannot be trusted."""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Confidence, Finding, Where
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.journey import sysctl_evidence
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Evidence, PathResult
from skoopctl.kernel.neighbour import NeighbourState
from skoopctl.kernel.netns import Host, NetNamespace

# What the walk reads. Anything else that is missing changes no verdict.
_READ_BY_WALK = (
    "link",
    "addr",
    "route",
    "rule",
    "neigh",
    "fdb",
    "sysctl",
    "iptables-nft",
    "iptables-legacy",
    "nft",
)


def integrity_findings(path: PathResult, snapshot: Snapshot) -> Iterable[Finding]:
    """Yield what was not read in the namespaces that the flow passes, and which tables are full there."""
    for host in dict.fromkeys(key[0] for key in _visited(path)):
        if host in snapshot.hosts:
            yield from _full_neighbours(snapshot.hosts[host])
    for key in _visited(path):
        if key[0] not in snapshot.hosts:
            continue
        netns = snapshot.netns(key)
        label = "host" if netns.is_host else snapshot.labels.get(key, "")
        yield from _gaps(netns, Where(key[0], label))
        yield from _incompatible(netns, Where(key[0], label))


def _visited(path: PathResult) -> list[NsKey]:
    steps = (step for branch in path.branches for walk in branch.walks for step in walk.steps)
    return list(dict.fromkeys((step.node, step.netns) for step in steps))


def _full_neighbours(host: Host) -> Iterable[Finding]:
    """The table is one for all namespaces; permanent and learned entries do not count (neigh_alloc)."""
    path = "net/ipv4/neigh/default/gc_thresh3"
    limit = host.root_netns.sysctls.integer(path)
    counted = sum(
        n.ip.version == 4 and n.state is not NeighbourState.PERMANENT and not n.proxy
        for netns in host.namespaces.values()
        for n in netns.neighbours
    )
    if limit is None or counted < limit:
        return
    doc = DOCS["neighbour-table-full"]
    where = Where(host.name, "host")
    evidence = (sysctl_evidence(host.root_netns, path),)
    summary = f"{host.name} has {counted} neighbour entries, and the kernel allows {limit}"
    yield Finding(doc.id, doc.severity, where, summary, evidence, doc.why, confidence=Confidence.LIKELY)


def _gaps(netns: NetNamespace, where: Where) -> Iterable[Finding]:
    missing = {part: reason for part, reason in netns.gaps.items() if part in _READ_BY_WALK}
    if not missing:
        return
    doc = DOCS["evidence-incomplete"]
    evidence = tuple(
        Evidence("gap", f"{part}: {reason}", part, node=netns.host, netns=netns.inode)
        for part, reason in missing.items()
    )
    summary = f"Not read on {where}: {', '.join(missing)}"
    yield Finding(doc.id, doc.severity, where, summary, evidence, doc.why)


def _incompatible(netns: NetNamespace, where: Where) -> Iterable[Finding]:
    doc = DOCS["unreadable-rules"]
    for table in netns.iptables:
        if table.incompatible:
            text = f"# Table `{table.name}' is incompatible, use 'nft' tool."
            evidence = (Evidence("gap", text, f"table {table.name}", node=netns.host, netns=netns.inode),)
            summary = (
                f"iptables-save shows nothing of table {table.name} on {where}, and there are rules in it"
            )
            yield Finding(doc.id, doc.severity, where, summary, evidence, doc.why)
