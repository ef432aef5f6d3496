"""A server that answers as a test says, where the real gateway cannot be made to: real sockets on loopback."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from skoopctl.sinks.gateway import Access


@dataclass
class Double:
    """What it got, and what it answers."""

    url: str = ""
    status: int = 200
    page: bytes = b""
    gzip_known: bool = True
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    hold: threading.Event = field(default_factory=threading.Event)
    """Answers wait for it."""
    flying: int = 0
    most_flying: dict[str, int] = field(default_factory=dict)
    drip: bool = False

    def __post_init__(self) -> None:
        self.hold.set()

    def access(self, timeout_s: float = 10.0) -> Access:
        """Return how to reach it."""
        return Access(self.url, timeout_s=timeout_s)

    def of(self, method: str) -> list[str]:
        """Return the paths of the requests of one method."""
        return [path for said, path, _ in self.requests if said == method]


@contextlib.contextmanager
def gateway_double() -> Iterator[Double]:
    """Run it until the end of the block."""
    double = Double()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            encoded = self.headers.get("Content-Encoding") == "gzip"
            with lock:
                double.connections.add(self.client_address)
                double.flying += 1
                double.most_flying[self.path] = max(double.most_flying.get(self.path, 0), double.flying)
            double.hold.wait(30)
            status = 400 if encoded and not double.gzip_known else double.status
            with lock:
                double.flying -= 1
                double.requests.append((self.command, self.path, gzip.decompress(body) if encoded else body))
            said = double.page if self.command == "GET" else b"" if status < 300 else b"so it is\n"
            self.send_response(status)
            self.send_header("Content-Length", str(len(said) + double.drip))
            self.end_headers()
            self.wfile.write(said)
            if double.drip:
                double.hold.clear()
                double.hold.wait(30)

        do_GET = do_PUT = do_DELETE = _take  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield double
    finally:
        double.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
