"""All events of one node: named as soon as that can be done with certainty, kept within bounds, counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.stream import Counts, Detached, Said, Setup
from skoopctl.events.counted import Counted
from skoopctl.events.event import End, EndKind, Event, FlowTally, Tally
from skoopctl.events.naming import Naming, Owner, protocol_name
from skoopctl.events.series import EventSeries
from skoopctl.events.surroundings import Surroundings
from skoopctl.evidence.rounds import Round
from skoopctl.probes.node_series import NodeSeries
from skoopctl.probes.pod_names import Whose
from skoopctl.probes.sample import Availability, Sample, State

MOST_RECENT = 2_000
MOST_PENDING = 5_000
"""Events whose owner the next round may tell."""


class NodeEvents:
    """What one node says of its events; :meth:`round` before the events of its time, :meth:`take` for each message.

    Both return the events that can be told now. An event is told at once when the last round knows its namespace, by
    number and cookie; else after the next round, which knows of pods that are new.
    """

    def __init__(self, node: str, probes: Sequence[str], *, keep: int = MOST_RECENT) -> None:
        self.probes = tuple(probes)
        self.recent: deque[Event] = deque(maxlen=keep)
        """The last events, of which findings quote some."""
        self.told = 0
        """How many events have been told in all."""
        self.elsewhere = 0
        """Samples of namespaces that are not this node's."""
        self.setups: dict[str, Setup] = {}
        self.detached: dict[str, Detached] = {}
        self.counted = Counted()
        self._around = Surroundings()
        self._naming = Naming(node, Whose(), None, self._around)
        self._series: NodeSeries | None = None
        self._pending: deque[BpfEvent] = deque()
        self._mono_ns = 0
        self._broken = ""

    # --- what comes ---------------------------------------------------------------------------------------

    def round(self, round_: Round, series: NodeSeries) -> list[Event]:
        """Take a round that ``series`` has applied already."""
        self._around.take(round_)
        self._mono_ns = round_.mono_ns
        self.renamed(series)
        there = {(entity.namespace, entity.pod) for entity in series.entities()}
        self.counted.forget(lambda namespace, pod: not pod or (namespace, pod) in there, round_.mono_ns / 1e9)
        found = []
        for _ in range(len(self._pending)):
            raw = self._pending.popleft()
            late = raw.mono_ns < round_.mono_ns
            owner = self._owner(raw, late=late)
            if owner is not None:
                found.append(self._named(raw, owner))
            elif late:
                self.elsewhere += 1
            else:
                self._pending.append(raw)
        return found

    def renamed(self, series: NodeSeries) -> None:
        """Take the names that there are now."""
        self._series = series
        self._naming = self._naming.renewed(series.label, series.whose, series.cluster)

    def take(self, said: Said) -> list[Event]:
        """Take what the event program says. A self-test is in what it says of its probe's start, too."""
        self._broken = ""
        if isinstance(said, Setup):
            if said.probe not in self.setups or said.ms != self.setups[said.probe].ms:
                self.counted.begin(said)
                self.detached.pop(said.probe, None)
            self.setups[said.probe] = said
        elif isinstance(said, Detached):
            self.detached[said.probe] = said
        elif isinstance(said, Counts):
            self.counted.take(said, self._owner_now, self._mono_ns / 1e9)
        elif isinstance(said, Batch):
            return list(self._events(said))
        return []

    def broken(self, why: str) -> None:
        """Hear that no events come now."""
        self._broken = why

    def rest(self) -> list[Event]:
        """Return the events whose owner never was told, at the end."""
        owned = [(raw, self._owner(raw, late=True)) for raw in self._pending]
        self._pending.clear()
        return [self._named(raw, owner) for raw, owner in owned if owner is not None]

    def _events(self, batch: Batch) -> Iterator[Event]:
        for raw in batch.events:
            full = len(self._pending) >= MOST_PENDING
            owner = self._owner(raw, late=full)
            if owner is not None:
                yield self._named(raw, owner)
            elif full:
                self.elsewhere += 1
            else:
                self._pending.append(raw)

    def _named(self, raw: BpfEvent, owner: Owner) -> Event:
        setup = self.setups.get(raw.probe)
        event = self._naming.event(raw, owner, setup.backend if setup is not None else "")
        self.recent.append(event)
        self.told += 1
        return event

    def _owner(self, raw: BpfEvent, *, late: bool) -> Owner | None:
        return self._naming.owner(raw.netns, raw.net_cookie, raw.cgroup, late=late)

    def _owner_now(self, netns: int) -> Owner | None:
        return self._naming.owner(netns, late=True)

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def lost(self) -> int:
        """Samples that found no room."""
        return sum(counts.lost for counts in self.counted.probes.values())

    @property
    def missed(self) -> int:
        """How often a program was not run, for it was running already: what happened then is in no count."""
        return sum(counts.missed for counts in self.counted.probes.values())

    def tallies(self) -> list[Tally]:
        """Return what was counted by place, reason and function, the most first."""
        found = [
            Tally(key.probe, key.kind, key.namespace, key.pod, key.netns, key.reason, key.function, row.count)
            for key, row in self.counted.tallies.items()
        ]
        return sorted(found, key=lambda each: -each.count)

    def flows(self) -> list[FlowTally]:
        """Return what was counted between two ends, the most first."""
        found = []
        for key, row in self.counted.flows.items():
            owner = Owner(key.namespace, key.pod)
            source = self._end(key.source, key.source_port, owner)
            destination = self._end(key.destination, key.destination_port, owner)
            place = (key.probe, key.kind, key.namespace, key.pod, key.netns)
            volumes = (row.bytes, row.packets, row.retransmits, row.rtt_us)
            ends = (protocol_name(key.protocol), source, destination)
            found.append(FlowTally(*place, *ends, row.count, *volumes))
        return sorted(found, key=lambda each: -each.count)

    def _end(self, address: str, port: int, owner: Owner) -> End:
        return self._naming.end(address, port, owner) or End("", port, EndKind.UNKNOWN)

    def availability(self) -> Mapping[str, Availability]:
        """Return how each probe fares on this node, and why."""
        return {name: self._availability(name) for name in self.probes}

    def _availability(self, name: str) -> Availability:
        if self._broken:
            return Availability(State.UNAVAILABLE, self._broken)
        setup = self.setups.get(name)
        if setup is None:
            return Availability(State.UNKNOWN, "the node has not said how it fares")
        states = {"ok": State.AVAILABLE, "degraded": State.DEGRADED}
        state, why = states.get(setup.status, State.UNAVAILABLE), list(_troubles(setup))
        gone = self.detached.get(name)
        if gone is not None:
            limit = f"{gone.share:.1%} of a CPU, its budget is {gone.budget:.1%}"
            state, why = State.UNAVAILABLE, [f"taken off, as it took {limit} (--budget)", *why]
        return Availability(state, "; ".join(why))

    def series(self) -> EventSeries:
        """Return what makes series of all this."""
        entities = self._series.entities() if self._series is not None else ()
        node = self._series.label if self._series is not None else self._naming.node
        return EventSeries(node, self.counted, self.availability(), entities, self._naming.end)

    def values(self) -> Iterator[Sample]:
        """Yield every series that has a value now."""
        yield from self.series().samples()


def _troubles(setup: Setup) -> Iterator[str]:
    """Yield what is to be said of how a probe was started."""
    if setup.detail:
        yield setup.detail
    for hook in setup.hooks:
        if hook.status != "ok":
            yield f"{hook.hook}/{hook.target}: {hook.detail}"
    if setup.passed:
        better = ", ".join(f"{each.backend}: {each.detail}" for each in setup.passed)
        yield f"by {setup.backend} ({better})" if setup.status != "unavailable" else better
    if setup.missing:
        yield f"it cannot tell {', '.join(setup.missing)}"
