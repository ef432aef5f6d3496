"""One HTTP connection to a server that takes what we push: kept, opened anew when it broke, and never hanging.

No proxy of the environment is asked. Calls block, and are made in threads; each ends within its deadline whatever the
server does: a watchdog shuts the socket down, so that a server that sends a byte a minute is no way around it.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from skoopctl.errors import PushError

_SAID = 200
_IDLE_CLOSED = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
"""What a connection says that the server closed between two requests."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a server is, and how to log in. Secrets are read for each request, so that new ones count at once."""

    url: str
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout_s: float = 10.0
    token_file: str = ""
    """A file with a bearer token in its first line, in place of user and password."""


class Connection:
    """One connection, used by one thread at a time. ``whom`` is what errors call the server."""

    def __init__(self, access: Access, whom: str) -> None:
        self.access = access
        self._whom = whom
        parts = urlsplit(access.url)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self.base = parts.path.rstrip("/")
        self._connection: http.client.HTTPConnection | None = None

    @contextmanager
    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit_s: float = 0.0,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request to ``base + path`` and yield the answer; the whole body of the block has the deadline.

        Raises `PushError` in one line when no answer came.
        """
        fresh = self._connection is None
        late = threading.Event()
        request = (method, self.base + path, body, dict(headers or {}))
        try:
            try:
                answer, timer = self._sent(request, late, limit_s)
            except _IDLE_CLOSED:
                if fresh or late.is_set():
                    raise
                self.close()
                answer, timer = self._sent(request, late, limit_s)
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

    def close(self) -> None:
        """Close the connection; also ends a call of another thread."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _shut(connection)
            connection.close()

    def _sent(
        self,
        request: tuple[str, str, bytes | None, dict[str, str]],
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
        method, path, body, headers = request
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
        if self.access.token_file:
            return {"Authorization": f"Bearer {_token(self.access.token_file)}"}
        if not self.access.user:
            return {}
        secret = f"{self.access.user}:{_first_line(self.access.password_file)}"
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode('ascii')}"}

    def _why(self, error: Exception, *, late: bool) -> str:
        if late or isinstance(error, TimeoutError):
            return f"{self._whom} gave no answer within {self.access.timeout_s:g} s"
        if isinstance(error, ssl.SSLError):
            return f"{self._whom}'s TLS is not as it should be: {error.reason or error}"
        if isinstance(error, OSError) and error.filename:
            return f"nothing was sent: {error.filename}: {error.strerror}"
        return f"{self._whom} cannot be reached: {error}"


def said(answer: http.client.HTTPResponse, most: int = _SAID) -> str:
    """Return the beginning of an answer's body as one line."""
    return " ".join(answer.read(most).decode("utf-8", "replace").split())


def _first_line(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").partition("\n")[0]


def _token(file: str) -> str:
    """Return a bearer token. What a header cannot hold is refused here, where the error does not quote it."""
    token = _first_line(file).strip()
    if not token or not token.isascii() or not token.isprintable():
        raise PushError(f"nothing was sent: {file}: expected a token of printable ASCII in the first line")
    return token


def _shut(connection: http.client.HTTPConnection) -> None:
    sock: socket.socket | None = connection.sock
    if sock is not None:
        with suppress(OSError):
            # Not sock.shutdown of a TLS socket, which would unwrap it first.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
