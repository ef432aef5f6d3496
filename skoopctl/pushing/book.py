"""What is known of every node that is watched: its series, how it is, and what it has cost.

It listens to the watch. A node that leaves is forgotten whole; one that says nothing for two intervals and a
grace is stale: its series are withdrawn everywhere, because numbers that stand still look like peace.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from skoopctl import errors
from skoopctl.bpf.stream import Said, Setup
from skoopctl.cluster.cluster import Cluster
from skoopctl.errors import SkoopError
from skoopctl.events.event import Event
from skoopctl.events.node_events import NodeEvents
from skoopctl.events.page import event_page
from skoopctl.evidence.rounds import Round
from skoopctl.inventory import InventoryHost
from skoopctl.probes.exposition import page
from skoopctl.probes.node_series import NodeSeries
from skoopctl.pushing.journal import Journal
from skoopctl.sinks.pages import Kept, Text

KINDS: Mapping[type[SkoopError], str] = {
    errors.UnreachableError: "unreachable",
    errors.HostKeyError: "host-key",
    errors.AuthenticationError: "auth-failed",
    errors.DeniedError: "denied",
    errors.DeadlineError: "timeout",
    errors.UnsupportedError: "unsupported",
    errors.EvidenceError: "broken-answer",
}
"""How errors are called in metrics."""


@dataclass(slots=True)
class NodeRecord:
    """One node. Times are of the monotonic clock here, but for ``round_wall``."""

    name: str
    address: str
    series: NodeSeries
    events: NodeEvents | None
    kept: Kept
    since: float
    """When it joined, or its last round came."""
    up: bool = False
    """Whether rounds come, so that its series are shown."""
    withdrawn: bool = False
    """Whether its silence has been told to the sinks."""
    withheld: bool = False
    """Whether it has more series than is allowed."""
    old: bool = False
    """Whether the series are of what was asked before: they end with the next first round."""
    connections: int = 0
    rounds: int = 0
    skipped: int = 0
    received: int = 0
    round_wall: float = 0.0
    lag_s: float = 0.0
    ahead_s: float = 0.0
    """The least difference seen between the clock here and the node's: a round that came without delay."""
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def shown(self) -> bool:
        """Whether its series are to be had."""
        return self.up and not self.withheld

    @property
    def reconnects(self) -> int:
        """How often it was logged in to again."""
        return max(0, self.connections - 1)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the series are made of; the same for all nodes."""

    probes: tuple[str, ...]
    additional_labels: Mapping[str, str]
    node_series: int
    """The most series of a node."""
    stale_s: float
    events: tuple[str, ...] = ()
    """The event probes."""


class Book:
    """All nodes. ``fresh`` hears that a node has new series, ``stale`` that its series are no more."""

    def __init__(
        self,
        measured: Measured,
        journal: Journal,
        *,
        fresh: Callable[[NodeRecord], None] = lambda _record: None,
        stale: Callable[[str], None] = lambda _node: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.measured = measured
        self.nodes: dict[str, NodeRecord] = {}
        self.last_round: float | None = None
        """When any node's round came."""
        self._journal = journal
        self._fresh = fresh
        self._stale = stale
        self._clock = clock
        self._wall = wall
        self._began = clock()
        self.happened: Callable[[Event], None] = lambda _event: None
        """Is told of each event, as soon as it has names."""
        self._cluster: Cluster | None = None

    def set_hosts(self, hosts: Sequence[InventoryHost]) -> list[str]:
        """Take in who joined, forget who left; return the names of those that left."""
        names = {host.name for host in hosts}
        left = [name for name in self.nodes if name not in names]
        for name in left:
            del self.nodes[name]
            self._journal.say("left", f"{name}: no longer in the inventory", node=name, always=True)
            self._journal.forget(name)
            self._stale(name)
        for host in hosts:
            record = self.nodes.get(host.name)
            if record is None:
                self.nodes[host.name] = self._record(host)
            elif record.address != host.address:  # another machine, or another way: it begins anew
                record.address, record.old = host.address, True
        return left

    def set_measured(self, measured: Measured) -> None:
        """Measure something else: each node's series are made anew with its next first round."""
        again = _series_of(measured) != _series_of(self.measured)
        self.measured = measured
        for record in self.nodes.values():
            record.old = record.old or again
            record.withheld = False

    def name_pods(self, cluster: Cluster | None) -> None:
        """Let pods have the names that the API gives them."""
        self._cluster = cluster
        for record in self.nodes.values():
            record.series.name_pods(cluster)
            if record.events is not None:
                record.events.renamed(record.series)
            record.kept.renew()

    def tick(self) -> None:
        """Withdraw the series of nodes that have been silent for too long."""
        now = self._clock()
        for record in self.nodes.values():
            silent = now - record.since
            if record.withdrawn or silent <= self.measured.stale_s:
                continue
            if record.up:
                record.up = False
                record.kept.renew()
                said = f"{record.name}: no round for {silent:.0f} s; its series are withdrawn"
                self._journal.say("stale", said, node=record.name)
            record.withdrawn = True
            self._stale(record.name)  # also of a node that never spoke: an earlier service may have left them

    def shown(self) -> list[NodeRecord]:
        """Return the nodes whose series are to be had, by name."""
        return [self.nodes[name] for name in sorted(self.nodes) if self.nodes[name].shown]

    def distinct(self) -> list[NodeRecord]:
        """Return those of them that can stand on one page.

        Two hosts of the inventory that the API knows as one node have the same labels: the first by name is shown.
        """
        first = {record.series.label: record for record in reversed(self.shown())}
        return sorted(first.values(), key=lambda record: record.name)

    def text(self, record: NodeRecord, *, openmetrics: bool = False) -> Text:
        """Return a node's series as text; none when there are more than is allowed."""
        text = record.kept.text(openmetrics=openmetrics)
        if text.series > self.measured.node_series and not record.withheld:
            record.withheld = True
            self._journal.say(
                "withheld",
                f"{record.name}: {text.series} series, more than limits.node-series allows "
                f"({self.measured.node_series}): they are withheld",
                node=record.name,
            )
            self._stale(record.name)
        return _NOTHING if record.withheld else text

    def unhealthy(self) -> str:
        """Return why rounds do not come, or nothing while they do."""
        silent = self._clock() - (self._began if self.last_round is None else self.last_round)
        if self.last_round is None:
            return f"no round has come yet from any of {len(self.nodes)} nodes, since {silent:.0f} s"
        if silent > self.measured.stale_s:
            return f"no round from any of {len(self.nodes)} nodes for {silent:.0f} s"
        return ""

    # --- what the watch tells ----------------------------------------------------------------------------

    def connecting(self, host: InventoryHost) -> None:
        """Hear that a node is being logged in to."""

    def connected(self, host: InventoryHost) -> None:
        """Count logins."""
        record = self.nodes.get(host.name)
        if record is not None:
            record.connections += 1

    def round_came(self, host: InventoryHost, round_: Round) -> None:
        """Take a round in."""
        record = self.nodes.get(host.name)
        if record is None:
            return  # it has left meanwhile
        if round_.number == 1 and record.old:
            self._renew(record)
        now = self._clock()
        self._clocks(record, round_, now)
        record.series.apply(round_)
        if record.events is not None:
            self._tell(record.events.round(round_, record.series))
        record.kept.renew()
        record.rounds += 1
        record.skipped += round_.skipped
        record.received += round_.wire_bytes
        record.since = self.last_round = now
        record.round_wall = self._wall()
        record.withdrawn = record.withheld = False
        if not record.up:
            record.up = True
            self._journal.say("up", f"{host.name}: rounds come", node=host.name)
        self._fresh(record)

    def said(self, host: InventoryHost, said: Said) -> None:
        """Take what a node's event program says."""
        record = self.nodes.get(host.name)
        if record is None or record.events is None or record.old:
            return
        self._tell(record.events.take(said))
        if isinstance(said, Setup) and said.status != "ok":
            why = record.events.availability()[said.probe].why
            self._journal.say(
                f"probe-{said.probe}", f"{host.name}: {said.probe}: {said.status}: {why}", node=host.name
            )
        record.kept.renew()

    def events_broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Count errors, and say them."""
        record = self.nodes.get(host.name)
        if record is None or record.events is None:
            return
        record.errors[f"events-{kind_of(error)}"] += 1
        record.events.broken(str(error).removeprefix(f"{host.name}: "))
        again = f" (again in {again_in_s:.0f} s)" if again_in_s is not None else ""
        said = str(error) if str(error).startswith(host.name) else f"{host.name}: {error}"
        self._journal.say("events-broken", f"{said}: no events{again}", node=host.name)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self.happened(event)

    def broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Count errors, and say them."""
        record = self.nodes.get(host.name)
        if record is None:
            return
        record.errors[kind_of(error)] += 1
        again = f" (again in {again_in_s:.0f} s)" if again_in_s is not None else " (it is not tried again)"
        said = str(error) if str(error).startswith(host.name) else f"{host.name}: {error}"
        self._journal.say("broken", said + again, node=host.name)

    def ended(self, host: InventoryHost) -> None:
        """Hear that nothing more comes of a node."""

    def _clocks(self, record: NodeRecord, round_: Round, now: float) -> None:
        """Work out how late a round is, against the promptest one of this conversation."""
        ahead = now - round_.mono_ns / 1e9
        if round_.number == 1:
            record.ahead_s = ahead
        record.ahead_s = min(record.ahead_s, ahead)
        record.lag_s = ahead - record.ahead_s

    def _record(self, host: InventoryHost) -> NodeRecord:
        return NodeRecord(host.name, host.address, *self._series(host.name, host.address), self._clock())

    def _renew(self, record: NodeRecord) -> None:
        record.series, record.events, record.kept = self._series(record.name, record.address)
        record.old = False

    def _series(self, name: str, address: str) -> tuple[NodeSeries, NodeEvents | None, Kept]:
        series = NodeSeries(
            name, self.measured.probes, address=address, additional_labels=self.measured.additional_labels
        )
        if self._cluster is not None:
            series.name_pods(self._cluster)
        # Events go on at once: there are no findings here that would quote them, and there may be many nodes.
        events = NodeEvents(name, self.measured.events, keep=0) if self.measured.events else None

        def text(openmetrics: bool) -> bytes:
            more = event_page(events, openmetrics=openmetrics) if events is not None else b""
            return page([series], openmetrics=openmetrics) + more

        return series, events, Kept(text)


_NOTHING = Text(b"", (), 0)


def kind_of(error: SkoopError) -> str:
    """Return how an error is called in metrics."""
    return next((KINDS[each] for each in type(error).__mro__ if each in KINDS), "other")


def _series_of(measured: Measured) -> tuple[object, ...]:
    return measured.probes, measured.events, measured.additional_labels


def states(records: Iterable[NodeRecord]) -> Counter[str]:
    """Count nodes by state."""
    return Counter("up" if record.up else "down" for record in records)
