"""What Loki's push API takes, strictly, on real sockets: whatever breaks the documented protocol is kept as a problem.

It answers as a test says: with a status, late, in drops, never, or by closing the connection.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from tests.support.logql import Log, LogQLError, answer, answers, parse, shown

PATH = "/loki/api/v1/push"
MOST_BODY = 4 * 1024 * 1024
MOST_LINE = 256 * 1024
"""``limits_config.max_line_size``, as it is by default."""
MOST_LABELS = 15
"""``limits_config.max_label_names_per_series``, as it is by default."""
MOST_VALUE = 2048
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
TIME = re.compile(r"0|[1-9][0-9]{0,18}")
TWO, THREE = 2, 3

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reply:
    """One answer. ``hang`` gives none, ``vanish`` closes the connection, ``drip`` never ends the body."""

    status: int = 204
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    vanish: bool = False
    drip: bool = False


@dataclass
class Stored:
    """One entry as Loki keeps it."""

    labels: dict[str, str]
    wall_ns: int
    line: str
    metadata: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        """The line, read as JSON."""
        found: dict[str, Any] = json.loads(self.line)
        return found


@dataclass
class Receiver:
    """What came, what was wrong with it, and what is answered next."""

    url: str = ""
    authorization: str = ""
    """What requests must say; empty: nothing."""
    tenant: str = ""
    """The tenant that requests must name; empty: one must not be named."""
    oldest_ns: int = 0
    """Entries before it are too far behind."""
    metadata_allowed: bool = True
    replies: list[Reply] = field(default_factory=list)
    """Answers in place of those that the protocol wants, one a request; the last one stays if ``stuck``."""
    stuck: bool = False
    problems: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    entries: list[Stored] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    flying: int = 0
    most_flying: int = 0
    came: list[float] = field(default_factory=list)
    """When each request came, in seconds since 1970."""
    hanging: int = 0
    """How many requests were left without a whole answer."""
    going: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: whoever hangs goes on then."""
    _seen: set[tuple[Labels, int, str]] = field(default_factory=set)

    def counts(self, label: str) -> dict[str, int]:
        """Return how many entries there are by the value of a label."""
        found: dict[str, int] = {}
        for entry in self.entries:
            found[entry.labels[label]] = found.get(entry.labels[label], 0) + 1
        return found

    def take(self, body: bytes) -> Reply:
        """Keep what a request holds, and say what Loki would say."""
        request = json.loads(body)
        self.problems += problems_of(request)
        self.requests.append(request)
        told: list[str] = []
        for stream in request["streams"]:
            told += self._take_stream(stream)
        return Reply(400, "\n".join(told)) if told else Reply()

    def _take_stream(self, stream: dict[str, Any]) -> list[str]:
        labels = tuple(sorted(stream["stream"].items()))
        shown = "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"
        if not self.metadata_allowed and any(len(value) == THREE for value in stream["values"]):
            return [f"stream '{shown}' includes structured metadata, but this feature is disallowed"]
        late = [value for value in stream["values"] if int(value[0]) < self.oldest_ns]
        for value in stream["values"]:
            key = (labels, int(value[0]), value[1])
            if value not in late and key not in self._seen:
                self._seen.add(key)
                self.entries.append(
                    Stored(dict(labels), key[1], key[2], value[2] if len(value) == THREE else {})
                )
        if not late:
            return []
        whole = len(stream["values"])
        lines = [
            f"entry with timestamp {value[0]} ignored, reason: 'entry too far behind'," for value in late
        ]
        return [*lines, f"user 'fake', total ignored: {len(late)} out of {whole} for stream: {shown}"]


def problems_of(request: Any) -> list[str]:
    """Return what of a request's JSON is not as the protocol has it."""
    if not isinstance(request, dict) or set(request) != {"streams"} or not request["streams"]:
        return [f"not one object with streams: {str(request)[:80]}"]
    found = []
    for stream in request["streams"]:
        if set(stream) != {"stream", "values"} or not stream["values"]:
            found.append(f"not a stream with values: {str(stream)[:80]}")
            continue
        found += _label_problems(stream["stream"]) + _value_problems(stream["values"])
    sets = [tuple(sorted(stream["stream"].items())) for stream in request["streams"]]
    if len(set(sets)) < len(sets):
        found.append("a set of labels is there twice")
    return found


def _label_problems(labels: Any) -> list[str]:
    if not isinstance(labels, dict) or not 0 < len(labels) <= MOST_LABELS:
        return [f"not 1 to {MOST_LABELS} labels: {labels!r}"]
    return [
        f"label {name!r}={value!r}"
        for name, value in labels.items()
        if not LABEL.fullmatch(name)
        or name.startswith("__")
        or not isinstance(value, str)
        or not 0 < len(value.encode()) <= MOST_VALUE
    ]


