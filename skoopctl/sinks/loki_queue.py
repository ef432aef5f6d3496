"""Entries that wait for Loki: bounded in number and size, the oldest first, and the oldest lost first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from skoopctl.sinks.loki_push import Entry

Row = tuple[float, Entry]
"""When an entry came, by the monotonic clock, and the entry."""
Batch = list[Row]


@dataclass(frozen=True, slots=True)
class Batching:
    """When a request goes out, and how much may wait."""

    entries: int = 1_000
    """Events in one request."""
    size: int = 512 * 1024
    """Bytes of lines in one request; at least one event."""
    age_s: float = 1.0
    """How long the first of them waits for others."""
    queue: int = 20_000
    """Events that may wait."""
    queue_size: int = 64 * 1024 * 1024
    """Bytes of lines that may wait."""
    first_backoff_s: float = 0.5
    most_backoff_s: float = 30.0


@dataclass(slots=True)
class Queue:
    """Rows, the oldest first, and how many bytes their lines are together."""

    batching: Batching
    rows: deque[Row] = field(default_factory=deque)
    size: int = 0

    def put(self, now: float, entry: Entry) -> int:
        """Add an entry; return how many of the oldest made room for it."""
        self.rows.append((now, entry))
        self.size += entry.size
        return self._trim()

    def put_back(self, batch: Batch) -> int:
        """Put a batch back where it was; return how many of the oldest had no room any more."""
        self.rows.extendleft(reversed(batch))
        self.size += sum(entry.size for _, entry in batch)
        return self._trim()

    @property
    def is_full(self) -> bool:
        """Whether a request would hold no more."""
        return len(self.rows) >= self.batching.entries or self.size >= self.batching.size

    def take(self) -> Batch:
        """Take the oldest, as many as a request may hold."""
        batch: Batch = []
        taken = 0
        while self.rows and len(batch) < self.batching.entries:
            size = self.rows[0][1].size
            if batch and taken + size > self.batching.size:
                break
            batch.append(self.rows.popleft())
            taken += size
        self.size -= taken
        return batch

    def _trim(self) -> int:
        dropped = 0
        while len(self.rows) > self.batching.queue or self.size > self.batching.queue_size:
            self.size -= self.rows.popleft()[1].size
            dropped += 1
        return dropped
