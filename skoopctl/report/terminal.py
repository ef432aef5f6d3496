"""Lines for a terminal: spans of text with a style, escaped and painted in one place."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from skoopctl.report.escape import clip, escape_terminal

LONGEST = 1000
"""Characters of one span that are shown; what a node said beyond this is counted, not printed."""

_STYLES = {
    "": "",
    "bold": "1",
    "dim": "2",
    "good": "32",
    "bad": "1;31",
    "warn": "33",
    "fact": "36",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line, as it came: nothing in it is trusted."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def line(*parts: Span | str) -> Line:
    """Make a line; plain strings are spans without a style."""
    return tuple(Span(part) if isinstance(part, str) else part for part in parts)


def wrapped(text: str, width: int, *, first: str = "", rest: str = "", style: str = "") -> list[Line]:
    """Return ``text`` as lines of at most ``width`` columns, after ``first`` and then ``rest``."""
    room = max(width - len(rest), 20)
    words = textwrap.wrap(escape_terminal(clip(text, LONGEST)), room, break_on_hyphens=False) or [""]
    return [line(first if index == 0 else rest, Span(part, style)) for index, part in enumerate(words)]


def painted(lines: Iterable[Line], *, color: bool) -> str:
    """Return lines as text, every span escaped; ``color`` adds SGR sequences around styled spans."""
    return "".join("".join(_paint(span, color=color) for span in spans).rstrip() + "\n" for spans in lines)


def _paint(span: Span, *, color: bool) -> str:
    text = escape_terminal(clip(span.text, LONGEST))
    code = _STYLES[span.style]
    return f"\x1b[{code}m{text}\x1b[0m" if color and code and text else text
