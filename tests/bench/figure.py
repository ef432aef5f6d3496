"""What a benchmark has to say: one figure, what it is compared with, and what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Of(StrEnum):
    """What a target speaks about: the ratio to the baseline, or the figure itself."""

    RATIO = "ratio"
    FIGURE = "figure"


class Bound(StrEnum):
    """On which side of the limit a figure should be."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Target:
    """What the design asks for."""

    of: Of
    bound: Bound
    limit: float

    def is_met(self, measured: float) -> bool:
        """Return whether a measured figure or ratio is good enough."""
        return measured <= self.limit if self.bound is Bound.AT_MOST else measured >= self.limit


def at_most(limit: float, of: Of = Of.FIGURE) -> Target:
    """Return a target that a figure must not exceed."""
    return Target(of, Bound.AT_MOST, limit)


def at_least(limit: float, of: Of = Of.FIGURE) -> Target:
    """Return a target that a figure must reach."""
    return Target(of, Bound.AT_LEAST, limit)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure beside its baseline, both in the same unit and from the same run.

    ``name`` stays the same from run to run; ``detail`` goes to the JSON only.
    """

    name: str
    what: str
    value: float
    unit: str
    baseline: float
    baseline_what: str
    target: Target | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The figure as a multiple of its baseline."""
        return self.value / self.baseline if self.baseline else float("inf")

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.target.is_met(self.ratio if self.target.of is Of.RATIO else self.value)


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A benchmark that could not be run, and why."""

    name: str
    reason: str
