"""The walk agrees with every connect() that was recorded on a cluster with a real kube-proxy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import pytest

from skoopctl.dataplane.edit import edit_netns
from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow, PathResult, Verdict
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.netns import NetNamespace
from tests.support import recorded

MODES = ("iptables", "nftables")
SOURCES = (
    "pod-tools-a",
    "pod-tools-b",
    "pod-web-a",
    "pod-web-b",
    "pod-local-a",
    "pod-db-0",
    "node1-c4",
    "node2-c4",
    "master-c4",
    "sw",
)
ROWS = 39
"""How many destinations each source was recorded for: no row may go missing."""
AGENTS = {"agent-0": "master-c4", "agent-1": "node1-c4", "agent-2": "node2-c4"}
"""Responders that listen on the nodes themselves."""


@dataclass(frozen=True)
class Cluster:
    """A recording with the network made of it once."""

    recording: recorded.Recorded
    network: Network

    def walk(self, row: recorded.TruthRow) -> PathResult:
        """Walk the flow of one row."""
        host, inode, address = self.recording.sources[row.source]
        return walk(self.network, Flow(address, row.address, row.protocol, row.port), (host, inode))


@lru_cache
def cluster(mode: str) -> Cluster:
    """Load one recording."""
    recording = recorded.load(mode)
    return Cluster(recording, Network(Topology(recording.hosts)))


def disagreements(where: Cluster, rows: list[recorded.TruthRow]) -> list[str]:
    """Return a line for each row in which the walk and the recording differ."""
    return [f"{row}: {problem}" for row in rows if (problem := disagreement(row, where.walk(row)))]


def disagreement(row: recorded.TruthRow, result: PathResult) -> str:
    """Say how a walk differs from what was recorded, or ''."""
    if result.verdict is Verdict.UNKNOWN or result.unknowns:
        return f"UNKNOWN: {result.unknowns}"
    outcomes = {branch.outcome.value for branch in result.branches}
    if outcomes != {row.outcome}:
        return f"the walk says {sorted(outcomes)}"
    if row.outcome != "connected":
        return ""
    who = (AGENTS[row.responder], "host") if row.responder in AGENTS else ("", row.responder)
    answers = [b for b in result.branches if b.responder == who[1] and b.responder_netns is not None]
    if who[0]:
        answers = [b for b in answers if b.responder_netns is not None and b.responder_netns[0] == who[0]]
    if not answers:
        return f"answered by {[b.responder for b in result.branches]}"
    seen = {branch.seen_source for branch in answers}
    return "" if seen == {row.seen_source} else f"the responder sees {sorted(seen)}"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("mode", MODES)
def test_every_recorded_flow_ends_as_it_did(mode: str, source: str) -> None:
    """Outcome, responder and the source that it saw are those of the real connect(), and nothing is UNKNOWN."""
    where = cluster(mode)
    rows = [row for row in where.recording.truth if row.source == source]
    assert len(rows) == ROWS
    assert disagreements(where, rows) == []


@pytest.mark.parametrize("mode", MODES)
def test_no_source_of_the_recording_is_left_out(mode: str) -> None:
    """The sources above are all sources of the recording."""
    assert {row.source for row in cluster(mode).recording.truth} == set(SOURCES)


# --- IPVS ----------------------------------------------------------------------------------------------------
#
# The node in IPVS mode was recorded without pods, so there is no truth of its own: its rules, sets, services and
# addresses are put in the place of node1-c4's in the iptables recording, and the rows are those of that mode.

NO_SUCH_PORT = ("10.96.10.1", 81)
"""iptables mode lets it go to nowhere (timeout); IPVS mode rejects what is for an address of KUBE-IPVS-IPS."""
LOCAL_POLICY = {("192.168.3.86", 30081): "192.168.3.86", ("192.168.3.86", 30444): "192.168.3.86"}
LOCAL_POLICY |= {("198.51.100.11", 443): "198.51.100.11"}
"""The node asks itself for a service with the policy Local: IPVS mode does not masquerade it, so the pod sees
the address that the client took, which is the one that it asked for."""


def in_ipvs_mode(row: recorded.TruthRow) -> recorded.TruthRow:
    """Return what a row is when node1-c4 is in IPVS mode, by kube-proxy's rules for it."""
    where = row.address, row.port
    on_node1 = row.source in {"node1-c4", "pod-tools-a", "pod-web-a", "pod-local-a"}
    if on_node1 and where == NO_SUCH_PORT:
        return replace(row, outcome="refused")
    if row.source == "node1-c4" and where in LOCAL_POLICY:
        return replace(row, seen_source=LOCAL_POLICY[where])
    return row


@lru_cache
def ipvs_cluster() -> Cluster:
    """Load the recording with a node in IPVS mode."""
    recording = recorded.load_ipvs()
    return Cluster(recording, Network(Topology(recording.hosts)))


@pytest.mark.parametrize("source", SOURCES)
def test_a_node_in_ipvs_mode_does_as_one_in_iptables_mode(source: str) -> None:
    """Nothing is UNKNOWN, and each flow ends as in iptables mode, but for what kube-proxy does differently."""
    where = ipvs_cluster()
    rows = [in_ipvs_mode(row) for row in where.recording.truth if row.source == source]
    assert len(rows) == ROWS
    assert disagreements(where, rows) == []


def test_the_modes_differ_where_they_are_said_to() -> None:
    """The rows that are written down as different are, and they are few."""
    truth = ipvs_cluster().recording.truth
    changed = [row for row in truth if in_ipvs_mode(row) != row]
    assert len(changed) == 7
    assert len(disagreements(ipvs_cluster(), changed)) == 7


def test_services_are_balanced_by_ipvs_and_not_by_rules() -> None:
    """The walk through the node in IPVS mode names the service and the server that IPVS took."""
    where = ipvs_cluster()
    row = next(r for r in where.recording.truth if (r.source, r.address) == ("pod-tools-a", "10.96.10.1"))
    for branch in where.walk(row).branches:
        texts = [e.text for step in branch.forward.steps for e in step.evidence if e.kind.startswith("ipvs")]
        assert texts[0] == "-A -t 10.96.10.1:80 -s rr"
        assert texts[1].startswith("-a -t 10.96.10.1:80 -r 10.244.")


DROP_VXLAN = "*filter\n:INPUT ACCEPT\n-A INPUT -s 192.168.3.87/32 -j DROP\nCOMMIT\n"


def with_drop(netns: NetNamespace) -> NetNamespace:
    """Add the manual's example: a rule that drops whatever another node sends."""
    dump = decode_iptables_save(DROP_VXLAN, family=4, backend=Backend.LEGACY)
    return replace(netns, iptables=(*netns.iptables, *dump.tables))


@pytest.mark.parametrize("mode", MODES)
def test_a_broken_node_disagrees_with_the_recording(mode: str) -> None:
    """With a DROP rule on node1-c4, flows from pods of node2-c4 to it fail, and no others do."""
    healthy = cluster(mode)
    hosts = healthy.recording.hosts
    broken = edit_netns(hosts, ("node1-c4", hosts["node1-c4"].root), with_drop)
    where = replace(healthy, network=Network(Topology(broken)))
    rows = [
        row
        for row in healthy.recording.truth
        if row.source in {"pod-tools-b", "pod-tools-a"}
        and row.address == "10.244.1.10"
        and row.protocol == "tcp"
    ]
    lost = disagreements(where, rows)
    assert lost
    assert all("source='pod-tools-b'" in line and "timeout" in line for line in lost)
