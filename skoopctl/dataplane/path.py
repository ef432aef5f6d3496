"""The front door of the walk: a flow and the collected hosts in, a `PathResult` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from skoopctl.dataplane.choice import Choices, explore
from skoopctl.dataplane.flow import Question, Transaction, attempt
from skoopctl.dataplane.journey import World
from skoopctl.dataplane.topology import NsKey, Station, Topology
from skoopctl.dataplane.trace import Branch, Disposition, Flow, Outcome, PathResult, Verdict
from skoopctl.dataplane.verdict import branches_of, cannot_decide, conclude, conditions
from skoopctl.errors import TargetError


@dataclass(frozen=True, slots=True)
class Network:
    """The collected network, and the addresses of hosts that should have been in it and are not."""

    topology: Topology
    uncollected: Mapping[int, str] = field(default_factory=dict)


def walk(network: Network, flow: Flow, client: NsKey | None = None) -> PathResult:
    """Walk one flow through all its branches, in both directions.

    ``client`` picks the namespace that connects when the address alone does not (``node/NAME``). Raises
    `TargetError` when the source is nowhere and the walk has no place to begin.
    """
    question = _question(network, flow, client)

    def once(choices: Choices) -> Transaction:
        return attempt(question, World(network.topology, choices, network.uncollected))

    exploration = explore(once, hopeless=cannot_decide)
    conclusion = conclude(exploration)
    branches = branches_of(exploration)
    heaviest = max(branches, key=lambda b: b.weight)
    worst = max((b for b in branches if not b.works), key=lambda b: b.weight, default=heaviest)
    disposition, outcome = conclusion.end or (worst.disposition, _common_outcome(branches))
    if conclusion.verdict is Verdict.UNKNOWN and conclusion.end is None:
        disposition, outcome = Disposition.UNKNOWN, Outcome.UNKNOWN
    assumptions = tuple(dict.fromkeys(a for run in exploration.runs for a in run.result.assumptions))
    netns = question.client
    return PathResult(
        flow=flow,
        verdict=conclusion.verdict,
        disposition=disposition,
        outcome=outcome,
        branches=branches,
        unknowns=conclusion.reasons,
        assumptions=assumptions,
        source_netns=(netns.host, netns.inode) if netns is not None else None,
        conditions=conditions(exploration) if conclusion.verdict is Verdict.UNKNOWN else (),
    )


def _common_outcome(branches: tuple[Branch, ...]) -> Outcome:
    """Return the one outcome of all branches, or unknown when they differ."""
    outcomes = {branch.outcome for branch in branches}
    return outcomes.pop() if len(outcomes) == 1 else Outcome.UNKNOWN


def _question(network: Network, flow: Flow, client: NsKey | None) -> Question:
    topology = network.topology
    source, destination = ip_address(flow.source), ip_address(flow.destination)
    if source.version != destination.version:
        raise TargetError(f"{flow.source} and {flow.destination} are of different IP families")
    if client is None:
        owners = topology.owners(int(source))
        client = owners[0].key if owners else None
    if client is not None:
        netns = topology.netns(client)
        return Question(netns, 0, int(destination), destination.version, flow.protocol, flow.port)
    entry = _entry(topology, int(destination), flow)
    return Question(None, int(source), int(destination), destination.version, flow.protocol, flow.port, entry)


def _entry(topology: Topology, destination: int, flow: Flow) -> Station:
    """Return where a packet from outside comes in: at the host that owns the destination."""
    entries = [s for s in topology.owners(destination) if topology.is_outward(s)]
    if not entries:
        raise TargetError(
            f"{flow.source} was not collected, and which node its packets for {flow.destination} come in by "
            "is decided outside",
            hint="add that host to the inventory, or ask for a node's address as the destination",
        )
    return entries[0]
