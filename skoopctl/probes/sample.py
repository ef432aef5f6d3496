"""Values of one moment: one series, all series of a node, and how a probe fares there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from skoopctl.probes.metric import Metric

SeriesKey = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""


class Sample(NamedTuple):
    """One series now. ``labels`` are the values of ``metric.labels``, in that order."""

    metric: Metric
    labels: tuple[str, ...]
    value: int | float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All series of a node at one moment: ``mono_ns`` of its monotonic clock, ``wall_ns`` since 1970."""

    mono_ns: int
    wall_ns: int
    values: Mapping[SeriesKey, int | float]


class State(StrEnum):
    """How a probe fares on a node."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Availability:
    """How a probe fares on a node, and why; ``why`` may say something of an available one, too."""

    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """Whom series belong to: the node itself (``namespace`` and ``pod`` empty), or a pod.

    ``netns`` is the inode of its namespace; 0 for a pod on the host's network, and where none is known.
    """

    namespace: str
    pod: str
    uid: str = ""
    netns: int = 0
