"""What one run found: every output, the comparison with the last run, and the exit status are made from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from skoopctl.checks.diagnosis import Coverage
from skoopctl.checks.expectations import Judged, State
from skoopctl.checks.finding import Finding, Severity
from skoopctl.checks.inspections import Noted

PROBES = "probes"
"""The name under which findings of watched metrics are listed."""
PATHS = "paths"
"""The name under which findings about a plan's own paths are listed, beside those of inspections."""


@dataclass(frozen=True, slots=True)
class RunFinding:
    """A finding, and which inspections made it (the same one may come from several)."""

    inspections: tuple[str, ...]
    noted: Noted

    @property
    def finding(self) -> Finding:
        """The finding itself."""
        return self.noted.finding

    @property
    def key(self) -> str:
        """What makes it the same finding in the next run: its id, its place, and what it is about."""
        return key_of(self.finding)


def key_of(finding: Finding) -> str:
    """Return a finding's identity. Counts, and a rule's number in its chain, are no part of it."""
    subject = finding.evidence[-1].text if finding.evidence else finding.summary.partition(": ")[0]
    if finding.evidence and finding.evidence[-1].kind == "metric":  # NAME VALUE
        subject = subject.partition(" ")[0]
    words = (finding.id, finding.where.node, finding.where.namespace, subject)
    return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Looked:
    """How an inspection went. ``counts`` maps what it looked at to (how many, of how many)."""

    name: str
    title: str
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fault: str = ""
    """What went wrong in skoopctl itself; the inspection's findings are not complete then."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run. ``coverage`` is that of the hosts that the plan asks; ``started`` is in UTC."""

    plan: str
    cluster: str
    inventory: str
    coverage: Coverage
    looked: tuple[Looked, ...] = ()
    findings: tuple[RunFinding, ...] = ()
    paths: tuple[Judged, ...] = ()
    unwatched: frozenset[str] = frozenset()
    """Hosts whose metrics the plan wanted to watch, and of which nothing was measured."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    duration_s: float = 0.0

    @property
    def unmeasured_share(self) -> float:
        """The share of the hosts, in percent, whose metrics were to be watched and were not."""
        done, total = next(
            (row.counts.get("nodes", (0, 0)) for row in self.looked if row.name == PROBES), (0, 0)
        )
        return 100 * (total - done) / total if total else 0.0

    def count(self, severity: Severity) -> int:
        """Return how many findings have that severity."""
        return sum(each.finding.severity is severity for each in self.findings)

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings."""
        return max((each.finding.severity for each in self.findings), default=None)

    @property
    def missing_share(self) -> float:
        """The share of the hosts, in percent, that did not answer wholly."""
        hosts = self.coverage.hosts
        return 100 * sum(host.status != "ok" for host in hosts) / len(hosts) if hosts else 0.0

    def paths_in(self, state: State) -> int:
        """Return how many of the plan's paths are in a state."""
        return sum(path.state is state for path in self.paths)
