"""A finding that belongs to no single flow, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.finding import Finding, Severity
from skoopctl.report.terminal import Line, Span, line, wrapped

STYLES = {Severity.FATAL: "bad", Severity.CRITICAL: "bad", Severity.WARNING: "warn", Severity.INFO: "dim"}
EVIDENCE_SHOWN = 3


def finding_lines(finding: Finding, width: int, *, mark: str = "", breaks: str = "") -> Iterator[Line]:
    """Yield a finding with its evidence and its fix; ``mark`` (``new``) and ``breaks`` are what a run adds."""
    style = STYLES[finding.severity]
    yield line(
        Span(finding.severity.word.upper(), style),
        Span(f" {mark}" if mark else "", "bold"),
        f" {finding.id}  {finding.where}",
    )
    yield from wrapped(finding.summary, width, first="  ", rest="  ")
    if breaks:
        yield from wrapped(f"breaks {breaks}", width, first="  ", rest="    ", style="dim")
    for evidence in finding.evidence[-EVIDENCE_SHOWN:]:
        yield line("  | ", Span(evidence.text, "fact"))
    if finding.fix is not None:
        tried = " (tried in the model)" if finding.fix.checked else ""
        yield from wrapped(f"fix: {finding.fix.summary}{tried}", width, first="  ", rest="    ")
        for command in finding.fix.commands:
            yield line("    # ", command)
