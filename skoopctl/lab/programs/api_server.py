"""A small Kubernetes API server: get, list, watch, create, replace, delete, for what a diagnosis reads.

Reads ``{"version": {...}, "objects": {RESOURCE: [OBJECT...]}}`` on stdin, binds to a free port of 127.0.0.1,
prints ``{"port": N}`` and serves until killed. Everything is in memory; nobody logs in. Label and field
selectors, ``limit`` with ``continue``, and watches from a ``resourceVersion`` work as in the API reference.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
WATCH_S = 300.0
FIRST_VERSION = 1000


@dataclass(frozen=True)
class Kind:
    """One resource: ``group`` is empty for the core group."""

    resource: str
    kind: str
    group: str
    namespaced: bool

    @property
    def group_version(self) -> str:
        """``v1`` or ``group/v1``."""
        return f"{self.group}/v1" if self.group else "v1"


KINDS = (
    Kind("namespaces", "Namespace", "", namespaced=False),
    Kind("nodes", "Node", "", namespaced=False),
    Kind("pods", "Pod", "", namespaced=True),
    Kind("services", "Service", "", namespaced=True),
    Kind("endpointslices", "EndpointSlice", "discovery.k8s.io", namespaced=True),
    Kind("networkpolicies", "NetworkPolicy", "networking.k8s.io", namespaced=True),
)
GROUPS = tuple(dict.fromkeys(kind.group for kind in KINDS if kind.group))


class ApiError(Exception):
    """An answer that is a Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        self.code = code


def not_found(kind: Kind, name: str) -> ApiError:
    """Return the API server's answer for an object that is not there."""
    group = f".{kind.group}" if kind.group else ""
    return ApiError(404, "NotFound", f'{kind.resource}{group} "{name}" not found')


