"""The end of a watch for a person: coverage, what is wrong, the biggest numbers, and what could not be had."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.finding import Severity
from skoopctl.report.escape import shorten
from skoopctl.report.finding_lines import finding_lines
from skoopctl.report.terminal import Line, Span, line, painted, wrapped
from skoopctl.watching.summary import Biggest, Lack, NodeSummary, Summary
from skoopctl.watching.table import in_short, troublesome

NODES_NAMED = 3
HEAD_WIDTH = 34
PREFIXES = ("kubeskoop_", "skoopctl_")


def render_summary(summary: Summary, *, width: int = 100, color: bool = False) -> str:
    """Return the summary as text."""
    return painted(_lines(summary, max(width, 40)), color=color)


def _lines(summary: Summary, width: int) -> Iterator[Line]:
    style = "good" if summary.measured == len(summary.nodes) else "warn" if summary.measured else "bad"
    more = ", interrupted" if summary.interrupted else ""
    yield line(Span(f"{summary.coverage}{more}", style), f", one every {summary.interval_s:g} s")
    yield from _nodes(summary.nodes, width)
    for finding in summary.findings:
        yield line("")
        yield from finding_lines(finding, width)
    if summary.biggest:
        yield line("")
        yield line(Span("Highest, over the whole time", "bold"))
        for each in summary.biggest:
            yield from _biggest(each, width)
        yield line(Span(f"  {_left_out(summary)}", "dim"))
    if summary.lacks:
        yield line("")
        yield line(Span("Not, or not wholly, available", "bold"))
        for lack in summary.lacks:
            yield from _lack(lack, len(summary.nodes), width)
    yield line("")
    yield _verdict(summary)


def _nodes(nodes: tuple[NodeSummary, ...], width: int) -> Iterator[Line]:
    """Yield the nodes that did not answer all the time, with why."""
    for node in nodes:
        said = _troubles(node)
        if said:
            yield line("  ", Span(node.name, "bold"), "  ", Span(node.status, "warn"), f"  {said}")
        if node.why:
            yield from wrapped(node.why, width, first="      ", rest="      ", style="dim")


def _troubles(node: NodeSummary) -> str:
    parts = []
    if node.status != "ok" and node.rounds:
        parts.append(f"{node.rounds} {'round' if node.rounds == 1 else 'rounds'} came")
    if node.breaks:
        parts.append(f"broke {node.breaks} times" if node.breaks > 1 else "broke once")
    if node.skipped:
        parts.append(f"{node.skipped} rounds fell out: the node was late")
    return ", ".join(parts) or ("" if node.status == "ok" else "no round came")


def _biggest(each: Biggest, width: int) -> Iterator[Line]:
    metric = each.metric
    style = "warn" if metric.name in troublesome() else ""
    head = Span(f"  {short_name(metric.name):<32}", style)
    row = ""
    for place, value in each.places:
        said = f"{in_short(value, metric.kind, metric.name)} {place}"
        if row and len(row) + 2 + len(said) > width - HEAD_WIDTH:
            yield line(head, row)
            head, row = Span(" " * HEAD_WIDTH), ""
        row = f"{row}  {said}" if row else shorten(said, width - HEAD_WIDTH)
    yield line(head, row)


def _left_out(summary: Summary) -> str:
    more = len(summary.table.columns) - len(summary.biggest)
    parts = [f"{more} more are not zero"] if more else []
    return ", ".join([*parts, f"{summary.table.zero} are zero everywhere"])


def _lack(lack: Lack, total: int, width: int) -> Iterator[Line]:
    named = ", ".join(lack.nodes[:NODES_NAMED])
    more = f" and {len(lack.nodes) - NODES_NAMED} more" if len(lack.nodes) > NODES_NAMED else ""
    where = "every node" if len(lack.nodes) == total and total > 1 else f"{named}{more}"
    yield from wrapped(
        f"{', '.join(lack.probes)}: {lack.state} on {where}: {lack.why}",
        width,
        first="  ",
        rest="      ",
        style="dim",
    )


def short_name(name: str) -> str:
    """Return a metric's name without the part that all have."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _verdict(summary: Summary) -> Line:
    if not summary.measured:
        return line(Span("nothing was measured", "bad"))
    counts = [
        f"{found} {severity.word}"
        for severity in reversed(Severity)
        if (found := sum(each.severity is severity for each in summary.findings))
    ]
    noun = "finding" if len(summary.findings) == 1 else "findings"
    said = f"{len(summary.findings)} {noun} ({', '.join(counts)})" if counts else "no findings"
    return line(Span(said, "bold" if counts else "good"))
