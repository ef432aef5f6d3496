"""A packet's way as lines of text: places, stations, and what each decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from skoopctl.dataplane.trace import Branch, Evidence, StepKind, Walk
from skoopctl.report.escape import escape_terminal, shorten
from skoopctl.report.stations import Place, Station, places
from skoopctl.report.terminal import Line, Span, line
from skoopctl.report.words import counter, deciding_evidence, ended, header

_RAILS = ("  │", "  ║")
_NAME_LIMIT = 32
_WORDS_LIMIT = 2000
_Row = tuple[tuple[Station, ...], str]


def path_lines(branch: Branch, width: int, *, full: bool) -> Iterator[Line]:
    """Yield all packets' ways of a branch; those that only mirror the first are one line unless ``full``."""
    for index, walk in enumerate(branch.walks):
        if index:
            yield line("")
        mirrors = index > 0 and not full and _arrives_quietly(walk)
        yield from _mirror(branch.forward, walk, width) if mirrors else _walk(walk, width, full=full)


def evidence_lines(items: Sequence[Evidence], indent: str, style: str = "fact") -> Iterator[Line]:
    """Yield raw lines as they were read, each after its place and counter."""
    for item in items:
        about = ", ".join(part for part in (item.node, item.location or item.kind, counter(item)) if part)
        yield line(indent, Span(f"{about}:", "dim"))
        yield line(indent, "  ", Span(item.text, style))


def _arrives_quietly(walk: Walk) -> bool:
    stations = [station for place in places(walk.steps) for station in place.stations]
    return bool(stations) and stations[-1].delivered and not any(station.unknown for station in stations)


def _mirror(forward: Walk, walk: Walk, width: int) -> Iterator[Line]:
    way = [place.key for place in places(walk.steps)]
    there = [place.key for place in places(forward.steps)]
    if way == there:
        how = "goes the same way"
    elif way == there[::-1]:
        how = "comes back the same way"
    else:
        nodes = list(dict.fromkeys(node for node, _ in way))
        how = f"takes another way, over {', '.join(nodes)},"
    changes = [
        f"{step.decision} on {step.node}"
        for step in walk.steps
        if step.kind is StepKind.NAT and step.decision
    ]
    yield _title(walk, width)
    yield line("  ", Span("✔", "good"), f" {how} and arrives", f" ({'; '.join(changes)})" if changes else "")


def _walk(walk: Walk, width: int, *, full: bool) -> Iterator[Line]:
    yield _title(walk, width)
    stays = places(walk.steps)
    names = [row[1] for place in stays for row in _rows(place, full=full)]
    column = min(max(map(len, names), default=0), _NAME_LIMIT)
    depth = 0
    for index, place in enumerate(stays):
        if index:
            yield line("  ▼", Span(" in the tunnel", "dim") if depth else "")
        yield line("  ", Span(f"{place.node or '?'} · {place.namespace}", "bold"))
        for stations, name in _rows(place, full=full):
            yield from _station_lines(stations, name, column, width, full=full)
            depth = stations[-1].depth_after


def _title(walk: Walk, width: int) -> Line:
    view = next((step.before or step.after for step in walk.steps if step.before or step.after), None)
    return line(Span(walk.label, "bold"), "  ", shorten(header(view), width - 10) if view else "")


def _rows(place: Place, *, full: bool) -> Iterator[_Row]:
    """Yield stations, hooks that a packet just passes folded into one row unless ``full``."""
    passed: list[Station] = []
    for station in place.stations:
        if passed and (full or not station.plain or station.depth != passed[-1].depth):
            yield tuple(passed), ", ".join(item.name for item in passed)
            passed = []
        if station.plain:
            passed.append(station)
        else:
            yield (station,), station.name
    if passed:
        yield tuple(passed), ", ".join(item.name for item in passed)


def _station_lines(
    stations: tuple[Station, ...], name: str, column: int, width: int, *, full: bool
) -> Iterator[Line]:
    station = stations[-1]
    rail = _RAILS[min(station.depth, 1)]
    said = list(dict.fromkeys(chain.from_iterable(item.decisions for item in stations)))
    words = "; ".join(said) if full or len(stations) > 1 else station.telling.decision
    if station.ends and not station.delivered:
        words = ended(station.telling)
    mark, style = _mark(station, rail)
    room = width - len(rail) - column - 4
    spoken = escape_terminal(words[:_WORDS_LIMIT])
    shown = spoken if full or station.ends else shorten(spoken, room)
    yield line(
        mark,
        " ",
        Span(escape_terminal(shorten(name, _NAME_LIMIT)).ljust(column), style),
        "  ",
        Span(shown, style),
    )
    if station.unknown:
        yield line(rail, "   ", Span(f"not known: {station.unknown}", "warn"))
    if full:
        for item in stations:
            yield from evidence_lines(item.evidence, f"{rail}     ")
    elif station.ends and not station.delivered:
        step = station.telling
        by = deciding_evidence(step)
        yield from evidence_lines((by,) if by else step.evidence[-1:], f"{rail}     ", "bad")
    yield from _relabelled(station, column)


def _mark(station: Station, rail: str) -> tuple[Span | str, str]:
    if station.dies:
        return Span("  ✖", "bad"), "bad"
    if station.unknown:
        return Span("  ?", "warn"), "warn"
    if station.delivered:
        return Span("  ✔", "good"), ""
    return rail, ""


def _relabelled(station: Station, column: int) -> Iterator[Line]:
    if station.repacked is not None:
        mark, name = ("╓", "outer packet") if station.depth_after > station.depth else ("╙", "inner packet")
        now = header(station.repacked)
        yield line(f"  {mark}─ ", Span(name.ljust(column - 1), "fact"), "  ", Span(now, "fact"))
    if station.relabelled is not None:
        before, after = station.relabelled
        yield line("  ├─ ", Span("was".ljust(column - 1), "dim"), "  ", Span(header(before), "dim"))
        yield line("  ├─ ", Span("is now".ljust(column - 1), "fact"), "  ", Span(header(after), "fact"))