@dataclass
class Store:
    """All objects, and what happened to them since the start."""

    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    events: list[tuple[int, str, Kind, Object]] = field(default_factory=list)
    version: int = FIRST_VERSION
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, kind: Kind, item: Object, *, event: str = "") -> Object:
        """Create or replace an object, which gets the next resourceVersion."""
        with self.changed:
            self.version += 1
            meta = item["metadata"]
            meta["resourceVersion"] = str(self.version)
            self.objects[kind.resource, meta.get("namespace", ""), meta["name"]] = item
            if event:
                self.events.append((self.version, event, kind, item))
                self.changed.notify_all()
        return item

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return one object."""
        try:
            return self.objects[kind.resource, namespace, name]
        except KeyError:
            raise not_found(kind, name) from None

    def delete(self, kind: Kind, namespace: str, name: str) -> Object:
        """Remove an object and return what it was."""
        with self.changed:
            item = self.get(kind, namespace, name)
            del self.objects[kind.resource, namespace, name]
            self.version += 1
            gone = json.loads(json.dumps(item))
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.events.append((self.version, "DELETED", kind, gone))
            self.changed.notify_all()
        return item

    def select(self, kind: Kind, namespace: str, query: Query) -> list[Object]:
        """Return the objects of a kind that a request asks for, in the order of their names."""
        with self.changed:
            keys = sorted(key for key in self.objects if key[0] == kind.resource)
            return [self.objects[key] for key in keys if wanted(self.objects[key], namespace, query)]


@dataclass(frozen=True)
class Query:
    """The parameters of a request that we know."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    start: int = 0
    watch: bool = False
    version: str = ""
    timeout_s: float = WATCH_S

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read the parameters of a URL."""
        given = {key: values[-1] for key, values in parse_qs(text).items()}
        try:
            return cls(
                labels=given.get("labelSelector", ""),
                fields=given.get("fieldSelector", ""),
                limit=int(given.get("limit", "0")),
                start=int(given.get("continue", "0")),
                watch=given.get("watch", "").lower() in ("1", "true"),
                version=given.get("resourceVersion", ""),
                timeout_s=float(given.get("timeoutSeconds", WATCH_S)),
            )
        except ValueError as error:
            raise ApiError(400, "BadRequest", f"unable to decode query: {error}") from None


def wanted(item: Object, namespace: str, query: Query) -> bool:
    """Return whether an object is in the namespace and matches the selectors."""
    meta = item["metadata"]
    if namespace and meta.get("namespace", "") != namespace:
        return False
    labels = meta.get("labels") or {}
    return all(label_matches(labels, term) for term in terms(query.labels)) and all(
        field_matches(item, term) for term in terms(query.fields)
    )


def terms(selector: str) -> list[str]:
    """Split a selector at its commas, those in parentheses aside."""
    return [term.strip() for term in re.split(r",(?![^(]*\))", selector) if term.strip()]


def label_matches(labels: dict[str, str], term: str) -> bool:
    """Decide one term of a label selector: ``k``, ``!k``, ``k=v``, ``k!=v``, ``k in (a,b)`` or ``notin``."""
    if found := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", term):
        values = [value.strip() for value in found[3].split(",")]
        return (labels.get(found[1]) in values) == (found[2] == "in")
    if found := re.fullmatch(r"([^=!\s]+)\s*(==|=|!=)\s*(\S*)", term):
        return (labels.get(found[1]) == found[3]) == (found[2] != "!=")
    return term[1:] not in labels if term.startswith("!") else term in labels


def field_matches(item: Object, term: str) -> bool:
    """Decide one term of a field selector, such as ``spec.nodeName=node1``."""
    found = re.fullmatch(r"([^=!\s]+)\s*(==|=|!=)\s*(\S*)", term)
    if not found:
        raise ApiError(400, "BadRequest", f'invalid field selector "{term}"')
    value: Any = item
    for part in found[1].split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return (str(value) == found[3]) == (found[2] != "!=")


def typed(kind: Kind, item: Object) -> Object:
    """Return an object with its kind, as it stands outside a list."""
    return {"kind": kind.kind, "apiVersion": kind.group_version, **item}


def discovery(path: str, version: Object) -> Object | None:
    """Return the answer for one of the paths by which clients find out what is served."""
    groups = [
        {
            "name": group,
            "versions": [{"groupVersion": f"{group}/v1", "version": "v1"}],
            "preferredVersion": {"groupVersion": f"{group}/v1", "version": "v1"},
        }
        for group in GROUPS
    ]
    if path == "/version":
        return version
    if path == "/api":
        here = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": here}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    for group in groups:
        if path == f"/apis/{group['name']}":
            return {"kind": "APIGroup", "apiVersion": "v1", **group}
    served = [kind for kind in KINDS if path == resource_root(kind)]
    if not served:
        return None
    verbs = ["create", "delete", "get", "list", "update", "watch"]
    resources = [
        {
            "name": k.resource,
            "singularName": k.kind.lower(),
            "namespaced": k.namespaced,
            "kind": k.kind,
            "verbs": verbs,
        }
        for k in served
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": served[0].group_version,
        "resources": resources,
    }


def resource_root(kind: Kind) -> str:
    """Return the path below which a kind is served."""
    return f"/apis/{kind.group}/v1" if kind.group else "/api/v1"


def locate(path: str) -> tuple[Kind, str, str]:
    """Return the kind, namespace (empty for all) and name (empty for a list) that a path stands for."""
    for kind in KINDS:
        root = re.escape(resource_root(kind))
        namespace = r"(?:/namespaces/(?P<namespace>[^/]+))?" if kind.namespaced else "(?P<namespace>)"
        found = re.fullmatch(f"{root}{namespace}/{kind.resource}(?:/(?P<name>[^/]+))?", path)
        if found:
            return kind, found["namespace"] or "", found["name"] or ""
    raise ApiError(404, "NotFound", "the server could not find the requested resource")


class Handler(BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"
    store: Store
    version: Object

    def do_GET(self) -> None:
        """Discovery, get, list and watch."""
        self._answer(self._read)

    def do_POST(self) -> None:
        """Create."""
        self._answer(self._create)

    def do_PUT(self) -> None:
        """Replace."""
        self._answer(self._replace)

    def do_DELETE(self) -> None:
        """Delete."""
        self._answer(self._delete)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: nobody reads the log of a lab's API server."""

    def _answer(self, method: Any) -> None:
        """Run a method; turn an ApiError into a Status."""
        url = urlsplit(self.path)
        path = url.path.rstrip("/")
        try:
            try:
                code, body = method(path, Query.parse(url.query))
            except ApiError as error:
                code, body = error.code, error.status
            if body is not None:
                self._send(code, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, code: int, body: Object | str) -> None:
        """Send one whole answer."""
        text = body if isinstance(body, str) else json.dumps(body)
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _read(self, path: str, query: Query) -> tuple[int, Object | str | None]:
        """Answer a GET."""
        if path in ("/healthz", "/livez", "/readyz"):
            return HTTPStatus.OK, "ok"
        found = discovery(path, self.version)
        if found is not None:
            return HTTPStatus.OK, found
        kind, namespace, name = locate(path)
        if name:
            return HTTPStatus.OK, typed(kind, self.store.get(kind, namespace, name))
        if query.watch:
            self._watch(kind, namespace, query)
            return HTTPStatus.OK, None
        return HTTPStatus.OK, self._list(kind, namespace, query)

    def _list(self, kind: Kind, namespace: str, query: Query) -> Object:
        """Return a list, or the next piece of one."""
        with self.store.changed:
            items = self.store.select(kind, namespace, query)
            meta: Object = {"resourceVersion": str(self.store.version)}
        end = query.start + query.limit if query.limit else len(items)
        if end < len(items):
            meta["continue"] = str(end)
            meta["remainingItemCount"] = len(items) - end
        return {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.group_version,
            "metadata": meta,
            "items": items[query.start : end],
        }

    def _create(self, path: str, query: Query) -> tuple[int, Object]:  # noqa: ARG002 - one signature for all verbs
        """Answer a POST."""
        kind, namespace, _ = locate(path)
        item = self._body(namespace)
        key = (kind.resource, namespace, item["metadata"]["name"])
        if key in self.store.objects:
            raise ApiError(409, "AlreadyExists", f'{kind.resource} "{key[2]}" already exists')
        return HTTPStatus.CREATED, typed(kind, self.store.put(kind, item, event="ADDED"))

    def _replace(self, path: str, query: Query) -> tuple[int, Object]:  # noqa: ARG002
        """Answer a PUT."""
        kind, namespace, name = locate(path)
        self.store.get(kind, namespace, name)
        item = self._body(namespace)
        item["metadata"]["name"] = name
        return HTTPStatus.OK, typed(kind, self.store.put(kind, item, event="MODIFIED"))

    def _delete(self, path: str, query: Query) -> tuple[int, Object]:  # noqa: ARG002
        """Answer a DELETE; the connection ends, since a body that nobody asked for may follow."""
        kind, namespace, name = locate(path)
        self.close_connection = True
        return HTTPStatus.OK, typed(kind, self.store.delete(kind, namespace, name))

    def _body(self, namespace: str) -> Object:
        """Read an object from the request."""
        try:
            item: Object = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            item["metadata"]["name"].strip()
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ApiError(400, "BadRequest", "the body is not an object with a name") from None
        if namespace:
            item["metadata"]["namespace"] = namespace
        return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}

    def _watch(self, kind: Kind, namespace: str, query: Query) -> None:
        """Send events, one JSON object a line, until the client's timeout."""
        deadline = time.monotonic() + query.timeout_s
        with self.store.changed:
            seen = self.store.version
            first = self.store.select(kind, namespace, query) if query.version in ("", "0") else []
        if query.version not in ("", "0"):
            seen = self._start_version(query.version)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for item in first:
            self._event("ADDED", typed(kind, item))
        while (left := deadline - time.monotonic()) > 0:
            with self.store.changed:
                news = [event for event in self.store.events if event[0] > seen]
                if not news:
                    self.store.changed.wait(left)
                    continue
            for number, event, event_kind, item in news:
                seen = number
                if event_kind is kind and wanted(item, namespace, query):
                    self._event(event, typed(kind, item))
        self.wfile.write(b"0\r\n\r\n")

    def _start_version(self, text: str) -> int:
        """Return the version after which a watch starts; versions from before the start are gone."""
        if not text.isdigit():
            raise ApiError(400, "BadRequest", f'invalid resource version "{text}"')
        if int(text) < FIRST_VERSION:
            raise ApiError(410, "Expired", f"too old resource version: {text} ({FIRST_VERSION})")
        return int(text)

    def _event(self, kind: str, item: Object) -> None:
        """Send one event as one chunk."""
        line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    """A server whose watches do not keep it from ending, and which does not ask for names of addresses."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without the reverse lookup that the base class makes."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]


def main() -> None:
    """Load the objects and serve."""
    given = json.load(sys.stdin)
    store = Store()
    for kind in KINDS:
        for item in given["objects"].get(kind.resource, ()):
            store.put(kind, item)
    Handler.store, Handler.version = store, given["version"]
    server = Server(("127.0.0.1", 0), Handler)
    print(json.dumps({"port": server.server_port}), flush=True)  # noqa: T201 - stdout is the answer
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    server.serve_forever()


if __name__ == "__main__":
    main()
