"""What stands beside a line in the picture: rows of words for stations, packets and the place of death."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from skoopctl.dataplane.trace import Evidence, PacketView, Step
from skoopctl.report.columns import columns, fit, wrap
from skoopctl.report.escape import escape_terminal
from skoopctl.report.messages import Messages
from skoopctl.report.station_in import station_in, unknown_in
from skoopctl.report.stations import Place, Station
from skoopctl.report.words import deciding_evidence, rule_place

STATION_HEIGHT = 24
LINE_HEIGHT = 14
MONO_WIDTH = 6.1
"""Advance of one character of the fixed-width face at 10 px, with a little to spare."""
SAID_WIDTH = 6.0
"""The same of the proportional face at 10.5 px, on average."""

_NOTE_LINES = 8


class Shape(Enum):
    """How a row is drawn."""

    PASSED = auto()
    DELIVERED = auto()
    DEAD = auto()
    UNKNOWN = auto()
    PACKET = auto()
    RELABELLED = auto()
    DEATH_NOTE = auto()
    UNKNOWN_NOTE = auto()
    FIX_NOTE = auto()


STATIONS = frozenset({Shape.PASSED, Shape.DELIVERED, Shape.DEAD, Shape.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``lines`` are words (a station's name, then its decision); ``hint`` is shown when pointed at.

    ``depth_after`` is in how many tunnels the packet is on its way to the next station; ``first`` is the first step
    of the station that a row shows.
    """

    shape: Shape
    lines: tuple[str, ...]
    height: int
    depth_after: int = 0
    hint: str = ""
    first: Step | None = None


@dataclass(frozen=True, slots=True)
class Paper:
    """What rows are written on: ``room`` pixels beside the line, in a language; without ``detailed`` only names."""

    room: int
    words: Messages
    detailed: bool


def rows_of(place: Place, paper: Paper, label: str = "") -> list[Row]:
    """Return a place's rows in the packet's order. ``label`` is the packet's name, where its way begins."""
    rows: list[Row] = []
    for index, station in enumerate(place.stations):
        if label and index == 0:
            rows.append(_first_packet(station, label, paper))
        rows.append(_station(station, paper))
        rows.extend(_notes(station, paper))
        if paper.detailed and station.repacked and station.depth_after > station.depth:
            outer = paper.words.text("label.outer")
            rows.append(_words(Shape.PACKET, [outer, *_ends(station.repacked, paper.words)], paper))
        rows.extend(_relabelled(station, paper))
    return rows


def _station(station: Station, paper: Paper) -> Row:
    words, room = paper.words, paper.room
    shape = Shape.PASSED
    if station.dies:
        shape = Shape.DEAD
    elif station.unknown:
        shape = Shape.UNKNOWN
    elif station.delivered:
        shape = Shape.DELIVERED
    name = fit(escape_terminal(station_in(station, words)[:200]), int(room / 8))
    said = words.sentence(station.telling.decision)
    if shape is Shape.DEAD and station.ends:
        said = words.word("disposition", station.ends.value)
    elif station.relabelled:
        said = "NAT"
    left = int((room - _name_width(name) - 8) / SAID_WIDTH)
    told = (paper.detailed or shape is Shape.DEAD) and left > 7
    spoken = fit(escape_terminal(said[:400]), left) if told else ""
    hint = _hint(station, words)
    return Row(shape, (name, spoken), STATION_HEIGHT, station.depth_after, hint, station.steps[0])


def _name_width(name: str) -> float:
    return sum(9 if char.isupper() else 7.6 * columns(char) for char in name)


def _hint(station: Station, words: Messages) -> str:
    name = station_in(station, words)
    where = words.text("picture.hint", name=name, node=station.node, namespace=station.namespace)
    said = [where, *map(words.sentence, station.decisions)]
    lines = [f"{item.location}: {item.text[:300]}" for item in station.evidence[:6]]
    return " | ".join(part[:400] for part in (*said, *lines))


def _first_packet(station: Station, label: str, paper: Paper) -> Row:
    view = station.steps[0].before or station.steps[0].after
    lines = [paper.words.sentence(label if paper.detailed else label.partition(" (")[0])]
    if view is not None and paper.detailed:
        lines += _ends(view, paper.words)
    return _words(Shape.PACKET, lines, paper)


def _ends(view: PacketView, words: Messages) -> list[str]:
    source, destination = _end(view, source=True), _end(view, source=False)
    return [
        words.text("picture.from", end=source),
        words.text("picture.to", end=f"{destination} {view.protocol}"),
    ]


def _relabelled(station: Station, paper: Paper) -> Iterator[Row]:
    change = station.relabelled
    if change is None:
        return
    before, after = change
    for source in (True, False):
        was, now = _end(before, source=source), _end(after, source=source)
        if was != now:
            was, now = _without_same_port(was, now)
            key = "picture.from" if source else "picture.to"
            yield _words(Shape.RELABELLED, [paper.words.text(key, end=each) for each in (was, now)], paper)


def fix_row(lines: list[str], paper: Paper) -> Row:
    """Return the row that says what would help, for the place of death."""
    return _note(Shape.FIX_NOTE, lines, paper)


def _notes(station: Station, paper: Paper) -> Iterator[Row]:
    if station.dies:
        step = station.telling
        by = deciding_evidence(step) or (step.evidence[-1] if step.evidence else None)
        yield _note(Shape.DEATH_NOTE, _death(by, step.decision, paper.words), paper)
    elif station.unknown:
        yield _note(Shape.UNKNOWN_NOTE, [unknown_in(station, paper.words)], paper)


def _death(by: Evidence | None, decision: str, words: Messages) -> list[str]:
    if by is None:
        return [words.sentence(decision) or words.text("picture.no_reason")]
    number = "" if by.packets is None else words.counted("packets", by.packets)
    about = ", ".join(part for part in (words.sentence(rule_place(by)), number) if part)
    return [about, by.text] if by.kind.endswith("rule") else [words.sentence(decision), by.text]


def _note(shape: Shape, paragraphs: list[str], paper: Paper) -> Row:
    room = int((paper.room - 16) / MONO_WIDTH)
    lines: list[str] = []
    for each in paragraphs:
        lines += wrap(escape_terminal(each[:2000]), max(room, 12))
    if len(lines) > _NOTE_LINES:
        lines = [*lines[:_NOTE_LINES], paper.words.text("picture.shortened")]
    return Row(shape, tuple(lines), 16 + LINE_HEIGHT * len(lines))


def _words(shape: Shape, lines: list[str], paper: Paper) -> Row:
    room = int((paper.room - 20) / MONO_WIDTH)
    short = tuple(fit(escape_terminal(each[:200]), room) for each in lines)
    return Row(shape, short, 14 + LINE_HEIGHT * len(short))


def _without_same_port(was: str, now: str) -> tuple[str, str]:
    (was_address, _, was_port), (now_address, _, now_port) = was.rpartition(":"), now.rpartition(":")
    if was_port == now_port and was_address and now_address and "." in was:
        return was_address, now_address
    return was, now


def _end(view: PacketView, *, source: bool) -> str:
    address, port = (view.source, view.source_port) if source else (view.destination, view.destination_port)
    if not port or port == "0":
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
