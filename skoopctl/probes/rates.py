"""What happened between two moments of a node: per second for counters, as it is now for gauges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skoopctl.probes.catalogue import METRICS
from skoopctl.probes.metric import Kind
from skoopctl.probes.sample import SeriesKey, Snapshot

_NS = 1e9


@dataclass(frozen=True, slots=True)
class Rates:
    """The difference of two snapshots, over ``seconds`` of the node's monotonic clock.

    ``per_second`` and ``growth`` are of counters that both have, ``gauges`` of the later one. ``appeared`` and
    ``gone`` are series of one of them only: of a series that just came, nobody knows how much of it is new.
    """

    seconds: float
    per_second: Mapping[SeriesKey, float] = field(default_factory=dict)
    growth: Mapping[SeriesKey, int | float] = field(default_factory=dict)
    gauges: Mapping[SeriesKey, int | float] = field(default_factory=dict)
    appeared: frozenset[SeriesKey] = frozenset()
    gone: frozenset[SeriesKey] = frozenset()


def rates(before: Snapshot, after: Snapshot) -> Rates:
    """Return what grew between two snapshots of one node.

    A counter that fell began anew, and has grown from 0. When the node's monotonic clock did not go on (it was started
    anew in between), no time is known: no series has a rate, and all of ``after`` has just appeared.
    """
    gauges = {key: value for key, value in after.values.items() if METRICS[key[0]].kind is Kind.GAUGE}
    gone = frozenset(before.values.keys() - after.values.keys())
    seconds = (after.mono_ns - before.mono_ns) / _NS
    if seconds <= 0:
        return Rates(0.0, gauges=gauges, appeared=frozenset(after.values), gone=gone)
    growth = {
        key: value - before.values[key] if value >= before.values[key] else value
        for key, value in after.values.items()
        if key in before.values and METRICS[key[0]].kind is Kind.COUNTER
    }
    return Rates(
        seconds,
        {key: number / seconds for key, number in growth.items()},
        growth,
        gauges,
        frozenset(after.values.keys() - before.values.keys()),
        gone,
    )
