"""Who may see the page, how much may be asked at a time, and what a browser may do with it.

On loopback nobody is asked for anything: every user of this machine may look. Elsewhere the address that was printed
carries a token, which the first visit changes for a cookie. Either way the Host header must be one that no stranger
can let point here, so that a page of another site cannot read this one.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from markupsafe import escape
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skoopctl.report.messages import Messages, messages
from skoopctl.report.page import style_hash
from skoopctl.report.svg_style import DARK, STYLE
from skoopctl.sinks.listen import is_loopback, name_in

MOST_REQUESTS = 32
MOST_QUERY = 4096
MOST_BODY = 2048
REQUEST_S = 120.0
PAGES = frozenset({"/", "/diagnose", "/run"})
"""Where a visitor may come in: an address is never echoed, for a browser reads some paths as another site's."""
METHODS = frozenset({"GET", "HEAD", "POST"})
COOKIE_NAME = "skoopctl-{port}"
"""Cookies do not know ports: two pages of one machine must not overwrite each other's."""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        # The picture has its style inside, so that it can stand alone: exactly that text is let in.
        f"style-src 'self' {style_hash(f'{STYLE}{DARK}')}",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Where the page is served, and the token that is asked for; '' asks for none."""

    host: str
    port: int
    token: str = ""

    @property
    def cookie(self) -> str:
        """The name of the cookie that a visitor gets for the token."""
        return COOKIE_NAME.format(port=self.port)

    def knows(self, host_header: str) -> bool:
        """Tell whether a Host header means this server by a name that nobody else gives out."""
        name = name_in(host_header).lower().rstrip(".")
        if is_loopback(self.host):
            return is_loopback(name)
        own = socket.gethostname().lower()
        return _is_address(name) or name in {self.host.lower(), "localhost", own, own.partition(".")[0]}

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request has the cookie."""
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        return any(name == self.cookie and self.is_token(value) for name, _, value in pairs)

    def is_token(self, given: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(given.encode(), self.token.encode())


class Guard:
    """The application's outside: refuses, bounds, and adds to every answer what a browser must keep to."""

    def __init__(self, app: ASGIApp, access: Access, words: Messages | None = None) -> None:
        self._app = app
        self._access = access
        self._words = words or messages()
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        answer = self._refusal(scope) or self._app
        self._now += 1
        try:
            async with asyncio.timeout(REQUEST_S):
                await answer(scope, _bounded(receive), guarded)
        except TimeoutError:
            if not started:
                await self._refused("too_long", 503)(scope, receive, guarded)
        finally:
            self._now -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._access.knows(headers.get("host", "")):
            return self._refused("host", 421)
        if self._now >= MOST_REQUESTS:
            return self._refused("too_many", 503)
        if scope["method"] not in METHODS:
            return self._refused("method", 405)
        if len(scope["query_string"]) > MOST_QUERY:
            return self._refused("address", 414, most=MOST_QUERY)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:9]) > MOST_BODY:
            return self._refused("form", 413, most=MOST_BODY)
        return self._stranger(scope, headers) if self._access.token else None

    def _stranger(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Return what somebody is told who is not known yet: to come in with the token, or to go."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given and self._access.is_token(given[0]):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            page = scope["path"] if scope["path"] in PAGES else "/"
            return self._welcome(f"{page}?{rest}" if rest else page)
        if given:
            return self._refused("token", 403)
        if self._access.lets_in(headers):
            return None
        return self._refused("stranger", 401)

    def _refused(self, why: str, status: int, **names: object) -> Response:
        return refused(self._words, why, status, **names)

    def _welcome(self, target: str) -> Response:
        """Give the cookie, and go on from a page of our own.

        A redirect would not do: a browser that came by a link from elsewhere keeps a strict cookie back on it.
        """
        path, lang = escape(target), self._words.text("page.lang")
        answer = HTMLResponse(
            f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>skoopctl</title>'
            f'<link rel="icon" href="/assets/icon.svg">'
            f'<meta http-equiv="refresh" content="0; url={path}"></head>'
            f'<body><p><a href="{path}">{self._words.text("page.refused.go_on")}</a></p></body></html>\n'
        )
        answer.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="strict", path="/")
        return answer


def refused(words: Messages, why: str, status: int, **names: object) -> PlainTextResponse:
    """Return a line of text that says why there is no page: a key of ``page.refused`` in the table of words."""
    return PlainTextResponse(f"skoopctl: {words.text(f'page.refused.{why}', **names)}\n", status)


def _bounded(receive: Receive) -> Receive:
    """Return a receiver that hands on at most `MOST_BODY` bytes, whatever a request says of its length."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return message if read <= MOST_BODY else {"type": "http.disconnect"}

    return bounded


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
