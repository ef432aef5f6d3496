"""How long things took, counted on the node in slots that are each twice as wide as the one before: bpf/latency.h."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skoopctl.bpf.catalogue import BpfProbe

SLOTS = 32
_FIRST_BITS = 9
BOUNDS_NS = tuple(1 << (_FIRST_BITS + slot) for slot in range(SLOTS - 1))
"""What each slot is below, in nanoseconds; the last slot has no end."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """One row: what it is of, how many were in each slot, and how long they took together."""

    stage: str
    type: str
    slots: tuple[int, ...]
    sum_ns: int

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.slots)

    def below(self, quantile: float) -> int | None:
        """Return the bound in ns that so large a part of all is below; None without any, or in the last slot."""
        wanted, seen = quantile * self.count, 0
        for slot, bound in zip(self.slots, BOUNDS_NS, strict=False):
            seen += slot
            if seen and seen >= wanted:
                return bound
        return None


def histograms_of(probe: BpfProbe, rows: Sequence[Sequence[int]]) -> tuple[Histogram, ...]:
    """Return a probe's rows of which there were any. Raises ValueError when they are not what it counts."""
    if not probe.histograms and not rows:
        return ()
    if len(rows) < len(probe.histograms) or any(len(row) != SLOTS + 1 for row in rows):
        raise ValueError("a histogram is not one of the probe's")
    named = zip(probe.histograms, rows, strict=False)
    return tuple(Histogram(*names, tuple(row[:-1]), row[-1]) for names, row in named if any(row))
