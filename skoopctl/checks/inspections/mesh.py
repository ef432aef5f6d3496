"""Pods of different nodes reach each other, and large packets too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skoopctl.checks.diagnose import Question, walk_between
from skoopctl.checks.finding import Finding
from skoopctl.checks.inspections.members import node_hosts
from skoopctl.checks.inspections.paths import MOST_NAMED, broken_paths, cause_finding, name_of
from skoopctl.checks.inspections.registry import Inspected, Noted, inspection
from skoopctl.checks.mtu import mtu_findings
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.trace import Verdict
from skoopctl.kernel.netns import NetNamespace


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pod that stands for a node: its address, and a TCP port that it listens on (0: none is known)."""

    address: str
    port: int = 0


def pod_of_each_node(snapshot: Snapshot, *, listening: bool = False) -> dict[str, Chosen]:
    """Return a pod for each node that has one, a ready pod of the API first; with ``listening``, one with a port."""
    found: dict[str, Chosen] = {}
    for address in _pod_addresses(snapshot):
        owner = snapshot.owner(address)
        if owner is None or owner[0] in found or snapshot.netns(owner).is_host:
            continue
        port = _listens_on(snapshot.netns(owner))
        if port or not listening:
            found[owner[0]] = Chosen(address, port)
    return found


def _pod_addresses(snapshot: Snapshot) -> Iterator[str]:
    for pod in sorted(snapshot.cluster.pods.values(), key=lambda p: (not p.ready, p.namespace, p.name)):
        if not pod.host_network and not pod.terminated:
            yield from pod.ips[:1]
    for host in snapshot.hosts.values():
        for netns in host.namespaces.values():
            if not netns.is_host and netns.pod_uids:
                ips = (a.ip for a in netns.addresses if not a.ip.is_loopback and not a.ip.is_link_local)
                yield from (str(ip) for ip in ips)


def _listens_on(netns: NetNamespace) -> int:
    """Return the lowest TCP port that a pod listens on at all of its addresses."""
    ports = [s.port for s in netns.sockets if s.protocol == "tcp" and int(s.ip) == 0]
    return min(ports, default=0)


def pairs(nodes: list[str], degree: int) -> list[tuple[str, str]]:
    """Return which node is tried with which: each with the next ``degree`` in a ring, in both directions."""
    steps = range(1, min(degree // 2 + degree % 2, len(nodes) - 1) + 1)
    found: dict[tuple[str, str], None] = {}
    for place, node in enumerate(nodes):
        for step in steps:
            other = nodes[(place + step) % len(nodes)]
            found[node, other] = found[other, node] = None
    return list(found)


def _questions(inspected: Inspected, chosen: dict[str, Chosen], protocol: str) -> list[Question]:
    degree = int(inspected.threshold("mesh-degree"))
    return [
        Question(chosen[a].address, chosen[b].address, protocol, chosen[b].port if protocol == "tcp" else 0)
        for a, b in pairs(sorted(chosen), degree)
    ]


@inspection("mesh", "whether pods of different nodes reach each other (an echo request and its reply)")
def mesh(inspected: Inspected) -> Iterator[Noted]:
    """Walk an echo request between one pod of each node and one of some others, in both directions."""
    chosen = pod_of_each_node(inspected.snapshot)
    inspected.count("nodes with pods", len(chosen), len(node_hosts(inspected.snapshot)))
    yield from broken_paths(inspected, _questions(inspected, chosen, "icmp"), "pod to pod paths")


@inspection("nodes", "whether nodes and pods of other nodes reach each other")
def nodes(inspected: Inspected) -> Iterator[Noted]:
    """Walk an echo request from each node to a pod of some others, and back from that pod to the node."""
    chosen = pod_of_each_node(inspected.snapshot)
    degree = int(inspected.threshold("mesh-degree"))
    questions = [
        Question(ends[0], ends[1], "icmp")
        for here, there in pairs(sorted(chosen), degree)
        for ends in ((f"node/{here}", chosen[there].address), (chosen[there].address, f"node/{here}"))
    ]
    yield from broken_paths(inspected, questions, "node to pod paths")


@inspection("mtu", "whether large packets pass between pods of different nodes")
def mtu(inspected: Inspected) -> Iterator[Noted]:
    """Walk connections to a port that a pod listens on, and report places that do not take large packets whole."""
    snapshot = inspected.snapshot
    chosen = pod_of_each_node(snapshot, listening=True)
    questions = _questions(inspected, chosen, "tcp")
    found: dict[object, tuple[Finding, list[str]]] = {}
    for question in questions:
        walked = walk_between(question, snapshot)
        broken = None if walked.path.verdict is Verdict.PASS else cause_finding(walked, snapshot)
        black_hole = [broken] if broken is not None and broken.id == "mtu-black-hole" else []
        for finding in (*black_hole, *mtu_findings(walked.path)):
            key = finding.id, finding.where, finding.evidence[-1:]
            found.setdefault(key, (finding, []))[1].append(name_of(question, snapshot))
    inspected.count("pod to pod connections", len(questions), len(questions))
    inspected.count("nodes with a pod that listens", len(chosen), len(node_hosts(snapshot)))
    for finding, names in found.values():
        yield Noted(finding, tuple(names[:MOST_NAMED]), len(names))