def _value_problems(values: list[Any]) -> list[str]:
    found = []
    for value in values:
        if len(value) not in {TWO, THREE} or not all(isinstance(part, str) for part in value[:TWO]):
            found.append(f"not a pair of texts: {value!r:.80}")
        elif not TIME.fullmatch(value[0]) or int(value[0]) >= 2**63:
            found.append(f"not a time: {value[0]!r}")
        elif len(value[1].encode()) > MOST_LINE:
            found.append("a line is too long")
        elif len(value) == THREE and not all(isinstance(part, str) for part in value[2].values()):
            found.append(f"metadata that is not text: {value[2]!r}")
    times = [int(value[0]) for value in values if TIME.fullmatch(str(value[0]))]
    if times != sorted(times):
        found.append("entries of a stream are not in the order of time")
    return found


def header_problems(path: str, headers: Mapping[str, str]) -> list[str]:
    """Return what of a request's path and headers is not as the protocol has it."""
    found = []
    if path != PATH:
        found.append(f"path {path}")
    if headers.get("Content-Type") != "application/json":
        found.append(f"content type {headers.get('Content-Type')}")
    if headers.get("Content-Encoding") not in {None, "gzip"}:
        found.append(f"content encoding {headers.get('Content-Encoding')}")
    if not (headers.get("Content-Length") or "").isdigit():
        found.append("no length")
    return found


class Handler(BaseHTTPRequestHandler):
    """Takes one request after the other of one connection."""

    receiver: Receiver
    lock: threading.Lock
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take one, and answer."""
        receiver, lock = self.receiver, self.lock
        packed = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {str(name): str(value) for name, value in self.headers.items()}
        with lock:
            receiver.came.append(time.time())
            receiver.connections.add(self.client_address)
            receiver.problems += header_problems(self.path, headers)
            receiver.flying += 1
            receiver.most_flying = max(receiver.most_flying, receiver.flying)
        reply = self._reply(packed, headers)
        with lock:  # whoever waits for an answer that never ends gives up, and may ask again
            receiver.flying -= 1
            receiver.hanging += reply.hang or reply.drip
        self._say(reply)

    def _reply(self, packed: bytes, headers: Mapping[str, str]) -> Reply:
        receiver = self.receiver
        with self.lock:
            if receiver.authorization != headers.get("Authorization", ""):
                return Reply(401, "who are you?")
            if receiver.tenant != headers.get("X-Scope-OrgID", ""):
                return Reply(401, "no org id")
            if receiver.replies:
                return receiver.replies[0] if receiver.stuck else receiver.replies.pop(0)
            body = gzip.decompress(packed) if headers.get("Content-Encoding") == "gzip" else packed
            if len(body) > MOST_BODY:
                return Reply(413, "request body too large")
            return receiver.take(body)

    def _say(self, reply: Reply) -> None:
        if reply.hang:
            self.receiver.going.wait(60)
        if reply.hang or reply.vanish:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        text = reply.text.encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(text) + reply.drip))
        self.end_headers()
        self.wfile.write(text)
        if reply.drip:
            self.receiver.going.wait(60)

    def do_GET(self) -> None:
        """Answer a query about what was taken, as Loki's API does: of the little LogQL that is known here."""
        path, _, asked = self.path.partition("?")
        given = {name: values[0] for name, values in parse_qs(asked).items()}
        try:
            data = answered(path, given, self.receiver.entries)
        except LogQLError as error:
            self._say(Reply(400, str(error)))
            return
        self._say(Reply(200, json.dumps({"status": "success", "data": data})))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        """Say nothing."""
        del format, args


def answered(path: str, given: Mapping[str, str], entries: list[Stored]) -> dict[str, Any]:
    """Return what Loki's query API gives, at once or over time; times are seconds since 1970."""
    node = parse(given["query"])
    if isinstance(node, Log):
        begin, end = (float(given[name]) * 1e9 for name in ("start", "end"))
        rows = [row for row in shown(node, entries) if begin <= row[0] < end][: int(given.get("limit", 100))]
        streams = [{"stream": labels, "values": [[str(at), text]]} for at, text, labels in rows]
        return {"resultType": "streams", "result": streams}
    if path.endswith("/query"):
        at = float(given["time"])
        found = answer(node, entries, round(at * 1e9))
        vector = [{"metric": dict(labels), "value": [at, f"{value:g}"]} for labels, value in found.items()]
        return {"resultType": "vector", "result": vector}
    start, end, step = (float(given[name]) for name in ("start", "end", "step"))
    series: dict[frozenset[tuple[str, str]], list[list[object]]] = {}
    times = [start + number * step for number in range(int((end - start) / step) + 1)]
    for at, found in zip(times, answers(node, entries, [round(at * 1e9) for at in times]), strict=True):
        for labels, value in found.items():
            series.setdefault(labels, []).append([at, f"{value:g}"])
    matrix = [{"metric": dict(labels), "values": values} for labels, values in series.items()]
    return {"resultType": "matrix", "result": matrix}


@contextlib.contextmanager
def loki_receiver(
    *, port: int = 0, tls: ssl.SSLContext | None = None, receiver: Receiver | None = None
) -> Iterator[Receiver]:
    """Run it on loopback until the end of the block; ``receiver`` goes on with what one before has kept."""
    kept = receiver or Receiver()
    kept.going.clear()
    handler = type("Bound", (Handler,), {"receiver": kept, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    scheme = "https" if tls is not None else "http"
    kept.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    try:
        yield kept
    finally:
        kept.going.set()
        server.shutdown()
        thread.join()
        server.server_close()
