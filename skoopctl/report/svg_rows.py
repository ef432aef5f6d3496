"""What stands beside a line in the picture: rows of words for stations, packets and the place of death."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from skoopctl.dataplane.trace import Evidence, PacketView, Step
from skoopctl.report.escape import escape_terminal, shorten
from skoopctl.report.stations import Place, Station
from skoopctl.report.words import counter, deciding_evidence, rule_place

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


def rows_of(place: Place, *, room: int, detailed: bool, label: str = "") -> list[Row]:
    """Return a place's rows in the packet's order, for ``room`` pixels beside the line.

    ``label`` is the packet's name, where its way begins; without ``detailed`` there are only names.
    """
    rows: list[Row] = []
    for index, station in enumerate(place.stations):
        if label and index == 0:
            rows.append(_first_packet(station, label, room, detailed=detailed))
        rows.append(_station(station, room, detailed=detailed))
        rows.extend(_notes(station, room))
        if detailed and station.repacked and station.depth_after > station.depth:
            rows.append(_words(Shape.PACKET, ["outer packet", *_ends(station.repacked)], room))
        rows.extend(_relabelled(station, room))
    return rows


def _station(station: Station, room: int, *, detailed: bool) -> Row:
    shape = Shape.PASSED
    if station.dies:
        shape = Shape.DEAD
    elif station.unknown:
        shape = Shape.UNKNOWN
    elif station.delivered:
        shape = Shape.DELIVERED
    name = shorten(escape_terminal(station.name[:200]), int(room / 8))
    said = station.telling.decision
    if shape is Shape.DEAD and station.ends:
        said = station.ends.value
    elif station.relabelled:
        said = "NAT"
    left = int((room - _name_width(name) - 8) / SAID_WIDTH)
    spoken = (
        shorten(escape_terminal(said[:400]), left) if (detailed or shape is Shape.DEAD) and left > 7 else ""
    )
    return Row(shape, (name, spoken), STATION_HEIGHT, station.depth_after, _hint(station), station.steps[0])


def _name_width(name: str) -> float:
    return sum(9 if char.isupper() else 7.6 for char in name)


def _hint(station: Station) -> str:
    said = [f"{station.name} on {station.node}, {station.namespace}", *station.decisions]
    lines = [f"{item.location}: {item.text[:300]}" for item in station.evidence[:6]]
    return " | ".join(part[:400] for part in (*said, *lines))


def _first_packet(station: Station, label: str, room: int, *, detailed: bool) -> Row:
    view = station.steps[0].before or station.steps[0].after
    lines = [label if detailed else label.partition(" (")[0]]
    if view is not None and detailed:
        lines += _ends(view)
    return _words(Shape.PACKET, lines, room)


def _ends(view: PacketView) -> list[str]:
    return [f"from {_end(view, source=True)}", f"to {_end(view, source=False)} {view.protocol}"]


def _relabelled(station: Station, room: int) -> Iterator[Row]:
    change = station.relabelled
    if change is None:
        return
    before, after = change
    for source in (True, False):
        was, now = _end(before, source=source), _end(after, source=source)
        if was != now:
            was, now = _without_same_port(was, now)
            word = "from" if source else "to"
            yield _words(Shape.RELABELLED, [f"{word} {was}", f"{word} {now}"], room)


def fix_row(words: list[str], room: int) -> Row:
    """Return the row that says what would help, for the place of death."""
    return _note(Shape.FIX_NOTE, words, room)


def _notes(station: Station, room: int) -> Iterator[Row]:
    if station.dies:
        step = station.telling
        by = deciding_evidence(step) or (step.evidence[-1] if step.evidence else None)
        yield _note(Shape.DEATH_NOTE, _death(by, step.decision), room)
    elif station.unknown:
        yield _note(Shape.UNKNOWN_NOTE, [station.unknown], room)


def _death(by: Evidence | None, decision: str) -> list[str]:
    if by is None:
        return [decision or "no reason is known"]
    about = ", ".join(part for part in (rule_place(by), counter(by)) if part)
    return [about, by.text] if by.kind.endswith("rule") else [decision, by.text]


def _note(shape: Shape, paragraphs: list[str], room: int) -> Row:
    columns = int((room - 16) / MONO_WIDTH)
    lines: list[str] = []
    for words in paragraphs:
        lines += textwrap.wrap(escape_terminal(words[:2000]), max(columns, 12), break_on_hyphens=False)
    if len(lines) > _NOTE_LINES:
        lines = [*lines[:_NOTE_LINES], "… (shortened)"]
    return Row(shape, tuple(lines), 16 + LINE_HEIGHT * len(lines))


def _words(shape: Shape, lines: list[str], room: int) -> Row:
    columns = int((room - 20) / MONO_WIDTH)
    short = tuple(shorten(escape_terminal(words[:200]), columns) for words in lines)
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
