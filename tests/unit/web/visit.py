"""A visitor of the page: asks the application as its server would, and keeps the cookies that it gets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

from skoopctl.checks.load import snapshot_of
from skoopctl.checks.snapshot import Snapshot
from skoopctl.evidence import read_bundle
from skoopctl.recorded import recorded_bundle
from skoopctl.web.app import Shown, Site
from skoopctl.web.guard import Access

LOCAL = "127.0.0.1:8080"
MANUAL = "/diagnose?s=10.244.3.70&d=10.244.2.201&p=8080"
"""The manual's example, in the recorded evidence."""


@lru_cache(maxsize=3)
def recorded(moment: str = "broken") -> Snapshot:
    """Return the demo's recorded cluster."""
    return snapshot_of(read_bundle(recorded_bundle(moment)))


@dataclass
class Answer:
    """What was answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def page(self) -> Page:
        """The body as a page."""
        made = Page()
        made.feed(self.text)
        return made


class Page(HTMLParser):
    """The elements of a page: each its name and attributes; and all of its words."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Keep words."""
        self.words += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Return the attributes of the elements with that name that have these attributes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in wanted.items())
        ]


@dataclass
class Visitor:
    """Somebody with a browser that shows nothing."""

    site: Site
    host: str = LOCAL
    cookies: dict[str, str] = field(default_factory=dict)
    last: Answer = field(default_factory=Answer)
    """The last answer, also of a request that raised."""

    async def get(self, target: str, **headers: str) -> Answer:
        """Ask for a page."""
        return await self.ask("GET", target, headers)

    async def post(self, target: str, body: bytes, **headers: str) -> Answer:
        """Send a form."""
        given = {"content_type": "application/x-www-form-urlencoded", "content_length": str(len(body))}
        return await self.ask("POST", target, {**given, **headers}, body)

    async def ask(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Ask as told."""
        path, _, query = target.partition("#")[0].partition("?")
        sent = {"host": self.host} | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "scheme": "http",
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        given = iter([{"type": "http.request", "body": body, "more_body": False}])
        answer = self.last = Answer()

        async def receive() -> dict[str, Any]:
            for message in given:
                return message
            await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        await self.site.app(scope, receive, send)
        if "set-cookie" in answer.headers:
            name, _, rest = answer.headers["set-cookie"].partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer


def visitor(shown: Shown | None = None, access: Access | None = None, host: str = LOCAL) -> Visitor:
    """Return a visitor of a page on loopback over the manual's broken cluster, or of another one."""
    return Visitor(Site(shown or Shown(recorded()), access or Access("127.0.0.1", 8080)), host)
