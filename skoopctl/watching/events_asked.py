"""Which events nodes are asked for, beside their rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from skoopctl.transport.base import Job
from skoopctl.watching.conversation import Talk

if TYPE_CHECKING:
    from skoopctl.bpf.stream import Said

QUIET_S = 10.0
"""How long counts may be late beyond two intervals before the program counts as silent."""
COMPILING_S = 65.0
"""A node's limit for compiling one probe, and some. A connection that is dead is noticed by its rounds before that."""
LONGEST_COUNTS_S = 10.0
BURST_BYTES = 32 << 20
BYTES_S = 8 << 20
"""Of events, before compression: some 32,000 of the largest, or 80,000 of the smallest, a second."""
ARCHITECTURES = ("x86_64", "aarch64")


@dataclass(frozen=True, slots=True)
class EventsHow:
    """How nodes are to watch."""

    backend: str = "auto"
    """One of `skoopctl.bpf.program.BACKENDS`, or ``auto``: of these the first that a node has."""
    budget: float | None = None
    """What share of one CPU a probe may take; None is 0.02 of all CPUs, 0 is any."""
    thresholds_us: tuple[tuple[str, int], ...] = ()
    """From when on things are told, as ``PROBE.THRESHOLD``, in microseconds."""


@dataclass(frozen=True, slots=True)
class EventsAsked:
    """Which probes, and how often what they count is told, which is their sign of life too."""

    probes: tuple[str, ...]
    counts_s: float
    how: EventsHow = field(default_factory=EventsHow)
    lease_s: float = 60.0

    @property
    def items(self) -> tuple[str, ...]:
        """What rounds bring besides, so that events can be given to pods and devices."""
        from skoopctl.events.surroundings import ITEMS  # noqa: PLC0415

        return ITEMS

    @property
    def silence_s(self) -> float:
        """How long nothing may come. While BCC compiles on a node without BTF, nothing does."""
        quiet_s = COMPILING_S if self.how.backend in {"auto", "bcc"} else QUIET_S
        return 2 * self.counts_s + quiet_s

    def talk(self, host: str, architecture: str, duration_s: float) -> Talk[Said]:
        """Return a conversation with ``host``; a duration of 0 is without end."""
        from skoopctl.bpf.reader import EventReader  # noqa: PLC0415

        return Talk(_job(self, architecture, duration_s), EventReader(host), self.silence_s, "messages")


def events_asked(
    probes: Sequence[str], interval_s: float, how: EventsHow | None = None
) -> EventsAsked | None:
    """Return what is asked for beside rounds that come at an interval; nothing where no probe of events is."""
    return (
        EventsAsked(tuple(probes), min(interval_s, LONGEST_COUNTS_S), how or EventsHow()) if probes else None
    )


@lru_cache(maxsize=16)
def _job(asked: EventsAsked, architecture: str, duration_s: float) -> Job:
    """Return the job that all hosts of one architecture are sent: joining and packing takes some 50 ms."""
    from skoopctl.bpf.program import BpfRequest, bpf_job  # noqa: PLC0415 - reads the built programs

    return bpf_job(
        BpfRequest(
            asked.probes,
            duration_s,
            counts_s=asked.counts_s,
            total_bytes=BURST_BYTES,
            bytes_s=BYTES_S,
            lease_s=asked.lease_s,
            backend=asked.how.backend,
            budget=asked.how.budget,
            thresholds_us=dict(asked.how.thresholds_us),
        ),
        architecture,
    )
