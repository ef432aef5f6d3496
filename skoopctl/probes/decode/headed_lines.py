"""/proc/net/snmp and netstat: pairs of lines, names above values, each beginning with its section (``Tcp:``).

Columns come and go with kernels, so each is found by its name; where the names stand is worked out once for each
arrangement of lines that is met, and compared after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from skoopctl.probes.decode.rows import Decode, Rows, Value, checked, text_of

_LAYOUTS = 8
"""Arrangements that are kept: IcmpMsg comes and goes, and moves what stands below it."""

_Pick = Callable[[list[str]], tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class _Part:
    """One section: the line with its names as it is, how many words its values must be, and what is picked."""

    line: int
    names: str
    words: int
    pick: _Pick


_Layout = tuple[_Part, ...]


def compile_headed(fields: Sequence[str]) -> Decode:
    """Make a decoder of fields such as ``Tcp.RetransSegs``; one that a kernel lacks is None in the row."""
    groups = [(section, [f.partition(".")[2] for f in group]) for section, group in groupby(fields, _section)]
    layouts: list[_Layout] = []

    def decode(netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        lines = text_of(items[0] or b"").split("\n")
        layout = _known(layouts, lines)
        if layout is None:
            layout = tuple(_part(lines, section, names) for section, names in groups)
            layouts.insert(0, layout)
            del layouts[_LAYOUTS:]
        row: tuple[Value, ...] = ()
        for part in layout:
            words = lines[part.line + 1].split()
            if len(words) != part.words:
                raise ValueError(f"{len(words)} values below {part.words} names in line {part.line + 1}")
            row += part.pick(words)
        return [(netns, row)]

    return decode


def _section(field: str) -> str:
    return field.partition(".")[0]


def _known(layouts: list[_Layout], lines: list[str]) -> _Layout | None:
    last = len(lines) - 2
    for layout in layouts:
        for part in layout:
            if part.line > last or lines[part.line] != part.names:
                break
        else:
            return layout
    return None


def _part(lines: list[str], section: str, names: list[str]) -> _Part:
    """Find a section. Raises ValueError when it is not there, or its values are not."""
    head = f"{section}: "
    line = next((number for number, text in enumerate(lines) if text.startswith(head)), -1)
    if line < 0 or line + 1 >= len(lines) or not lines[line + 1].startswith(head):
        raise ValueError(f"no {section}")
    words = lines[line].split()
    at = {word: index for index, word in enumerate(words) if index}
    return _Part(line, lines[line], len(words), _picker([at.get(name) for name in names]))


def _picker(places: list[int | None]) -> _Pick:
    """Return a function that takes the words at some places, with None where a place is None."""
    there = [place for place in places if place is not None]
    if not there:
        return lambda _: (None,) * len(places)
    get = itemgetter(*there) if len(there) > 1 else _only(there[0])
    if len(there) == len(places):
        return lambda words: checked(get(words))
    order = [there.index(place) if place is not None else None for place in places]

    def pick(words: list[str]) -> tuple[Value, ...]:
        found = checked(get(words))
        return tuple(None if index is None else found[index] for index in order)

    return pick


def _only(place: int) -> Callable[[list[str]], tuple[str, ...]]:
    return lambda words: (words[place],)
