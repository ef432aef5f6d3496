"""What nodes are asked for, over and over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from skoopctl.errors import EvidenceError
from skoopctl.transport.base import Job
from skoopctl.watching.conversation import Reader, Talk
from skoopctl.watching.events_asked import EventsAsked

if TYPE_CHECKING:
    from skoopctl.evidence.rounds import Round

QUIET_S = 10.0
"""How long a round may be late beyond two intervals before the node counts as silent."""
ROUNDS_AHEAD = 4
"""Rounds that may come more than time has passed for: those that a stalled connection held back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which probes, how often, and how many rounds of each node; 0 is until told otherwise."""

    probes: tuple[str, ...]
    interval_s: float
    rounds: int = 0
    sysfs: str = "/sys"
    """Where the nodes' ``/sys`` is; tests have a made one."""
    lease_s: float = 60.0
    """How long the program on a node goes on when it hears nothing of us."""
    events: EventsAsked | None = None

    @property
    def silence_s(self) -> float:
        """How long a node may say nothing between two rounds."""
        return 2 * self.interval_s + QUIET_S

    def job(self, rounds: int) -> Job:
        """Return what is run on a node that is to send ``rounds`` more rounds; 0 is without end."""
        items = self.events.items if self.events is not None else ()
        return _job(self.probes, items, self.interval_s, rounds, self.lease_s, self.sysfs)

    def talk(self, host: str, rounds: int) -> Talk[Round]:
        """Return a conversation with ``host`` about so many more rounds."""
        return Talk(self.job(rounds), self.reader(host), self.silence_s, "rounds")

    def reader(self, host: str) -> Reader[Round]:
        """Return what reads one conversation with ``host``."""
        from skoopctl.evidence.rounds import RoundReader  # noqa: PLC0415

        return RoundReader(host)

    def check(self, host: str) -> Callable[[int, float], None]:
        """Return what refuses a node that sends more rounds than it was asked for."""

        def checked(came: int, seconds: float) -> None:
            if came > seconds / self.interval_s * 1.5 + ROUNDS_AHEAD:
                raise EvidenceError(
                    f"{host}: {came} rounds came in {seconds:.1f} s, "
                    f"asked for was one every {self.interval_s:g} s"
                )

        return checked


@lru_cache(maxsize=16)
def _job(
    probes: tuple[str, ...],
    more_items: tuple[str, ...],
    interval_s: float,
    rounds: int,
    lease_s: float,
    sysfs: str,
) -> Job:
    """Return the job that all hosts are sent: joining and packing the program takes 30 ms."""
    from skoopctl.evidence.payload import sample_job  # noqa: PLC0415 - reads and joins the node program
    from skoopctl.evidence.request import SampleRequest  # noqa: PLC0415
    from skoopctl.probes.catalogue import items_of  # noqa: PLC0415

    items = tuple(dict.fromkeys((*items_of(probes), *more_items)))
    return sample_job(
        SampleRequest(items, interval_s=interval_s, rounds=rounds, lease_s=lease_s, sysfs=sysfs)
    )
