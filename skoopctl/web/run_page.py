"""The page of a run that was kept: its findings, paths, hosts, read from what ``skoopctl run`` wrote down.

A file may come from anybody and from another version: what is not as the schema says is one error, or left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skoopctl.checks.finding import Finding, Severity
from skoopctl.errors import EvidenceError
from skoopctl.report.incident import finding_context
from skoopctl.report.messages import Messages, messages
from skoopctl.runs.inspection import looked_context, path_context, seen_context
from skoopctl.runs.kept_finding import finding_of
from skoopctl.web.wanted import Wanted

Json = Mapping[str, Any]
MOST_FINDINGS = 500


@dataclass(frozen=True, slots=True)
class KeptFinding:
    """One finding of the run, and the paths that it breaks; ``told`` is `finding_context` in the page's language."""

    finding: Finding
    told: Json
    new: bool
    affects: tuple[str, ...]
    affected: int


@dataclass(frozen=True, slots=True)
class KeptPath:
    """One path of the plan; ``href`` shows it, where its evidence is here."""

    name: str
    state: str
    expect: str
    said: str
    href: str


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run as it was kept, told in one language. ``looked`` are inspections with what they looked at."""

    plan: str
    cluster: str
    started: str
    duration_s: float
    tool_version: str
    summary: str
    api: str
    findings: tuple[KeptFinding, ...]
    paths: tuple[KeptPath, ...]
    hosts: tuple[Json, ...]
    looked: tuple[Json, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that findings are about."""
        return tuple(sorted({each.finding.where.node for each in self.findings if each.finding.where.node}))

    def counts(self) -> tuple[tuple[str, int], ...]:
        """Return how many findings each severity has, the worst first."""
        return tuple(
            (level.word, sum(each.finding.severity is level for each in self.findings))
            for level in reversed(Severity)
        )


@dataclass(frozen=True, slots=True)
class Sieve:
    """Which findings are looked at: of a severity, of a node, with words in them."""

    severity: str = ""
    node: str = ""
    search: str = ""

    def passes(self, kept: KeptFinding) -> bool:
        """Tell whether a finding is one of those."""
        finding = kept.finding
        if self.severity and finding.severity.word != self.severity:
            return False
        if self.node and finding.where.node != self.node:
            return False
        lines = " ".join(item.text for item in finding.evidence)
        said = f"{finding.summary} {finding.why} {kept.told['summary']} {kept.told['why']}"
        text = f"{finding.id} {finding.where} {said} {lines}".casefold()
        return all(word in text for word in self.search.casefold().split())


@dataclass(frozen=True, slots=True)
class RunPage:
    """All of one page of a run."""

    run: KeptRun
    sieve: Sieve
    shown: tuple[tuple[int, KeptFinding], ...]
    matching: int
    file: str
    evidence: str
    """What is said of the evidence behind the run."""


def run_page_of(run: KeptRun, sieve: Sieve, *, file: str, evidence: str) -> RunPage:
    """Return what the page shows of a run."""
    passing = [(number, each) for number, each in enumerate(run.findings) if sieve.passes(each)]
    return RunPage(run, sieve, tuple(passing[:MOST_FINDINGS]), len(passing), file, evidence)


def run_of(found: Json, file: str, *, has_evidence: bool, words: Messages | None = None) -> KeptRun:
    """Read a run as `read_run` gives it, and tell it in English or in ``words``.

    Raises `EvidenceError` that names the file.
    """
    try:
        return _run(found, words or messages(), has_evidence=has_evidence)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(
            f"{file}: not a whole run: {type(error).__name__}: {str(error)[:100]}",
            hint="was it changed by hand?",
        ) from None


def _run(found: Json, words: Messages, *, has_evidence: bool) -> KeptRun:
    plan, cluster = str(found["plan"]), str(found["cluster"])
    seen = seen_context(found["coverage"], words)
    return KeptRun(
        plan=plan,
        cluster=cluster,
        started=str(found["started"]),
        duration_s=float(found["duration_s"]),
        tool_version=str(found["tool_version"]),
        summary=seen["sentence"],
        api=seen["api"],
        findings=tuple(_finding(each, words) for each in found["findings"]),
        paths=tuple(_path(each, words, has_evidence=has_evidence) for each in found["paths"]),
        hosts=tuple(seen["hosts"]),
        looked=tuple(looked_context(each, words) for each in found["inspections"]),
    )


def _finding(row: Json, words: Messages) -> KeptFinding:
    finding = finding_of(row)
    affects = tuple(str(each) for each in row["affects"])
    return KeptFinding(
        finding, finding_context(finding, words), row["new"] is True, affects, int(row["affected"])
    )


def _path(row: Json, words: Messages, *, has_evidence: bool) -> KeptPath:
    port = int(row["port"] or 0)
    wanted = Wanted(
        str(row["source"]), str(row["destination"]), str(port) if port else "", str(row["protocol"])
    )
    return KeptPath(**path_context(row, words), href=wanted.href() if has_evidence else "")
