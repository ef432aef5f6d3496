"""A diagnosis for a person at a terminal, at night: what is wrong first, then how that is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Confidence, Finding, Fix, Severity
from skoopctl.dataplane.proof import proof_of
from skoopctl.dataplane.trace import Branch, Disposition, Outcome, PathMtu, PathResult, Verdict
from skoopctl.report.escape import shorten
from skoopctl.report.minimal import minimal_lines, reason_words
from skoopctl.report.terminal import Line, Span, line, painted, wrapped
from skoopctl.report.text_path import evidence_lines, path_lines
from skoopctl.report.words import chosen, deciding_walk, fate, overview, settled, share_of, verdict_sentence

Explain = Literal["minimal", "summary", "full"]

BRANCHES_SHOWN = 12
_VERDICT_STYLES = {Verdict.PASS: "good", Verdict.FAIL: "bad", Verdict.MIXED: "warn", Verdict.UNKNOWN: "warn"}
_SEVERITY_STYLES = {
    Severity.FATAL: "bad",
    Severity.CRITICAL: "bad",
    Severity.WARNING: "warn",
    Severity.INFO: "dim",
}
_OUTCOME_MARKS = {Outcome.CONNECTED: Span("✔", "good"), Outcome.UNKNOWN: Span("?", "warn")}


def render_text(
    diagnosis: Diagnosis, *, width: int = 100, color: bool = False, explain: Explain = "summary"
) -> str:
    """Return a diagnosis as text of about ``width`` columns, ending in a newline.

    ``explain`` is how much: ``minimal`` is the verdict, a line for each packet, and the causes; ``summary`` the
    path with passed hooks folded, and every finding; ``full`` every station with its raw lines, and every branch.
    Raw evidence is never wrapped, so that it can be copied.
    """
    width = max(width, 40)
    return painted(_report(diagnosis, width, explain), color=color)


def render_headline(diagnosis: Diagnosis, *, width: int = 100, color: bool = False) -> str:
    """Return only what was seen and the verdict in a sentence, as the beginning of `render_text` has them."""
    return painted(_headline(diagnosis, max(width, 40)), color=color)


def _report(diagnosis: Diagnosis, width: int, explain: Explain) -> Iterator[Line]:
    if explain == "minimal":
        yield from minimal_lines(diagnosis)
        return
    yield from _headline(diagnosis, width)
    yield line("")
    yield from path_lines(_shown(diagnosis), width, full=explain == "full")
    if explain == "full":
        yield from _proof(diagnosis, width)
    yield from _branches(diagnosis, width, explain)
    for finding in diagnosis.findings:
        yield line("")
        yield from _finding(finding, width)
    yield from _notes(diagnosis, width)


def _proof(diagnosis: Diagnosis, width: int) -> Iterator[Line]:
    """Say which steps decided, in short: the rest of the way could be different."""
    reasons = proof_of(diagnosis.path.representative)
    if reasons:
        yield line("")
        yield line(Span("Decided by", "bold"))
    for reason in reasons:
        yield line("  ", shorten(reason_words(reason), width - 2))


def _headline(diagnosis: Diagnosis, width: int) -> Iterator[Line]:
    verdict = diagnosis.path.verdict
    missing = diagnosis.coverage.collected < len(diagnosis.coverage.hosts)
    yield from wrapped(overview(diagnosis), width, style="warn" if missing else "dim")
    yield line("")
    lead = f"{verdict.value}: "
    lines = wrapped(f"{lead}{verdict_sentence(diagnosis)}", width, style="bold", rest="  ")
    first = lines[0][-1].text
    yield line(Span(verdict.value, _VERDICT_STYLES[verdict]), Span(first[len(verdict.value) :], "bold"))
    yield from lines[1:]


def _shown(diagnosis: Diagnosis) -> Branch:
    return settled(diagnosis.path.representative, diagnosis.path)


def _branches(diagnosis: Diagnosis, width: int, explain: Explain) -> Iterator[Line]:
    path = diagnosis.path
    if len(path.branches) < 2:
        return
    order = sorted(path.branches, key=lambda branch: (branch.works, -branch.weight))
    shown = order if explain == "full" else order[:BRANCHES_SHOWN]
    yield line("")
    yield line(Span(f"Branches: {len(path.branches)} ways that the flow may take", "bold"))
    for branch in shown:
        yield from _branch(branch, path, width)
    if len(shown) < len(order):
        yield line(f"         … and {len(order) - len(shown)} more")
    if explain == "full":
        for branch in order:
            if branch is not path.representative:
                yield line("")
                yield line(Span(f"Branch {share_of(branch, path)}: {chosen(branch)}", "bold"))
                yield from path_lines(settled(branch, path), width, full=True)


def _branch(branch: Branch, path: PathResult, width: int) -> Iterator[Line]:
    bad = Span("✖", "bad")
    mark = bad if branch.disposition is Disposition.MTU else _OUTCOME_MARKS.get(branch.outcome, bad)
    weight = share_of(branch, path)
    yield line(
        "  ",
        mark,
        f" {weight:>9}  ",
        chosen(branch),
        "  ",
        Span(branch.outcome.value, mark.style),
        Span("  (shown above)", "dim") if branch is path.representative else "",
    )
    if not branch.works:
        walk = deciding_walk(settled(branch, path))
        said = f"the {walk.label} {fate(walk)}"
        if said != chosen(branch):
            yield from wrapped(said, width, first=" " * 15, rest=" " * 15)


def _finding(finding: Finding, width: int) -> Iterator[Line]:
    style = _SEVERITY_STYLES[finding.severity]
    sure = "" if finding.confidence is Confidence.CERTAIN else f", {finding.confidence.value}"
    lead = "CAUSE  " if finding.cause else ""
    yield line(
        Span(f"{lead}{finding.severity.word}{sure}", style),
        "  ",
        Span(str(finding.where), "bold"),
        "  ",
        Span(finding.id, "dim"),
    )
    yield from wrapped(finding.summary, width, first="  ", rest="  ", style="bold" if finding.cause else "")
    yield from evidence_lines(finding.evidence, "    ")
    if finding.why:
        yield from wrapped(finding.why, width, first="  why  ", rest="       ")
    if finding.fix:
        yield from _fix(finding.fix, width)


def _fix(fix: Fix, width: int) -> Iterator[Line]:
    checked = " (checked in the model: with this change the flow passes)" if fix.checked else ""
    yield from wrapped(f"{fix.summary}{checked}", width, first="  fix  ", rest="       ")
    for command in fix.commands:
        where = f"on {fix.node}: " if fix.node else ""
        yield line("       ", where, Span(command, "good"))


def _notes(diagnosis: Diagnosis, width: int) -> Iterator[Line]:
    path = diagnosis.path
    yield from _list("Largest packets", _sizes(path.mtu), width)
    yield from _list("Not known", path.unknowns, width)
    yield from _list("Would pass", path.conditions, width)
    yield from _list("Assumed", path.assumptions, width)
    unseen = []
    for host in diagnosis.coverage.hosts:
        said = [host.detail, *host.gaps]
        if host.status != "ok" or any(said):
            unseen.append(
                ": ".join(part for part in (host.host, host.status, "; ".join(filter(None, said))) if part)
            )
    yield from _list("Not seen", tuple(unseen), width)


def _sizes(mtu: PathMtu | None) -> tuple[str, ...]:
    """Say how large packets may be; nothing where all that the ends send passes."""
    if mtu is None or not (mtu.stalls or mtu.concerns):
        return ()
    said = []
    for way, most, sent in (("forward", mtu.forward, mtu.segment), ("reply", mtu.reply, mtu.reply_segment)):
        sends = f", the sender makes up to {sent}" if sent else ""
        said.append(f"{way}: {most or 'no limit seen'} bytes pass{sends}")
    return tuple(said)


def _list(title: str, entries: tuple[str, ...], width: int) -> Iterator[Line]:
    if entries:
        yield line("")
        yield line(Span(title, "bold"))
    for entry in entries:
        yield from wrapped(entry, width, first="  - ", rest="    ")
