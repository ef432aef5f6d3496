"""Events as lines for people: as many as can be read, and what is left out is counted."""

from __future__ import annotations

import re

from skoopctl.report.terminal import Line
from skoopctl.sinks.event_text import BURST, LINES_S, EventText, event_line
from tests.unit.events.made_events import DROP, bare, made


class Shown:
    """A terminal that keeps its lines, and a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[str] = []
        self.text = EventText(self._write, lambda: self.now)

    def _write(self, line: Line) -> None:
        self.lines.append("".join(span.text for span in line))


def test_a_line_has_time_node_owner_and_words() -> None:
    """What belongs to no pod is the host's; a time that no calendar has is no reason to fail."""
    pod, host, odd = (
        "".join(span.text for span in event_line(event)) for event in (DROP, bare(), made(wall_ns=1 << 62))
    )
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  node1 +shop/web-0 +packet dropped: NETFILTER_DROP in INPUT", pod)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  node1 +host +packet dropped", host)
    assert "node1" in odd


def test_more_than_can_be_read_is_counted_and_said() -> None:
    """A flood of one node is cut off, those of another node are not, and the end says how many were left out."""
    shown = Shown()
    for _ in range(BURST + 50):
        shown.text.told("node1", DROP)
    shown.text.told("node2", DROP)
    assert len(shown.lines) == BURST + 1
    assert shown.text.hidden == {"node1": 50}
    shown.text.finish()
    assert shown.lines[-1] == "50 more events of node1 were not shown: they came too fast to be read"


def test_after_a_while_there_is_room_again() -> None:
    """So many lines a second are always shown."""
    shown = Shown()
    for _ in range(BURST + 10):
        shown.text.told("node1", DROP)
    shown.now += 1
    for _ in range(int(LINES_S) + 5):
        shown.text.told("node1", DROP)
    assert len(shown.lines) == BURST + LINES_S
    assert shown.text.hidden == {"node1": 15}


def test_without_a_flood_the_end_says_nothing() -> None:
    """What was shown whole needs no word."""
    shown = Shown()
    shown.text.told("node1", DROP)
    shown.text.finish()
    assert len(shown.lines) == 1
