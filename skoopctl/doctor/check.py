"""A check: what it is called, what it needs, how it is judged, what to do, and the function that judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from skoopctl.doctor.facts import Gap, NodeFacts
from skoopctl.doctor.stopwatch import Timing
from skoopctl.errors import SkoopError
from skoopctl.inventory.host import InventoryHost


class Level(StrEnum):
    """How a check went."""

    OK = "ok"
    DEGRADED = "degraded"
    """Less than there could be, or slower."""
    MISSING = "missing"
    UNKNOWN = "unknown"
    """It could not be found out; never taken for ok."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One node as it was met: how asking it went, and what it said of itself (``None``: nothing)."""

    host: InventoryHost
    error: SkoopError | None
    facts: NodeFacts | None
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a check found. ``fix`` replaces the check's own."""

    level: Level
    detail: str
    fix: str = ""


Judge = Callable[[Subject], Judgement]
NodeJudge = Callable[[Subject, NodeFacts], Judgement]


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table. ``id`` is stable: scripts may rely on it."""

    id: str
    title: str
    needs: str
    judged: str
    fix: str
    judge: Judge = field(repr=False, compare=False)


def ok(detail: str) -> Judgement:
    """Return that all is well."""
    return Judgement(Level.OK, detail)


def degraded(detail: str, fix: str = "") -> Judgement:
    """Return that it works, with less."""
    return Judgement(Level.DEGRADED, detail, fix)


def missing(detail: str, fix: str = "") -> Judgement:
    """Return that it does not work or is not there."""
    return Judgement(Level.MISSING, detail, fix)


def unknown(reason: str | Gap) -> Judgement:
    """Return that nobody knows, and why."""
    return Judgement(Level.UNKNOWN, reason.reason if isinstance(reason, Gap) else reason)


def of_node(judge: NodeJudge) -> Judge:
    """Return a judge for a check that only a node that answered can be asked."""

    def judged(subject: Subject) -> Judgement:
        if subject.facts is None:
            return unknown("the node gave no answer")
        return judge(subject, subject.facts)

    return judged
