"""A run for a person: coverage first, then what is wrong and whether it is new, then what was looked at."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.expectations import Judged, State
from skoopctl.checks.finding import Severity
from skoopctl.report.finding_lines import finding_lines
from skoopctl.report.terminal import Line, Span, line, painted
from skoopctl.runs.changes import Changes
from skoopctl.runs.result import Looked, RunFinding, RunResult

_MARKS = {
    State.MET: Span("✔", "good"),
    State.UNMET: Span("✘", "bad"),
    State.UNDECIDED: Span("?", "warn"),
    State.UNKNOWN_END: Span("?", "warn"),
}


def render_run(
    result: RunResult,
    changes: Changes | None = None,
    *,
    width: int = 100,
    color: bool = False,
    diff: bool = False,
) -> str:
    """Return a run as text; with ``diff``, of the findings only those that are new or gone."""
    return painted(_lines(result, changes, max(width, 40), diff=diff), color=color)


def _lines(result: RunResult, changes: Changes | None, width: int, *, diff: bool) -> Iterator[Line]:
    yield line(Span(f"{result.plan}", "bold"), f" on {result.cluster}: {result.coverage.sentence()}")
    yield from _hosts(result)
    shown = [f for f in result.findings if not diff or changes is None or changes.is_new(f.key)]
    for found in shown:
        yield line("")
        yield from _finding(found, changes, width)
    if changes is not None:
        yield from _changes(changes, diff=diff)
    if result.paths:
        yield line("")
        for judged in result.paths:
            yield _path(judged)
    yield line("")
    for looked in result.looked:
        yield _looked(looked)
    yield line("")
    yield _summary(result)


def _hosts(result: RunResult) -> Iterator[Line]:
    """Yield the hosts that did not answer wholly, and the API when it was asked in vain."""
    hosts = [host for host in result.coverage.hosts if host.status != "ok"]
    width = max((len(host.host) for host in hosts), default=0)
    for host in hosts:
        yield line(
            "  ", Span(f"{host.host:<{width}}", "bold"), "  ", Span(host.status, "warn"), f"  {host.detail}"
        )
    if result.coverage.api not in {"ok", "not asked"}:
        yield line("  API  ", Span(result.coverage.api, "warn"))


def _finding(found: RunFinding, changes: Changes | None, width: int) -> Iterator[Line]:
    new = "new" if changes is not None and changes.is_new(found.key) else ""
    breaks = "; ".join(found.noted.affects)
    more = found.noted.affected - len(found.noted.affects)
    yield from finding_lines(
        found.finding, width, mark=new, breaks=f"{breaks} and {more} more" if breaks and more > 0 else breaks
    )


def _changes(changes: Changes, *, diff: bool) -> Iterator[Line]:
    yield line("")
    counts = f"{len(changes.new)} new, {len(changes.gone)} gone, {len(changes.unchanged)} unchanged"
    not_seen = f", {len(changes.unseen)} on hosts that gave no answer" if changes.unseen else ""
    yield line(f"Since {changes.since}: {counts}{not_seen}")
    if diff:
        for mark, findings in (("gone", changes.gone), ("not seen", changes.unseen)):
            for finding in findings:
                where = finding["node"] or "cluster"
                yield line("  ", Span(mark, "dim"), f"  {finding['id']}  {where}: {finding['summary']}")


def _path(judged: Judged) -> Line:
    return line(_MARKS[judged.state], f" {judged.expectation.name}: {judged.said}")


def _looked(looked: Looked) -> Line:
    if looked.fault:
        return line(
            Span("✘ ", "bad"), f"{looked.name}: broke off ({looked.fault}): its findings are not complete"
        )
    parts = []
    for what, (done, total) in looked.counts.items():
        parts.append(f"{done:,} {what}" if done == total else f"{done:,} of {total:,} {what}")
    return line(Span(f"{looked.name:<12}", "dim"), ", ".join(parts) or "nothing to look at")


def _summary(result: RunResult) -> Line:
    if not result.coverage.collected:
        return line(Span("nothing was inspected", "bad"), f", {result.duration_s:.1f} s")
    counts = [f"{result.count(each)} {each.word}" for each in reversed(Severity) if result.count(each)]
    noun = "finding" if len(result.findings) == 1 else "findings"
    said = f"{len(result.findings)} {noun} ({', '.join(counts)})" if counts else "no findings"
    if result.paths:
        said += f", {result.paths_in(State.MET)} of {len(result.paths)} paths as expected"
    return line(Span(said, "bold" if counts else "good"), f", {result.duration_s:.1f} s")
