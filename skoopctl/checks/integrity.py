"""Findings about the evidence itself: what of the nodes on the path could not be read, or cannot be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Confidence, Finding, Where
from skoopctl.checks.rule_integrity import rule_findings
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.journey import sysctl_evidence
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Evidence, PathResult
from skoopctl.kernel.neighbour import NeighbourState
from skoopctl.kernel.netns import Host, NetNamespace

FAR_APART_S = 120
"""A run asks all its nodes within a minute or two; dumps that are further apart are of different times."""
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
    nodes = dict.fromkeys(node for node, _ in _visited(path))
    yield from clocks_apart(nodes, snapshot)
    for node in nodes:
        if node in snapshot.hosts:
            yield from _full_neighbours(snapshot.hosts[node])
    for key, hooks in _visited(path).items():
        if key[0] in snapshot.hosts:
            yield from namespace_findings(key, frozenset(hooks), snapshot)


def namespace_findings(key: NsKey, hooks: frozenset[str], snapshot: Snapshot) -> Iterable[Finding]:
    """Yield what was not read in a namespace, and which of its rules at these hooks cannot be trusted."""
    netns = snapshot.netns(key)
    where = Where(key[0], "host" if netns.is_host else snapshot.labels.get(key, ""))
    yield from _gaps(netns, where)
    yield from _incompatible(netns, where)
    yield from _of_rules(netns, where, hooks, snapshot)


def clocks_apart(nodes: Iterable[str], snapshot: Snapshot) -> Iterable[Finding]:
    """Dumps that were not taken at one time, or by clocks that differ: a walk may join two states."""
    clocks = {name: host.clock_s for name in nodes if (host := snapshot.hosts.get(name)) and host.clock_s}
    if not clocks:
        return
    first, last = min(clocks, key=lambda n: clocks[n]), max(clocks, key=lambda n: clocks[n])
    apart_s = clocks[last] - clocks[first]
    if apart_s <= FAR_APART_S:
        return
    doc = DOCS["dumps-apart"]
    evidence = tuple(
        Evidence(
            "clock", f"{datetime.fromtimestamp(clocks[n], UTC):%Y-%m-%d %H:%M:%S} UTC", "identity", node=n
        )
        for n in (first, last)
    )
    summary = f"By their clocks, the dumps of {first} and {last} are {apart_s:.0f} s apart"
    yield Finding(doc.id, doc.severity, Where(last, "host"), summary, evidence, doc.why)


def _visited(path: PathResult) -> dict[NsKey, set[str]]:
    """Return the namespaces that the flow passes, and the hooks that it passes there."""
    found: dict[NsKey, set[str]] = {}
    for branch in path.branches:
        for walk in branch.walks:
            for step in walk.steps:
                hooks = found.setdefault((step.node, step.netns), set())
                if step.hook:
                    hooks.add(step.hook)
    return found


def _of_rules(
    netns: NetNamespace, where: Where, hooks: frozenset[str], snapshot: Snapshot
) -> tuple[Finding, ...]:
    """Return the findings about a namespace's rules; looked for once, for thousands of flows may pass there."""
    caches = snapshot.network.topology.caches
    key = ("rule findings", netns.host, netns.inode, hooks)
    if key not in caches:
        caches[key] = tuple(rule_findings(netns, where, hooks))
    return caches[key]  # type: ignore[return-value]


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
    if "ipset" in netns.gaps and _asks_sets(netns):
        missing["ipset"] = netns.gaps["ipset"]
    if not missing:
        return
    doc = DOCS["evidence-incomplete"]
    evidence = tuple(
        Evidence("gap", f"{part}: {reason}", part, node=netns.host, netns=netns.inode)
        for part, reason in missing.items()
    )
    summary = f"Not read on {where}: {', '.join(missing)}"
    yield Finding(doc.id, doc.severity, where, summary, evidence, doc.why)


def _asks_sets(netns: NetNamespace) -> bool:
    """Tell whether a rule looks into a set of ipset; without one, unread sets change nothing."""
    chains = (chain for table in netns.iptables for chain in table.chains.values())
    return any(match.module == "set" for chain in chains for rule in chain.rules for match in rule.matches)


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
