"""Paths with what is expected of them: reachable, refused or blocked; and whether it is so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Finding, Severity, Where
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.proof import proof_of
from skoopctl.dataplane.trace import Evidence, Outcome, Verdict
from skoopctl.errors import TargetError


class Expected(StrEnum):
    """What should become of a connection, as the client would see it."""

    REACHABLE = "reachable"
    """It is made, and answers come back."""
    REFUSED = "refused"
    """It is refused at once: by a reset, or by an ICMP error."""
    BLOCKED = "blocked"
    """It is not made, in whatever way."""


_OUTCOMES = {
    Expected.REACHABLE: frozenset({Outcome.CONNECTED}),
    Expected.REFUSED: frozenset({Outcome.REFUSED}),
    Expected.BLOCKED: frozenset({Outcome.REFUSED, Outcome.TIMEOUT, Outcome.UNREACHABLE}),
}


class State(StrEnum):
    """Whether an expectation holds."""

    MET = "met"
    UNMET = "unmet"
    UNDECIDED = "undecided"
    UNKNOWN_END = "unknown-end"
    """Source or destination is not in what was collected."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One path of a plan. ``name`` is for people; ``severity`` is that of the finding when it is not met."""

    name: str
    question: Question
    expect: Expected = Expected.REACHABLE
    severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class Judged:
    """An expectation with what the walk says. ``said`` is one line; the diagnosis is None without both ends."""

    expectation: Expectation
    state: State
    said: str
    diagnosis: Diagnosis | None = None
    findings: tuple[Finding, ...] = ()


def judge(expectation: Expectation, snapshot: Snapshot) -> Judged:
    """Walk the path and compare. What cannot be decided is neither met nor unmet."""
    try:
        diagnosis = diagnose(expectation.question, snapshot)
    except TargetError as error:
        finding = _finding("path-undecided", expectation, error.message, ())
        return Judged(expectation, State.UNKNOWN_END, str(error), None, (finding,))
    path = diagnosis.path
    outcomes = path.outcomes()
    wanted = _OUTCOMES[expectation.expect]
    shares = ", ".join(_share(outcome, weight) for outcome, weight in outcomes.items())
    said = f"expected {expectation.expect}, found {shares}"
    if path.verdict is Verdict.UNKNOWN:
        if set(outcomes) <= wanted:
            return Judged(expectation, State.MET, f"{shares}, however what is unknown turns out", diagnosis)
        reason = path.unknowns[0] if path.unknowns else "something on the way could not be decided"
        finding = _finding("path-undecided", expectation, f"{said}: {reason}", ())
        return Judged(expectation, State.UNDECIDED, f"{said}: {reason}", diagnosis, (finding,))
    if set(outcomes) <= wanted:
        return Judged(expectation, State.MET, shares, diagnosis)
    return Judged(expectation, State.UNMET, said, diagnosis, tuple(_unmet(expectation, said, diagnosis)))


def _share(outcome: Outcome, weight: float) -> str:
    return outcome.value if weight > 0.999 else f"{outcome.value} ({weight:.0%})"


def _unmet(expectation: Expectation, said: str, diagnosis: Diagnosis) -> list[Finding]:
    """Return the finding that names the plan's path, then the causes; an open path has none."""
    causes = [finding for finding in diagnosis.findings if finding.cause]
    because = f": {causes[0].summary}" if causes else ""
    evidence = causes[0].evidence if causes else _decisions(diagnosis)
    finding = _finding("path-unexpected", expectation, f"{said}{because}", evidence)
    fixed = (
        replace(finding, fix=causes[0].fix)
        if causes and expectation.expect is Expected.REACHABLE
        else finding
    )
    return [fixed]


def _decisions(diagnosis: Diagnosis) -> tuple[Evidence, ...]:
    """Return what let the packet through, for a path that should be blocked."""
    branch = next((b for b in diagnosis.path.branches if b.works), diagnosis.path.representative)
    return tuple(evidence for reason in proof_of(branch) for evidence in reason.step.evidence[-1:])[-5:]


def _finding(identifier: str, expectation: Expectation, said: str, evidence: tuple[Evidence, ...]) -> Finding:
    doc = DOCS[identifier]
    severity = expectation.severity if identifier == "path-unexpected" else doc.severity
    return Finding(doc.id, severity, Where(), f"{expectation.name}: {said}", evidence, doc.why)
