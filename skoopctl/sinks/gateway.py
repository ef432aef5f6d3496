"""A Pushgateway, for whoever pushes text that is ready: once, or over and over on one connection.

PUT replaces a whole group, so that nothing stale stays in it; samples have no timestamps (the gateway refuses them),
and no proxy of the environment is asked.

Calls block, and are made in threads; each ends within its deadline whatever the gateway does: a watchdog
shuts the socket down, so that a gateway that sends a byte a minute is no way around it.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from skoopctl.errors import PushError

JOB = "skoopctl"
"""The job of all our groups."""
LONGER = 6
"""How much longer than a push it may take to read the gateway's whole page."""
SMALLEST_GZIP = 4096
"""Bytes below which compressing costs more than it saves."""
_SAID = 200
_MOST_LINE = 64 * 1024
_PUSHED = re.compile(rb"^push_time_seconds\{(.*)\} ([0-9.e+]+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_ESCAPED = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
_OF_THE_BODY = frozenset({400, 413, 415, 422})
"""Answers that are about this text, not about the gateway."""
_IDLE_CLOSED = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
"""What a connection says that the gateway closed between two requests."""

Group = Mapping[str, str]


class RefusedError(PushError):
    """The gateway is well, and does not take this text."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a gateway is, and how to log in. Files are read when a connection is made."""

    url: str
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout_s: float = 10.0


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
        parts = urlsplit(access.url)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._base = parts.path.rstrip("/")
        self._connection: http.client.HTTPConnection | None = None
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
        with self._exchange("GET", f"{self._base}/metrics", None, {}, long) as answer:
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
        connection, self._connection = self._connection, None
        if connection is not None:
            _shut(connection)
            connection.close()

    def _change(self, method: str, group: Group, body: bytes | None = None, encoding: str = "") -> None:
        headers = {"Content-Encoding": encoding} if encoding else {}
        if body is not None:
            headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
        with self._exchange(method, self._base + path_of(group), body, headers) as answer:
            if not 200 <= answer.status < 300:
                raise self._error(answer)
            answer.read()

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], limit_s: float = 0.0
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and yield the answer; the whole body of the block has the deadline."""
        fresh = self._connection is None
        late = threading.Event()
        try:
            try:
                answer, timer = self._sent(method, path, body, headers, late, limit_s)
            except _IDLE_CLOSED:
                if fresh or late.is_set():
                    raise
                self.close()
                answer, timer = self._sent(method, path, body, headers, late, limit_s)
            try:
                yield answer
            finally:
                timer.cancel()
            if answer.isclosed() and not answer.will_close:
                return
            self.close()
        except PushError:
            self.close()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise PushError(f"{self.access.url}: {self._why(error, late=late.is_set())}") from None

    def _sent(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        late: threading.Event,
        limit_s: float,
    ) -> tuple[http.client.HTTPResponse, threading.Timer]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._opened()

        def expire() -> None:
            late.set()
            _shut(connection)

        timer = threading.Timer(limit_s or self.access.timeout_s, expire)
        timer.daemon = True
        timer.start()
        try:
            connection.request(method, path, body, {**headers, **self._login()})
            return connection.getresponse(), timer
        except BaseException:
            timer.cancel()
            raise

    def _opened(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=self.access.timeout_s)
        context = ssl.create_default_context(cafile=self.access.ca_file or None)
        if self.access.cert_file:
            context.load_cert_chain(self.access.cert_file, self.access.key_file or None)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self.access.timeout_s, context=context
        )

    def _login(self) -> dict[str, str]:
        if not self.access.user:
            return {}
        password = Path(self.access.password_file).read_text(encoding="utf-8").partition("\n")[0]
        token = base64.b64encode(f"{self.access.user}:{password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {token}"}

    def _error(self, answer: http.client.HTTPResponse) -> PushError:
        said = " ".join(answer.read(_SAID).decode("utf-8", "replace").split())
        kind = RefusedError if answer.status in _OF_THE_BODY else PushError
        reason = f"{answer.status} {answer.reason}".strip()
        return kind(f"{self.access.url}: the gateway says {reason}: {said or 'nothing more'}")

    def _why(self, error: Exception, *, late: bool) -> str:
        if late or isinstance(error, TimeoutError):
            return f"the gateway gave no answer within {self.access.timeout_s:g} s"
        if isinstance(error, ssl.SSLError):
            return f"the gateway's TLS is not as it should be: {error.reason or error}"
        if isinstance(error, OSError) and error.filename:
            return f"nothing was sent: {error.filename}: {error.strerror}"
        return f"the gateway cannot be reached: {error}"


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


def _shut(connection: http.client.HTTPConnection) -> None:
    sock: socket.socket | None = connection.sock
    if sock is not None:
        with suppress(OSError):
            # Not sock.shutdown of a TLS socket, which would unwrap it first.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
