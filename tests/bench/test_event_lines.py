"""Lines of a flood are counted whole, however the pipe cuts them."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from tests.bench.event_lines import EventLines

WANTED, OTHER = b'"port":90', b'"reason":"other"'
LINES = b'{"port":9001}\n{"reason":"other"}\n{"port":80}\n{"port":9002,"last":1}\n{"type":"summary"}\n'
PATIENCE_S = 20.0


def counted(pieces: Iterable[bytes]) -> EventLines:
    """Return what has come of lines that arrive in pieces."""
    reading, writing = os.pipe()
    lines = EventLines(reading, WANTED, OTHER)
    for piece in pieces:
        os.write(writing, piece)
    os.close(writing)
    assert lines.wait(PATIENCE_S)
    os.close(reading)
    return lines


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_each_line_counts_once_wherever_it_is_cut(size: int) -> None:
    """What is wanted, what is not, and the last line are the same for pieces of any size."""
    lines = counted(LINES[at : at + size] for at in range(0, len(LINES), size))
    assert (lines.wanted, lines.other, lines.last) == (2, 1, b'{"type":"summary"}')
    assert lines.sample in LINES.splitlines()
    assert WANTED in lines.sample


def test_a_line_that_never_ended_is_not_counted() -> None:
    """Half a line at the end is none."""
    assert counted([LINES, b'{"port":9003']).wanted == 2
