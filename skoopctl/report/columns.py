"""How much room words take: a Chinese character stands in two columns, a Latin letter in one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from unicodedata import category, east_asian_width

from skoopctl.report.escape import shorten

_CLOSING = frozenset({"Pe", "Pf", "Po"})
"""Unicode's categories of marks that no line of Chinese begins with: a comma, the second of a pair of brackets."""
_OPENING = frozenset({"Ps", "Pi"})
"""Those that no line ends with."""


def columns(text: str) -> int:
    """Return how many columns a text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def fit(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` columns, with an ellipsis where it was cut, as `shorten` does."""
    if columns(text) == len(text):
        return shorten(text, limit)
    return text if columns(text) <= limit else _head(text, max(limit - 1, 0)) + "…"


def wrap(text: str, limit: int) -> list[str]:
    """Return lines of at most ``limit`` columns (two at least), broken between words or wide characters."""
    if columns(text) == len(text):
        return textwrap.wrap(text, limit, break_on_hyphens=False)
    lines: list[str] = []
    line = ""
    for each in _pieces(" ".join(text.split())):
        piece = each
        if line and columns(line) + columns(piece) > limit:
            lines.append(line.rstrip())
            line, piece = "", piece.lstrip()
        while columns(piece) > limit:
            head = _head(piece, limit)
            lines.append(head)
            piece = piece[len(head) :]
        line += piece
    return [*lines, line.rstrip()] if line.rstrip() else lines


def _width(char: str) -> int:
    return 2 if east_asian_width(char) in {"W", "F"} else 1


def _pieces(text: str) -> Iterator[str]:
    """Yield what stays together: a word, a space, a wide character, each with the marks that belong to it."""
    piece = ""
    for char in text:
        last = piece[-1:]
        apart = char == " " or last == " " or _width(char) == 2 or (last != "" and _width(last) == 2)
        if piece and apart and not (_is(char, _CLOSING) or _is(last, _OPENING)):
            yield piece
            piece = ""
        piece += char
    if piece:
        yield piece


def _is(char: str, categories: frozenset[str]) -> bool:
    return not char.isascii() and category(char) in categories


def _head(text: str, limit: int) -> str:
    """Return as many characters as go into ``limit`` columns."""
    taken = 0
    for index, char in enumerate(text):
        taken += _width(char)
        if taken > limit:
            return text[:index]
    return text
