"""Inspections by name: each looks at a whole snapshot and says what is wrong in it.

One function a subject, registered here; plans name them, and ``skoopctl run --list`` and the documentation print
this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from skoopctl.checks.finding import Finding
from skoopctl.checks.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a plan may set: its name there, what it is by default, its unit, and what it decides."""

    name: str
    default: float
    unit: str
    decides: str


THRESHOLDS = {
    each.name: each
    for each in (
        Threshold(
            "conntrack-usage", 0.8, "of nf_conntrack_max", "from here on the table counts as filling up"
        ),
        Threshold("neighbour-usage", 0.8, "of gc_thresh3", "from here on the table counts as filling up"),
        Threshold("mesh-degree", 4, "nodes", "how many other nodes each node's pods are tried with"),
        Threshold("pod-limit", 500, "pods", "how many pods are tried one by one, the same on every run"),
        Threshold("service-limit", 100, "service ports", "how many each node is tried with, the same on all"),
    )
}


@dataclass(frozen=True, slots=True)
class Noted:
    """One finding of an inspection. ``affects`` are the paths that it breaks, ``affected`` how many they are."""

    finding: Finding
    affects: tuple[str, ...] = ()
    affected: int = 0


@dataclass(slots=True)
class Inspected:
    """What an inspection is given, and where it says how much of it it has looked at.

    ``looked`` maps what was counted (``service ports``) to how many were looked at, of how many.
    """

    snapshot: Snapshot
    thresholds: Mapping[str, float] = field(default_factory=dict)
    looked: dict[str, tuple[int, int]] = field(default_factory=dict)

    def threshold(self, name: str) -> float:
        """Return what the plan sets, else the default."""
        return self.thresholds.get(name, THRESHOLDS[name].default)

    def count(self, what: str, looked_at: int, there_are: int) -> None:
        """Say that so many of so many were looked at."""
        done, total = self.looked.get(what, (0, 0))
        self.looked[what] = done + looked_at, total + there_are


Run = Callable[[Inspected], Iterable[Noted]]


@dataclass(frozen=True, slots=True)
class Inspection:
    """One inspection: its name in plans, what it looks at, and the function that does."""

    name: str
    title: str
    run: Run


INSPECTIONS: dict[str, Inspection] = {}


def inspection(name: str, title: str) -> Callable[[Run], Run]:
    """Register an inspection."""

    def register(run: Run) -> Run:
        INSPECTIONS[name] = Inspection(name, title, run)
        return run

    return register
