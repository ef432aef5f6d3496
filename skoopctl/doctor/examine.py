"""Ask the nodes and judge what they say: one connection and one exec each, as everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from skoopctl.doctor.ability import Answer, Prospect, prospects
from skoopctl.doctor.catalogue import CHECKS
from skoopctl.doctor.check import Judgement, Subject
from skoopctl.doctor.facts import Gap, Identity, facts_of
from skoopctl.doctor.stopwatch import TimedTransports, Timing
from skoopctl.evidence.collect import request_within
from skoopctl.evidence.frames import decode_answer
from skoopctl.evidence.payload import job
from skoopctl.evidence.request import DOCTOR_ITEMS
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import (
    Deadlines,
    FleetObserver,
    HostResult,
    HostStatus,
    TransportFactory,
)
from skoopctl.transport.fleet import run_fleet

ITEMS = ("identity", "namespaces", "link", *DOCTOR_ITEMS)


@dataclass(frozen=True, slots=True)
class Examination:
    """One node: how asking it went, every check's judgement by id, and what would work."""

    host: InventoryHost
    status: HostStatus
    identity: Identity | None
    timing: Timing
    elapsed_s: float
    rows: Mapping[str, Judgement]
    prospects: tuple[Prospect, ...]

    @property
    def answered(self) -> bool:
        """Whether the node said anything of itself."""
        return self.identity is not None

    @property
    def fine(self) -> bool:
        """Whether a diagnosis would have all that it needs of this node."""
        return all(each.answer is Answer.YES for each in self.prospects if each.ability.id == "diagnose")


@dataclass(frozen=True, slots=True)
class Report:
    """All nodes, in the inventory's order."""

    nodes: tuple[Examination, ...]
    created: datetime

    @property
    def answered(self) -> int:
        """How many nodes said anything."""
        return sum(node.answered for node in self.nodes)

    @property
    def fine(self) -> int:
        """How many nodes a diagnosis would get all from."""
        return sum(node.fine for node in self.nodes)


async def examine(
    hosts: Sequence[InventoryHost],
    *,
    deadlines: Deadlines | None = None,
    forks: int | None = None,
    observer: FleetObserver | None = None,
    transports: TransportFactory | None = None,
) -> Report:
    """Ask every host once and judge it. No host's failure is raised: it is in the host's rows."""
    limits = deadlines or Deadlines()
    created = datetime.now(UTC)
    timed = TimedTransports(transports or _real_transports())
    asked = job(replace(request_within(limits), items=ITEMS))
    results = await run_fleet(
        hosts, asked, deadlines=limits, forks=forks, observer=observer, transports=timed
    )
    nodes = [
        judge(host, result, timed.timings.get(host.name, Timing()))
        for host, result in zip(hosts, results, strict=True)
    ]
    return Report(tuple(nodes), created)


def judge(host: InventoryHost, result: HostResult, timing: Timing) -> Examination:
    """Judge one host by its answer. Pure."""
    facts = facts_of(decode_answer(host.name, result.stdout))
    subject = Subject(host, result.error, facts, timing)
    rows = {name: check.judge(subject) for name, check in CHECKS.items()}
    identity = None if facts is None or isinstance(facts.identity, Gap) else facts.identity
    return Examination(host, result.status, identity, timing, result.elapsed_s, rows, prospects(rows))


def _real_transports() -> TransportFactory:
    from skoopctl.transport.choice import RealTransports  # noqa: PLC0415 - not needed with the caller's own

    return RealTransports()
