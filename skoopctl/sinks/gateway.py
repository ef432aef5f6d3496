"""A Pushgateway, for whoever pushes text that is ready: once, or over and over on one connection.

PUT replaces a whole group, so that nothing stale stays in it; samples have no timestamps (the gateway refuses them).
Calls block, and are made in threads; each ends within its deadline (`connection`).
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from urllib.parse import quote

from skoopctl.errors import PushError
from skoopctl.probes.exposition import CONTENT_TYPE
from skoopctl.sinks.connection import Access, Connection, said

__all__ = [
    "JOB",
    "LONGER",
    "SMALLEST_GZIP",
    "Access",
    "GatewayClient",
    "Group",
    "Pushed",
    "RefusedError",
    "path_of",
]

JOB = "skoopctl"
"""The job of all our groups."""
LONGER = 6
"""How much longer than a push it may take to read the gateway's whole page."""
SMALLEST_GZIP = 4096
"""Bytes below which compressing costs more than it saves."""
_MOST_LINE = 64 * 1024
_PUSHED = re.compile(rb"^push_time_seconds\{(.*)\} ([0-9.e+]+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_ESCAPED = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
_OF_THE_BODY = frozenset({400, 413, 415, 422})
"""Answers that are about this text, not about the gateway."""

Group = Mapping[str, str]


class RefusedError(PushError):
    """The gateway is well, and does not take this text."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A group that is at the gateway, and how long ago it was pushed, by the gateway's clock."""

    labels: tuple[tuple[str, str], ...]
    age_s: float

    @property
    def group(self) -> dict[str, str]:
        """Its labels but for the job."""
        return {name: value for name, value in self.labels if name != "job"}


class GatewayClient:
    """One connection to a gateway, used by one thread at a time and opened anew when it broke."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._connection = Connection(access, "the gateway")
        self._compress = True

    def put(self, group: Group, text: bytes) -> None:
        """Replace a group by ``text``. Raises `RefusedError` for the text, else `PushError`, in one line."""
        if self._compress and len(text) >= SMALLEST_GZIP:
            try:
                return self._change("PUT", group, gzip.compress(text, 1), "gzip")
            except RefusedError:
                self._change("PUT", group, text)
                self._compress = False  # the same text was taken without: this gateway is older than 1.5
                return None
        return self._change("PUT", group, text)

    def delete(self, group: Group) -> None:
        """Delete a group; one that is not there is as good. Raises `PushError` in one line."""
        self._change("DELETE", group)

    def groups(self) -> list[Pushed]:
        """Return the groups of our job. The page is read line by line: it may be large."""
        found: list[Pushed] = []
        long = LONGER * self.access.timeout_s
        with self._connection.exchange("GET", "/metrics", limit_s=long) as answer:
            if answer.status != 200:
                raise self._error(answer)
            date = answer.getheader("Date")
            now = parsedate_to_datetime(date).timestamp() if date else 0.0
            while line := answer.readline(_MOST_LINE):
                pushed = _PUSHED.match(line.rstrip(b"\n"))
                if pushed:
                    labels = _labels(pushed[1].decode("utf-8", "replace"))
                    if ("job", JOB) in labels:
                        found.append(Pushed(labels, max(0.0, now - float(pushed[2]))))
        return found

    def close(self) -> None:
        """Close the connection; also ends a call of another thread."""
        self._connection.close()

    def _change(self, method: str, group: Group, body: bytes | None = None, encoding: str = "") -> None:
        headers = {"Content-Encoding": encoding} if encoding else {}
        if body is not None:
            headers["Content-Type"] = CONTENT_TYPE
        with self._connection.exchange(method, path_of(group), body, headers) as answer:
            if not 200 <= answer.status < 300:
                raise self._error(answer)
            answer.read()

    def _error(self, answer: HTTPResponse) -> PushError:
        kind = RefusedError if answer.status in _OF_THE_BODY else PushError
        reason = f"{answer.status} {answer.reason}".strip()
        return kind(f"{self.access.url}: the gateway says {reason}: {said(answer) or 'nothing more'}")


def path_of(group: Group) -> str:
    """Return the path of a group; values that a path cannot hold are in base64 (Pushgateway's README, *URL*)."""
    path = f"/metrics/job/{JOB}"
    for name, value in sorted(group.items()):
        if value and "/" not in value and value not in {".", ".."}:
            path += f"/{name}/{quote(value, safe='')}"
        else:
            encoded = base64.urlsafe_b64encode(value.encode()).decode("ascii").rstrip("=") or "="
            path += f"/{name}@base64/{encoded}"
    return path


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    """Return the labels of a line without empty ones: Prometheus takes these for absent."""
    pairs = (
        (name, re.sub(r"\\.", lambda m: _ESCAPED.get(m[0], m[0]), value))
        for name, value in _LABEL.findall(text)
    )
    return tuple(sorted((name, value) for name, value in pairs if value))
