"""Events as they come, a line each: on a terminal above what is shown there, else on standard output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from skoopctl.events.event import Event
from skoopctl.events.words import line_of
from skoopctl.report.escape import shorten
from skoopctl.report.terminal import Line, Span, line

BURST = 100
LINES_S = 20.0
"""Lines a second of one node, and how many may come at once: more than that nobody reads."""
NODE_WIDTH = 20
OWNER_WIDTH = 32


@dataclass(slots=True)
class _Room:
    """How many lines of a node may still be shown."""

    left: float = BURST
    at: float = 0.0
    hidden: int = 0


class EventText:
    """Makes lines of events, as many as can be read; what is not shown is counted, and said."""

    def __init__(self, write: Callable[[Line], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._rooms: dict[str, _Room] = {}

    def told(self, node: str, event: Event) -> None:
        """Write one event's line, if its node has not had too many."""
        room = self._rooms.setdefault(node, _Room(at=self._clock()))
        now = self._clock()
        room.left = min(BURST, room.left + (now - room.at) * LINES_S)
        room.at = now
        if room.left < 1:
            room.hidden += 1
            return
        room.left -= 1
        self._write(event_line(event))

    @property
    def hidden(self) -> dict[str, int]:
        """How many events of each node were not shown."""
        return {node: room.hidden for node, room in self._rooms.items() if room.hidden}

    def finish(self) -> None:
        """Say what was not shown."""
        for node, number in self.hidden.items():
            said = f"{number:,} more events of {node} were not shown: they came too fast to be read"
            self._write(line(Span(said, "dim")))


def event_line(event: Event) -> Line:
    """Return an event's line: the time here, the node, whose it was, and what happened."""
    return line(
        Span(f"{_clock_time(event.wall_ns)}  ", "dim"),
        f"{shorten(event.node, NODE_WIDTH):<10}  ",
        Span(f"{shorten(event.owner or 'host', OWNER_WIDTH):<18}  ", "bold"),
        line_of(event),
    )


def _clock_time(wall_ns: int) -> str:
    """Return the time of day here, with milliseconds."""
    try:
        moment = datetime.fromtimestamp(wall_ns / 1e9).astimezone()
    except (OverflowError, OSError, ValueError):
        return "??:??:??.???"
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
