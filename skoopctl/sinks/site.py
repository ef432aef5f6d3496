"""A page for Prometheus and for people: /metrics, /status, /healthz, and links to them.

It only reads. A request has a bounded size and time; a slow reader costs itself.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import html
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from skoopctl.probes.exposition import CONTENT_TYPE, OPENMETRICS_CONTENT_TYPE
from skoopctl.sinks.listen import Listen, is_loopback_host
from skoopctl.sinks.pages import Render, joined

OPEN = frozenset({"/healthz", "/livez"})
"""What needs no password: a kubelet has none, and nothing is told but whether rounds come."""
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LINKS = (
    ("/metrics", "the series of all nodes; ?node=NAME for one"),
    ("/status", "probes: in use, and available"),
    ("/healthz", "whether rounds come"),
)


class Shown(Protocol):
    """What the page shows; all of it is asked for in the event loop."""

    def counts(self) -> tuple[int, int]:
        """Return how many nodes' series are to be had, of how many."""
        ...

    def texts(self, node: str | None, *, openmetrics: bool) -> Sequence[Render] | None:
        """Return what gives each node's text, or that of one; ``None`` where there is no such node."""
        ...

    @property
    def own_page(self) -> Callable[[bool], bytes]:
        """What gives the series of whoever serves this; with OpenMetrics (true), the end of the page too."""
        ...

    def status(self) -> Mapping[str, object]:
        """Return what /status says."""
        ...

    def unhealthy(self) -> str:
        """Return why rounds do not come, or nothing while they do."""
        ...

    def scraped(self, status: int) -> None:
        """Hear that /metrics was answered."""
        ...


class Site:
    """The application that shows it."""

    def __init__(self, shown: Shown, listen: Listen, *, scrapes: int, scrape_s: float) -> None:
        self._shown = shown
        routes = [
            Route("/", self._index, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/status", self._status, methods=["GET"]),
            Route("/healthz", self._health, methods=["GET"]),
            Route("/livez", self._alive, methods=["GET"]),
        ]
        inner = Starlette(routes=routes)
        self.app: ASGIApp = _Guard(inner, listen, scrapes=scrapes, scrape_s=scrape_s, scraped=shown.scraped)

    async def _index(self, _request: Request) -> Response:
        up, all_ = self._shown.counts()
        rows = "".join(f'<li><a href="{path}">{path}</a>: {html.escape(text)}</li>' for path, text in LINKS)
        return HTMLResponse(
            f"<!doctype html><html lang=en><title>skoopctl push</title><h1>skoopctl push</h1>"
            f"<p>{up} of {all_} nodes.</p><ul>{rows}</ul></html>\n"
        )

    async def _metrics(self, request: Request) -> Response:
        node = request.query_params.get("node")
        openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        texts = self._shown.texts(node, openmetrics=openmetrics)
        if texts is None:
            return PlainTextResponse("there is no such node\n", 404)

        def pieces() -> Iterator[bytes]:
            yield from joined(texts)
            if node is None:
                yield self._shown.own_page(openmetrics)
            elif openmetrics:
                yield b"# EOF\n"

        headers = {
            "Content-Type": OPENMETRICS_CONTENT_TYPE if openmetrics else CONTENT_TYPE,
            "Vary": "Accept, Accept-Encoding",
        }
        body: AsyncIterator[bytes] = _taking_turns(pieces())
        if takes_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = _gzipped(body)
        return StreamingResponse(body, headers=headers)

    async def _status(self, _request: Request) -> Response:
        return JSONResponse(self._shown.status())

    async def _health(self, _request: Request) -> Response:
        why = self._shown.unhealthy()
        return PlainTextResponse(f"{why or 'ok'}\n", 503 if why else 200)

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")


async def _taking_turns(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        if piece:
            yield piece


async def _gzipped(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    async for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def wants_openmetrics(accept: str) -> bool:
    """Tell whether OpenMetrics is preferred to the plain text format (RFC 9110, 12.5.1)."""
    weights = _weights(accept)
    return weights.get("application/openmetrics-text", 0.0) > max(
        weights.get("text/plain", 0.0), weights.get("text/*", 0.0)
    )


def takes_gzip(accept: str) -> bool:
    """Tell whether an answer may be compressed."""
    weights = _weights(accept)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weights(header: str) -> dict[str, float]:
    """Return the names of an Accept header with their weights; of parameters only q counts."""
    found: dict[str, float] = {}
    for entry in header.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
        if name:
            found[name] = max(weight, found.get(name, 0.0))
    return found


class _Guard:
    """Lets in who may: the Host that is meant, the password, not too many at once, not for too long."""

    def __init__(
        self,
        app: ASGIApp,
        listen: Listen,
        *,
        scrapes: int,
        scrape_s: float,
        scraped: Callable[[int], None],
    ) -> None:
        self._app = app
        self._listen = listen
        self._scrapes = scrapes
        self._scrape_s = scrape_s
        self._scraped = scraped
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        code = {"at": 0}

        async def noting(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                code["at"] = int(str(message["status"]))
                raw = list(message.get("headers", ()))  # type: ignore[call-overload]
                raw += [(k.lower().encode(), v.encode()) for k, v in _SAFE.items()]
                message["headers"] = raw
            await send(message)

        counted = scope["path"] not in OPEN
        self._now += counted
        try:
            async with asyncio.timeout(self._scrape_s):
                await (refusal or self._app)(scope, receive, noting)  # type: ignore[arg-type]
        except TimeoutError:
            code["at"] = code["at"] or 503
        finally:
            self._now -= counted
            if scope["path"] == "/metrics":
                self._scraped(code["at"])

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if self._now >= self._scrapes and scope["path"] not in OPEN:
            return PlainTextResponse("too many requests at a time\n", 503, {"Retry-After": "1"})
        if self._listen.is_loopback and not is_loopback_host(headers.get("host", "")):
            # A page of another site, by a name that it lets point here, must not read this one.
            return PlainTextResponse("this Host is not served here\n", 421)
        if (
            self._listen.user
            and scope["path"] not in OPEN
            and not self._may(headers.get("authorization", ""))
        ):
            return PlainTextResponse("who are you?\n", 401, {"WWW-Authenticate": 'Basic realm="skoopctl"'})
        return None

    def _may(self, authorization: str) -> bool:
        kind, _, token = authorization.partition(" ")
        try:
            given = base64.b64decode(token, validate=True) if kind.lower() == "basic" else b""
            kept = Path(self._listen.password_file).read_text(encoding="utf-8").partition("\n")[0]
        except (ValueError, OSError):
            return False
        return bool(kept) and hmac.compare_digest(given, f"{self._listen.user}:{kept}".encode())
