"""The JSON lines of a ``probe run`` that goes on, counted as they come: nothing else of a flood is kept."""

from __future__ import annotations

import os
import time
from threading import Thread

_AT_ONCE = 1 << 20


class EventLines:
    """Counts the lines of a pipe that have ``wanted`` in them, and those that have ``other``, until it ends."""

    def __init__(self, pipe: int, wanted: bytes, other: bytes) -> None:
        self.wanted = self.other = 0
        self.sample = b""
        """The last line with ``wanted`` in it, of some."""
        self.last = b""
        """The last line of all."""
        self._texts = wanted, other
        self._came = time.monotonic()
        self._pipe = pipe
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def idle_s(self) -> float:
        """How long no line that is wanted has come."""
        return time.monotonic() - self._came

    def wait(self, seconds: float) -> bool:
        """Wait for the pipe's end; return whether it came."""
        self._reader.join(seconds)
        return not self._reader.is_alive()

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._pipe, _AT_ONCE):
            whole, end, rest = (rest + data).rpartition(b"\n")
            if end:
                self._count(whole)

    def _count(self, whole: bytes) -> None:
        wanted, other = self._texts
        self.last = whole.rpartition(b"\n")[2]
        found = whole.count(wanted)
        if found:
            self._came = time.monotonic()
            self.wanted += found
            at = whole.find(wanted)
            end = whole.find(b"\n", at)
            self.sample = whole[whole.rfind(b"\n", 0, at) + 1 : end if end >= 0 else len(whole)]
        self.other += whole.count(other)
