"""What watching nodes for a while has shown: of each node the first state, the last, and how it went.

Nothing grows with the number of rounds: two snapshots a node are kept, and the rates between the last two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from skoopctl.bpf.stream import Detached, Said, Setup
from skoopctl.checks.finding import Finding
from skoopctl.errors import SkoopError
from skoopctl.events.anomalies import event_findings
from skoopctl.events.drop_packet import DropKey
from skoopctl.events.dropped import Answer as Blamed
from skoopctl.events.node_events import NodeEvents
from skoopctl.events.thresholds import split_thresholds
from skoopctl.evidence.rounds import Round
from skoopctl.evidence.who import identity_in
from skoopctl.inventory.host import InventoryHost
from skoopctl.probes.anomalies import anomalies
from skoopctl.probes.node_series import NodeSeries
from skoopctl.probes.rates import Rates, rates
from skoopctl.probes.sample import Availability, Snapshot, State
from skoopctl.transport.base import Answer, HostStatus
from skoopctl.transport.verdict import status_of
from skoopctl.watching.stretches import Stretches

if TYPE_CHECKING:
    from skoopctl.cluster.cluster import Cluster
    from skoopctl.events.event import Event


class Phase(StrEnum):
    """Where a node's watch stands."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    BROKEN = "broken"
    """It broke, and is tried again after a while."""
    GIVEN_UP = "given up"
    """It broke, and trying again would do harm."""
    ENDED = "ended"


@dataclass(slots=True)
class NodeView:
    """One node."""

    host: InventoryHost
    series: NodeSeries
    live: bool = True
    phase: Phase = Phase.WAITING
    error: SkoopError | None = None
    """What broke it last, also when it works again."""
    breaks: int = 0
    rounds: int = 0
    boot: str = ""
    """Which start of its kernel the last rounds are of, where it tells."""
    reboots: int = 0
    """How often it has started anew between two rounds. Metrics are compared since the last time."""
    hearing: Stretches = field(default_factory=Stretches)
    """How long its event program was heard."""
    skipped: int = 0
    """Rounds that fell out: the node was late."""
    wire_bytes: int = 0
    first: Snapshot | None = None
    last: Snapshot | None = None
    answers: Mapping[DropKey, Blamed] = field(default_factory=dict)
    """Which rules dropped packets, as far as that was asked."""
    events_breaks: int = 0
    """How often its event program broke."""
    rates: Rates | None = None
    """Between the last two rounds; of a view that is ``live`` only."""
    attempt_at: float = 0.0
    """When the last attempt to connect began, by the event loop's clock."""
    tell: Callable[[Sequence[Event]], None] = lambda _events: None
    """Hands on events that have names now."""
    first_at: float | None = None
    """When the first round came, by the event loop's clock."""

    events: NodeEvents | None = None
    """What its event probes have said, where any are asked for."""

    @property
    def name(self) -> str:
        """The inventory's name of it."""
        return self.host.name

    @property
    def why(self) -> str:
        """What broke it last, in one line, without its own name."""
        return "" if self.error is None else str(self.error).removeprefix(f"{self.name}: ")

    @property
    def measured(self) -> bool:
        """Whether there are two rounds to compare."""
        return self.rounds >= 2

    def take(self, round_: Round) -> None:
        """Take a round, and work the rates out."""
        self.series.apply(round_)
        self.tell(self.events.round(round_, self.series) if self.events is not None else ())
        now = self.series.snapshot()
        if self._has_rebooted(round_, now):
            self.reboots += 1
            self.first = None
        if self.first is None:
            self.first, self.rates = now, None
        elif self.live and self.last is not None:
            self.rates = rates(self.last, now)
        self.last = now
        self.rounds += 1
        self.skipped += round_.skipped
        self.wire_bytes += round_.wire_bytes

    def _has_rebooted(self, round_: Round, now: Snapshot) -> bool:
        """Return whether its kernel is another one than in the round before, and remember which it is.

        A node that was up for less than its absence tells it by its id of the boot only.
        """
        before, self.boot = self.boot, str(identity_in(round_).get("boot_id") or self.boot)
        if self.last is None:
            return False
        return now.mono_ns <= self.last.mono_ns or bool(before and self.boot != before)

    def name_pods(self, cluster: Cluster) -> None:
        """Name the pods by the API's objects. What was measured under other names begins anew."""
        self.series.name_pods(cluster)
        if self.events is not None:
            self.events.renamed(self.series)
        if self.last is None:
            return
        now = self.series.snapshot()
        if now.values.keys() != self.last.values.keys():
            self.first = self.last = now
            self.rates = None

    def availability(self) -> dict[str, Availability]:
        """Return how each probe fares there, those of events too."""
        events = self.events.availability() if self.events is not None else {}
        return {**self.series.availability(), **events}

    def findings(self, thresholds: Mapping[str, float]) -> list[Finding]:
        """Return what was not as it should be from the first round to the last, and while events were heard."""
        of_metrics, of_events = split_thresholds(thresholds)
        found: list[Finding] = []
        if self.first is not None and self.last is not None and self.first is not self.last:
            found += anomalies(self.name, self.first, self.last, of_metrics)
        if self.events is not None:
            found += event_findings(
                self.series.label,
                self.events.tallies(),
                self.events.flows(),
                self.events.recent,
                self.hearing.seconds,
                of_events,
                self.answers,
            )
        return found


