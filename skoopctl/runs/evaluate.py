"""A plan and a snapshot become a result. Pure: the same evidence gives the same findings, whenever it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from skoopctl.checks.diagnose import Question
from skoopctl.checks.expectations import Expectation, Expected, Judged, judge
from skoopctl.checks.finding import Severity
from skoopctl.checks.inspections import INSPECTIONS, Inspected, Noted
from skoopctl.checks.inspections.paths import MOST_NAMED
from skoopctl.checks.snapshot import Snapshot
from skoopctl.plans.model import Path, Plan
from skoopctl.runs.probed import Probed
from skoopctl.runs.result import PATHS, PROBES, Looked, RunFinding, RunResult, key_of

Told = Callable[[str], None]
"""Hears what is looked at now, for people who wait."""


def evaluate(
    plan: Plan,
    snapshot: Snapshot,
    *,
    cluster: str,
    inventory: str,
    told: Told = lambda _: None,
    probed: Probed | None = None,
) -> RunResult:
    """Make every inspection of a plan and walk its paths. An inspection that breaks costs its own row only.

    ``probed`` is what watching the nodes' metrics has shown, if they were.
    """
    looked: list[Looked] = []
    found: dict[str, RunFinding] = {}
    if snapshot.hosts:
        for name in dict.fromkeys(plan.inspections):
            told(name)
            row, noted = _inspect(name, plan, snapshot)
            looked.append(row)
            for each in noted:
                _add(found, name, each)
    if probed is not None:
        looked.append(probed.looked)
        for finding in probed.findings:
            _add(found, PROBES, Noted(finding))
    paths = _judged(plan, snapshot, told) if snapshot.hosts else ()
    for judged in paths:
        for finding in judged.findings:
            _add(found, PATHS, Noted(finding, (judged.expectation.name,), 1))
    return RunResult(
        plan=plan.plan,
        cluster=cluster,
        inventory=inventory,
        coverage=snapshot.coverage,
        looked=tuple(looked),
        findings=tuple(sorted(found.values(), key=_rank)),
        paths=paths,
        unwatched=probed.unwatched if probed is not None else frozenset(),
    )


def _inspect(name: str, plan: Plan, snapshot: Snapshot) -> tuple[Looked, list[Noted]]:
    inspection = INSPECTIONS[name]
    inspected = Inspected(snapshot, plan.thresholds)
    noted: list[Noted] = []
    fault = ""
    try:
        noted.extend(inspection.run(inspected))
    except Exception as error:  # noqa: BLE001 - one inspection's fault must not cost the others
        fault = f"{type(error).__name__}: {error}"
    return Looked(name, inspection.title, dict(inspected.looked), fault), noted


def _add(found: dict[str, RunFinding], inspection: str, noted: Noted) -> None:
    """Join what two inspections say of the same thing: it is one finding, with the paths of both."""
    key = key_of(noted.finding)
    known = found.get(key)
    if known is None:
        found[key] = RunFinding((inspection,), noted)
        return
    affects = tuple(dict.fromkeys((*known.noted.affects, *noted.affects)))[:MOST_NAMED]
    together = replace(known.noted, affects=affects, affected=known.noted.affected + noted.affected)
    found[key] = RunFinding(tuple(dict.fromkeys((*known.inspections, inspection))), together)


def _rank(found: RunFinding) -> tuple[int, int, str, str, str]:
    finding = found.finding
    return -finding.severity, -found.noted.affected, finding.id, str(finding.where), finding.summary


def _judged(plan: Plan, snapshot: Snapshot, told: Told) -> tuple[Judged, ...]:
    expectations = [each for path in plan.paths for each in expectations_of(path)]
    if expectations:
        told(PATHS)
    return tuple(judge(each, snapshot) for each in expectations)


def expectations_of(path: Path) -> Iterator[Expectation]:
    """Yield the single paths that one entry of a plan stands for."""
    sources = [path.from_] if isinstance(path.from_, str) else path.from_
    destinations = [path.to] if isinstance(path.to, str) else path.to
    many = len(sources) * len(destinations) > 1
    for source in sources:
        for destination in destinations:
            ends = f"{source} -> {destination} {path.protocol}" + (f"/{path.port}" if path.port else "")
            name = f"{path.name} ({ends})" if path.name and many else path.name or ends
            question = Question(source, destination, path.protocol, path.port)
            yield Expectation(name, question, Expected(path.expect), Severity[path.severity.upper()])
