"""Loki's push API: what a request holds, how it is sent, and what the answer says.

``POST /loki/api/v1/push`` with JSON, as Loki's HTTP API documents it: streams of one label set each, entries as pairs
of a time (nanoseconds since 1970, as text) and a line, with structured metadata as a third part. Loki keeps an entry
with the same labels, time and line once, so that one that is sent again is not there twice.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse

from skoopctl.sinks.connection import Access, Connection, said

PATH = "/loki/api/v1/push"
MOST_NS = 2**63 - 1
"""Times are 64 bits there; one later time refuses the whole request."""
_SAID = 4096
_SHOWN = 200
_IGNORED = re.compile(r"total ignored: (\d+) out of \d+")
"""What an ingester says of each stream of which it did not take all (pkg/ingester/stream.go)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``stream`` are the labels that not all streams have, as pairs; ``metadata`` likewise."""

    wall_ns: int
    line: str
    stream: tuple[tuple[str, str], ...]
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """The bytes of its line."""
        return len(self.line) if self.line.isascii() else len(self.line.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What Loki said. ``later_s`` is after how long it wants to be asked again; nothing where it does not say."""

    status: int
    text: str
    later_s: float | None = None

    @property
    def taken(self) -> bool:
        """Whether all entries were taken."""
        return 200 <= self.status < 300

    @property
    def again(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 429 or self.status >= 500

    @property
    def is_about_entries(self) -> bool:
        """Whether it is this request that is not taken, and not whoever sends it."""
        return self.status in {400, 413, 422}

    def refused_of(self, entries: int) -> int:
        """Return how many of a request's entries were not taken: those that it counts, or else all."""
        counted = [int(number) for number in _IGNORED.findall(self.text)] if self.status == 400 else []
        return min(sum(counted), entries) if counted else entries


def request_body(entries: Iterable[Entry], labels: Mapping[str, str], *, metadata: bool) -> bytes:
    """Return a request: a stream for each set of labels, its entries by time; equal times keep their order."""
    streams: dict[tuple[tuple[str, str], ...], list[Entry]] = {}
    for entry in entries:
        streams.setdefault(entry.stream, []).append(entry)
    rows = [
        {
            "stream": dict((*labels.items(), *own)),
            "values": [_value(e, metadata=metadata) for e in by_time(those)],
        }
        for own, those in streams.items()
    ]
    return json.dumps({"streams": rows}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def by_time(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries by time."""
    return sorted(entries, key=lambda entry: entry.wall_ns)


def _value(entry: Entry, *, metadata: bool) -> list[object]:
    pair: list[object] = [str(entry.wall_ns), entry.line]
    return [*pair, dict(entry.metadata)] if metadata and entry.metadata else pair


class LokiClient:
    """One connection to Loki, used by one thread at a time and opened anew when it broke."""

    def __init__(self, access: Access, tenant: str = "") -> None:
        base = access.url.rstrip("/").removesuffix(PATH)
        self._connection = Connection(replace(access, url=base), "Loki")
        self._headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        if tenant:
            self._headers["X-Scope-OrgID"] = tenant

    def push(self, body: bytes) -> Answer:
        """Send a request, and return what Loki says. Raises `PushError` in one line when it says nothing."""
        packed = gzip.compress(body, 1)
        with self._connection.exchange("POST", PATH, packed, self._headers) as answer:
            text = said(answer, _SAID)
            answer.read()
            return Answer(answer.status, text or answer.reason, _later_s(answer))

    def close(self) -> None:
        """Close the connection; also ends a push of another thread."""
        self._connection.close()


def in_short(answer: Answer) -> str:
    """Return an answer for people."""
    return f"Loki says {answer.status}: {answer.text[:_SHOWN] or 'nothing more'}"


def _later_s(answer: HTTPResponse) -> float | None:
    """Return what Retry-After says: seconds, or a date (RFC 9110, 10.2.3)."""
    told = (answer.getheader("Retry-After") or "").strip()
    if told.isascii() and told.isdigit():
        return float(told[:9])
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    return None
