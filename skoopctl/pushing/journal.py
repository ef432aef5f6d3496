"""The service's log: one line an event on standard error, and few of a node that comes and goes."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

QUIET_S = 60.0
"""A line of the same kind about the same node is written once in so long."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(slots=True)
class _Seen:
    at: float
    held: int = 0


class Journal:
    """Writes events. ``clock`` is monotonic; what is held back is counted in the next line of its kind.

    Events in ``unsaid`` are not written at all.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        as_json: bool = False,
        unsaid: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stream = stream or sys.stderr
        self._json = as_json
        self._unsaid = unsaid
        self._clock = clock
        self._now = now
        self._seen: dict[tuple[str, str], _Seen] = {}

    def say(self, event: str, message: str, *, node: str = "", always: bool = False) -> None:
        """Write one line. ``event`` is a word for programs, ``message`` for people."""
        held = 0
        if event in self._unsaid:
            return
        if not always:
            now, key = self._clock(), (event, node)
            seen = self._seen.get(key)
            if seen is not None and now - seen.at < QUIET_S:
                seen.held += 1
                return
            held = seen.held if seen is not None else 0
            self._seen[key] = _Seen(now)
        self._write(event, message, node, held)

    def forget(self, node: str) -> None:
        """Free what is kept of a node that has left."""
        for key in [key for key in self._seen if key[1] == node]:
            del self._seen[key]

    def _write(self, event: str, message: str, node: str, held: int) -> None:
        text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", message)
        if self._json:
            row: dict[str, object] = {
                "time": self._now().isoformat(timespec="milliseconds"),
                "event": event,
                "message": text,
            }
            row |= {"node": node} if node else {}
            row |= {"held_back": held} if held else {}
            line = json.dumps(row, ensure_ascii=False)
        else:
            more = f" ({held} more such lines were held back)" if held else ""
            line = f"skoopctl: push: {text}{more}"
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            return  # nobody reads the log any more, which is no reason to stop measuring
