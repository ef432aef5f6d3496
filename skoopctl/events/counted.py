"""What event probes of one node have counted in all, by whose it was: growth is added up under the name of its time.

A node counts since its program began, by numbers that are used again. So each count's growth since the last one is
given to whoever has the number now. Bounded: what has not grown for long is forgotten, the oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, TypeVar

from skoopctl.bpf.histogram import Histogram
from skoopctl.bpf.stream import Counts, Setup, Total
from skoopctl.events.naming import Owner

MOST_TALLIES = 20_000
MOST_FLOWS = 8_192
KEPT_S = 900.0
"""How long something is kept that belongs to nobody any more and does not grow."""

_K = TypeVar("_K")

_NONE = (0, 0, 0, 0)

OwnerOf = Callable[[int], Owner | None]
"""Whose a namespace is; None where it is not this node's."""


class TallyKey(NamedTuple):
    """What is counted together."""

    probe: str
    kind: str
    namespace: str
    pod: str
    netns: int
    reason: str
    function: str


class FlowKey(NamedTuple):
    """Two ends, and what happened between them."""

    probe: str
    kind: str
    namespace: str
    pod: str
    netns: int
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    netfilter: bool = False
    """Whether these were dropped by rules of netfilter."""


@dataclass(slots=True)
class Row:
    """One sum, and when it last grew, in seconds of whatever clock the caller has."""

    count: int = 0
    at: float = 0.0
    bytes: int = 0
    """Of payload; what follows is of flows of connections alone."""
    packets: int = 0
    retransmits: int = 0
    rtt_us: int = 0
    """As it was last."""


@dataclass(slots=True)
class ProbeCounts:
    """What one probe's program has said of itself since it began, and before."""

    last: dict[object, int] = field(default_factory=dict)
    flows: dict[tuple[object, ...], tuple[int, ...]] = field(default_factory=dict)
    """The last sums of flows."""
    lost: int = 0
    """Samples that found no room, of all programs."""
    ignored: int = 0
    missed: int = 0
    """How often a program was not run, of all programs."""
    histograms: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    """By stage and type, of all programs."""
    cost: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Runs and nanoseconds of each program that runs now."""


@dataclass(slots=True)
class Counted:
    """All sums of one node."""

    tallies: dict[TallyKey, Row] = field(default_factory=dict)
    flows: dict[FlowKey, Row] = field(default_factory=dict)
    probes: dict[str, ProbeCounts] = field(default_factory=dict)
    forgotten: int = 0
    """Sums that were forgotten because there were too many."""

    def begin(self, setup: Setup) -> None:
        """Hear that a probe's program has begun: it counts from 0."""
        found = self.probes.setdefault(setup.probe, ProbeCounts())
        found.last.clear()
        found.flows.clear()
        found.cost.clear()

    def take(self, counts: Counts, owner_of: OwnerOf, now: float) -> None:
        """Add what grew since the counts before."""
        found = self.probes.setdefault(counts.probe, ProbeCounts())
        fresh: dict[object, int] = {}
        for total, grown in _grown(found.last, fresh, counts.totals):
            owner = owner_of(total.netns)
            if owner is None:
                continue
            key = TallyKey(
                counts.probe,
                total.kind,
                owner.namespace,
                owner.pod,
                total.netns,
                total.reason_name,
                total.function,
            )
            _grow(self.tallies, key, grown, now)
        self._trim(self.tallies, MOST_TALLIES)
        self._flows(found, counts, owner_of, now)
        sums = {"lost": counts.lost + counts.unsent, "ignored": counts.ignored, "missed": counts.missed}
        for name, number in sums.items():
            setattr(found, name, getattr(found, name) + max(0, number - found.last.get(name, 0)))
            fresh[name] = number
        self._histograms(found, fresh, counts.histograms)
        found.cost = dict(counts.cost)
        found.last = fresh

    def _flows(self, found: ProbeCounts, counts: Counts, owner_of: OwnerOf, now: float) -> None:
        fresh: dict[tuple[object, ...], tuple[int, ...]] = {}
        owners: dict[int, Owner | None] = {}
        for flow in counts.flows:
            netns = flow.netns
            between = (flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port)
            ends = (flow.kind, netns, *between, flow.netfilter)
            sums = fresh[ends] = (flow.count, flow.bytes, flow.packets, flow.retransmits)
            before = found.flows.get(ends, _NONE)
            if sums == before:
                continue
            if netns not in owners:
                owners[netns] = owner_of(netns)
            owner = owners[netns]
            if owner is None:
                continue
            place = (counts.probe, flow.kind, owner.namespace, owner.pod, netns)
            grown = [is_ - was if is_ >= was else is_ for is_, was in zip(sums, before, strict=True)]
            row = _grow(self.flows, FlowKey(*place, *between, flow.netfilter), grown[0], now)
            row.bytes += grown[1]
            row.packets += grown[2]
            row.retransmits += grown[3]
            row.rtt_us = flow.rtt_us or row.rtt_us
        found.flows = fresh
        self._trim(self.flows, MOST_FLOWS)

    def _histograms(self, found: ProbeCounts, fresh: dict[object, int], rows: Iterable[Histogram]) -> None:
        for row in rows:
            name = row.stage, row.type
            before = found.histograms.get(name, Histogram(*name, (0,) * len(row.slots), 0))
            slots = []
            for number, (kept, slot) in enumerate(zip(before.slots, row.slots, strict=True)):
                slots.append(kept + max(0, slot - found.last.get((*name, number), 0)))
                fresh[(*name, number)] = slot
            sum_ns = before.sum_ns + max(0, row.sum_ns - found.last.get((*name, "sum"), 0))
            fresh[(*name, "sum")] = row.sum_ns
            found.histograms[name] = Histogram(*name, tuple(slots), sum_ns)

    def _trim(self, rows: dict[_K, Row], most: int) -> None:
        """Forget what has not grown for the longest time: all that is too much in one go, as a walk is what costs."""
        for key in list(islice(rows, max(0, len(rows) - most))):
            del rows[key]
            self.forgotten += 1

    def forget(self, alive: Callable[[str, str], bool], now: float) -> None:
        """Forget what belongs to nobody any more and has not grown for long."""

        def kept(key: TallyKey | FlowKey, row: Row) -> bool:
            return now - row.at <= KEPT_S or alive(key.namespace, key.pod)

        self.tallies = {key: row for key, row in self.tallies.items() if kept(key, row)}
        self.flows = {key: row for key, row in self.flows.items() if kept(key, row)}


def _grow(rows: dict[_K, Row], key: _K, grown: int, now: float) -> Row:
    """Add to a row, and put it behind all others."""
    row = rows.pop(key, None) or Row()
    row.count += grown
    row.at = now
    rows[key] = row
    return row


def _grown(
    last: dict[object, int], fresh: dict[object, int], rows: Iterable[Total]
) -> Iterator[tuple[Total, int]]:
    """Yield the rows that grew. A row that shrank fell out on the node and began again."""
    for row in rows:
        key = row.kind, row.netns, row.reason, row.location
        before = last.get(key, 0)
        fresh[key] = fresh.get(key, 0) + row.count
        grown = row.count - before if row.count >= before else row.count
        if grown:
            yield row, grown