@dataclass(slots=True)
class Observation:
    """A `WatchListener` that keeps what a summary is made of; when ``live``, the rates of the last round too."""

    probes: Sequence[str]
    hosts: Sequence[InventoryHost]
    live: bool = True
    told: Callable[[NodeView, Round | None], None] = lambda _view, _round: None
    """Is told of each change, with the round that brought it, if one did."""
    events: Sequence[str] = ()
    """The event probes that are asked for."""
    happened: Callable[[NodeView, Sequence[Event]], None] = lambda _view, _events: None
    """Is told of events, as soon as they have names."""
    fares: Callable[[NodeView, str], None] = lambda _view, _probe: None
    """Is told when a node says how one of its event probes fares: started, with its self-test, or taken off."""
    nodes: dict[str, NodeView] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {host.name: self._view(host) for host in self.hosts}

    def _view(self, host: InventoryHost) -> NodeView:
        view = NodeView(host, NodeSeries(host.name, self.probes, address=host.address), self.live)
        if self.events:
            view.events = NodeEvents(host.name, self.events)
        view.tell = lambda events: self.happened(view, events) if events else None
        return view

    @property
    def measured(self) -> list[NodeView]:
        """The nodes of which there are rates."""
        return [view for view in self.nodes.values() if view.measured]

    def name_pods(self, cluster: Cluster) -> None:
        """Name all nodes' pods."""
        for view in self.nodes.values():
            view.name_pods(cluster)

    def findings(self, thresholds: Mapping[str, float]) -> list[Finding]:
        """Return what was not as it should be, the worst first."""
        found = [each for view in self.nodes.values() for each in view.findings(thresholds)]
        return sorted(found, key=lambda each: (-each.severity, each.id, str(each.where), each.summary))

    def unavailable(self) -> dict[tuple[str, str, str], list[str]]:
        """Return the nodes' names for each (probe, state, why) that is not wholly available."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for view in self.nodes.values():
            if view.rounds:
                for probe, given in view.availability().items():
                    if given.state is not State.AVAILABLE:
                        found.setdefault((probe, str(given.state), given.why), []).append(view.name)
        return found

    # --- as a WatchListener ------------------------------------------------------------------------------

    def connecting(self, host: InventoryHost) -> None:
        """Note it."""
        self.nodes[host.name].attempt_at = asyncio.get_running_loop().time()
        self._enter(host, Phase.CONNECTING)

    def connected(self, host: InventoryHost) -> None:
        """Note it."""
        self._enter(host, Phase.CONNECTED)

    def round_came(self, host: InventoryHost, round_: Round) -> None:
        """Take it."""
        view = self.nodes[host.name]
        if view.first_at is None:
            view.first_at = asyncio.get_running_loop().time()
        view.take(round_)
        self.told(view, round_)

    def said(self, host: InventoryHost, said: Said) -> None:
        """Take what its event program says."""
        view = self.nodes[host.name]
        if view.events is None:
            return
        view.hearing.heard(asyncio.get_running_loop().time())
        view.tell(view.events.take(said))
        if isinstance(said, Setup | Detached):
            self.fares(view, said.probe)

    def events_broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Note why no events come."""
        view = self.nodes[host.name]
        if view.events is not None:
            again = "it is tried again" if again_in_s is not None else "it is not tried again"
            view.events.broken(f"{str(error).removeprefix(f'{view.name}: ')}; {again}")
            view.hearing.broken()
            view.events_breaks += 1
            self.told(view, None)

    def broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Note why."""
        view = self.nodes[host.name]
        view.error = error
        view.breaks += 1
        view.hearing.broken()
        self._enter(host, Phase.GIVEN_UP if again_in_s is None else Phase.BROKEN)

    def ended(self, host: InventoryHost) -> None:
        """Note it."""
        view = self.nodes[host.name]
        view.tell(view.events.rest() if view.events is not None else ())
        self._enter(host, Phase.ENDED)

    def _enter(self, host: InventoryHost, phase: Phase) -> None:
        view = self.nodes[host.name]
        view.phase = phase
        self.told(view, None)


def kind_of(error: SkoopError | None) -> str:
    """Return one word for why there is no round, of those that `skoopctl.transport.base.HostStatus` has."""
    if error is None:
        return str(HostStatus.TIMEOUT)
    return str(status_of(error, Answer(0)))
