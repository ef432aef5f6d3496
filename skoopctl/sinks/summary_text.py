"""The end of a watch for a person: coverage, what is wrong, the biggest numbers, and what could not be had."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.finding import Severity
from skoopctl.events.words import duration
from skoopctl.report.escape import shorten
from skoopctl.report.finding_lines import finding_lines
from skoopctl.report.terminal import Line, Span, line, painted, wrapped
from skoopctl.watching.summary import Biggest, EventSummary, Lack, NodeSummary, Summary, Took
from skoopctl.watching.table import in_short, troublesome

NODES_NAMED = 3
PLACES_SHOWN = 3
EVENTS_SHOWN = 20
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
    if summary.events is not None:
        yield line("")
        yield from _event_lines(summary.events, width)
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
    if node.reboots:
        often = f"{node.reboots} times" if node.reboots > 1 else "once"
        parts.append(f"rebooted {often}: its metrics are since then")
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


def _event_lines(events: EventSummary, width: int) -> Iterator[Line]:
    blind = f"; none of the probes ran on {_some(events.blind)}" if events.blind else ""
    if not events.happened:
        yield line(Span(f"No events{blind}", "warn" if blind else "good"))
    else:
        yield line(Span(f"Events, over the whole time{blind}", "bold"))
    for each in events.happened[:EVENTS_SHOWN]:
        places = [f"{count:,} {place}" for place, count in each.places[:PLACES_SHOWN]]
        more = len(each.places) - len(places)
        said = ", ".join([*places, *([f"and {more} more places"] if more else [])])
        name = f"  {each.kind} {each.reason}".rstrip()
        first, *rest = wrapped(said, width, rest=" " * HEAD_WIDTH)
        if len(name) < HEAD_WIDTH - 1:
            yield line(f"{name:<{HEAD_WIDTH}}", *first[1:])
        else:
            yield line(name)
            yield line(" " * HEAD_WIDTH, *first[1:])
        yield from rest
    if len(events.happened) > EVENTS_SHOWN:
        yield line(Span(f"  and {len(events.happened) - EVENTS_SHOWN} more kinds and reasons: --json", "dim"))
    yield from _took_lines(events.took)
    for node, number in events.lost:
        yield line(
            Span(f"  {node}: {number:,} samples found no room; they are counted, and not shown", "warn")
        )
    for node, number in events.missed:
        yield line(
            Span(f"  {node}: programs were busy {number:,} times; what happened then is in no count", "warn")
        )


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NODES_NAMED} more" if len(names) > NODES_NAMED else ""
    return f"{', '.join(names[:NODES_NAMED])}{more}"


def _took_lines(rows: tuple[Took, ...]) -> Iterator[Line]:
    """Yield a line for each thing that takes time: of the node where it took longest."""
    alike: dict[str, list[Took]] = {}
    for took in rows:
        name = " ".join(part for part in (took.probe, took.stage, took.type) if part)
        alike.setdefault(name, []).append(took)
    if alike:
        yield line("")
        yield line(Span("How long things took, on the slowest node", "bold"))
    for name, found in alike.items():
        worst = max(found, key=lambda each: (_or_more(each.most_ns), _or_more(each.half_ns)))
        half, most = (
            f"< {duration(ns)}" if ns is not None else "longer" for ns in (worst.half_ns, worst.most_ns)
        )
        yield line(f"  {name:<32}half {half:<10} 99 % {most:<10} of {worst.count:,}  {worst.node}")


def _or_more(bound_ns: int | None) -> float:
    return float("inf") if bound_ns is None else bound_ns


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
