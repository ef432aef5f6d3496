"""What nodes are asked for, over and over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from skoopctl.transport.base import Job

if TYPE_CHECKING:
    from skoopctl.evidence.rounds import RoundReader

QUIET_S = 10.0
"""How long a round may be late beyond two intervals before the node counts as silent."""


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

    @property
    def silence_s(self) -> float:
        """How long a node may say nothing between two rounds."""
        return 2 * self.interval_s + QUIET_S

    def job(self, rounds: int) -> Job:
        """Return what is run on a node that is to send ``rounds`` more rounds; 0 is without end."""
        return _job(self, rounds)

    def reader(self, host: str) -> RoundReader:
        """Return what reads one conversation with ``host``."""
        from skoopctl.evidence.rounds import RoundReader  # noqa: PLC0415

        return RoundReader(host)


@lru_cache(maxsize=16)
def _job(asked: Asked, rounds: int) -> Job:
    """Return the job that all hosts are sent: joining and packing the program takes 30 ms."""
    from skoopctl.evidence.payload import sample_job  # noqa: PLC0415 - reads and joins the node program
    from skoopctl.evidence.request import SampleRequest  # noqa: PLC0415
    from skoopctl.probes.catalogue import items_of  # noqa: PLC0415

    return sample_job(
        SampleRequest(
            items_of(asked.probes),
            interval_s=asked.interval_s,
            rounds=rounds,
            lease_s=asked.lease_s,
            sysfs=asked.sysfs,
        )
    )
