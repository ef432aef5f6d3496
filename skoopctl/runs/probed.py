"""What watching metrics adds to a run: findings, and how much was watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skoopctl.checks.finding import Finding
from skoopctl.events.thresholds import EVENT_THRESHOLDS
from skoopctl.evidence.bundle import HostRecord
from skoopctl.probes.anomalies import THRESHOLDS
from skoopctl.runs.result import PROBES, Looked
from skoopctl.transport.base import HostStatus

if TYPE_CHECKING:
    from skoopctl.plans.model import Plan
    from skoopctl.watching.observation import Observation


@dataclass(frozen=True, slots=True)
class Probed:
    """The outcome of a plan's probes."""

    looked: Looked
    findings: tuple[Finding, ...] = ()
    unwatched: frozenset[str] = frozenset()
    """Hosts of the plan of which nothing was measured."""


def may_be_watched(record: HostRecord) -> bool:
    """Return whether a host that was asked once may be asked again: what was refused is not tried twice."""
    return record.collected or record.status not in {HostStatus.AUTH_FAILED, HostStatus.DENIED}


def probed_of(observation: Observation, plan: Plan, hosts: Sequence[str], asked: int) -> Probed:
    """Return what came out of watching a plan's ``hosts``, of which so many were ``asked`` in this run."""
    known = {*THRESHOLDS, *EVENT_THRESHOLDS}
    thresholds = {name: value for name, value in plan.thresholds.items() if name in known}
    measured = observation.measured
    pods = sum(len(view.series.entities()) - 1 for view in measured)
    counts = {"nodes": (len(measured), asked), "pods": (pods, pods)}
    title = f"{', '.join(plan.probes)} for {plan.probe_duration:g} s"
    unwatched = frozenset(hosts) - {view.name for view in measured}
    return Probed(Looked(PROBES, title, counts), tuple(observation.findings(thresholds)), unwatched)
