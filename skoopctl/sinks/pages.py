"""The text of all nodes' series, each node's made once a round and kept until its next.

A page of many nodes has the lines of one metric together, as both formats want it; it is made of pieces, so
that no other node waits while one page is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_NEXT = b"\n# HELP "
"""How a metric begins, but for the first: within a label a newline is written as \\\\n."""
PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """One metric of one node: where its comment lines and its samples stand in the text."""

    name: bytes
    head: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Text:
    """One node's series as text, and where each metric stands in it."""

    data: bytes
    pieces: tuple[Piece, ...]
    series: int


def indexed(data: bytes) -> Text:
    """Return a page's text with the places of its metrics. Every metric begins with its HELP line."""
    starts, at = [0] if data else [], 0
    while (at := data.find(_NEXT, at)) >= 0:
        at += 1
        starts.append(at)
    pieces, comments = [], 0
    for start, end in zip(starts, [*starts, len(data)][1:], strict=True):
        begin = start
        while begin < end and data.startswith(b"#", begin):
            begin = data.index(b"\n", begin) + 1
            comments += 1
        name = data[start:begin].split(None, 3)[2]
        pieces.append(Piece(name, start, begin, end))
    return Text(data, tuple(pieces), data.count(b"\n") - comments)


Render = Callable[[], Text]
"""Gives a node's text when it is asked for."""


class Kept:
    """The text of one node, in both formats, made when it is first asked for after a round."""

    def __init__(self, render: Callable[[bool], bytes]) -> None:
        self._render = render
        self._texts: dict[bool, Text] = {}

    def text(self, *, openmetrics: bool = False) -> Text:
        """Return the text."""
        if openmetrics not in self._texts:
            self._texts[openmetrics] = indexed(self._render(openmetrics))
        return self._texts[openmetrics]

    def renew(self) -> None:
        """Forget it: a round has come."""
        self._texts.clear()


def joined(texts: Iterable[Render]) -> Iterator[bytes]:
    """Yield the page of many nodes in pieces; after each piece others may work. An empty piece is a pause."""
    found: list[Text] = []
    for make in texts:
        found.append(make())
        yield b""
    order: dict[bytes, list[tuple[Text, Piece]]] = {}
    for text in found:
        for piece in text.pieces:
            order.setdefault(piece.name, []).append((text, piece))
    gathered = bytearray()
    for parts in order.values():
        first, head = parts[0]
        gathered += first.data[head.head : head.begin]
        for text, piece in parts:
            gathered += memoryview(text.data)[piece.begin : piece.end]
            if len(gathered) >= PIECE:
                yield bytes(gathered)
                gathered.clear()
    yield bytes(gathered)
