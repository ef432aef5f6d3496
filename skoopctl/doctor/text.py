"""A report for people: a line a node, below it what is not well and what to do; everything with ``verbose``."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.doctor.ability import Answer, Prospect
from skoopctl.doctor.catalogue import fix_of
from skoopctl.doctor.check import Judgement, Level
from skoopctl.doctor.examine import Examination, Report
from skoopctl.report.terminal import Line, Span, line, wrapped

_LEVEL_STYLES = {Level.OK: "good", Level.DEGRADED: "warn", Level.MISSING: "bad", Level.UNKNOWN: "warn"}
_ANSWER_STYLES = {Answer.YES: "good", Answer.PARTLY: "warn", Answer.NO: "bad", Answer.UNKNOWN: "warn"}
_TITLE_AT = 30


def report_lines(report: Report, *, verbose: bool, width: int) -> list[Line]:
    """Return the report, at most ``width`` columns wide."""
    lines: list[Line] = []
    names = max((len(node.host.name) for node in report.nodes), default=0)
    for node in report.nodes:
        lines.append(_summary(node, names))
        if verbose and node.identity is not None:
            lines.append(line("  ", Span(_system(node), "dim")))
        for name, row in _shown(node, verbose=verbose):
            lines += _row(name, row, width)
    return [*lines, line(Span(_closing(report), "bold"))]


def _summary(node: Examination, names: int) -> Line:
    parts: list[Span | str] = [Span(f"{node.host.name:<{names}}", "bold")]
    for prospect in node.prospects:
        parts += [f"   {prospect.ability.title}: ", Span(prospect.answer, _ANSWER_STYLES[prospect.answer])]
        parts.append(_because(prospect, node))
    return line(*parts)


def _because(prospect: Prospect, node: Examination) -> str:
    if not prospect.because or not node.answered:
        return ""
    return f" ({', '.join(prospect.because)})"


def _system(node: Examination) -> str:
    assert node.identity is not None  # noqa: S101 - asked by the caller
    who = node.identity
    return f"{who.hostname}, {who.os}, Linux {who.kernel} {who.machine}, Python {who.python}"


def _shown(node: Examination, *, verbose: bool) -> Iterator[tuple[str, Judgement]]:
    """Yield the rows that are worth a line: of a node that gave no answer, only why."""
    for name, row in node.rows.items():
        if verbose or (row.level is not Level.OK and (node.answered or row.level is Level.MISSING)):
            yield name, row


def _row(name: str, row: Judgement, width: int) -> list[Line]:
    head = f"  {row.level:<9} {name:<17}"
    first, *rest = wrapped(row.detail, width, first="", rest=" " * _TITLE_AT)
    lines = [line(Span(head, _LEVEL_STYLES[row.level]), " ", *first), *rest]
    if fix := fix_of(name, row):
        lines += wrapped(fix, width, first=f"{'':<{_TITLE_AT}}→ ", rest=f"{'':<{_TITLE_AT}}  ")
    return lines


def _closing(report: Report) -> str:
    total = len(report.nodes)
    return f"{report.answered} of {total} nodes answered; {report.fine} have all that a diagnosis needs."
