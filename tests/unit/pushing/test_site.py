"""The page: what it answers, in which format, to whom, and how much at a time."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as families

from skoopctl.events.catalogue import EVENT_PROBES
from skoopctl.probes.catalogue import PROBES
from skoopctl.pushing.self_metrics import SELF_METRICS, Standing, self_page, self_registry
from skoopctl.pushing.shown import ShownNodes
from skoopctl.sinks.listen import Listen
from skoopctl.sinks.site import Site, takes_gzip, wants_openmetrics
from tests.unit.pushing.booked import Booked, a_round, host

LOCAL = {"host": "127.0.0.1:9102"}


@dataclass
class Answer:
    """What was answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The body."""
        body = b"".join(self.pieces)
        return (gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body).decode()


async def asked(
    site: Site, target: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> Answer:
    """Ask the application, as its server would."""
    path, _, query = target.partition("?")
    answer = Answer()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in {**LOCAL, **(headers or {})}.items()],
        "scheme": "http",
        "server": ("127.0.0.1", 9102),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    given = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in given:
            return message
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answer.pieces.append(message["body"])

    await site.app(scope, receive, send)
    return answer


@dataclass
class Sited:
    """A page over two nodes, one of which has sent a round."""

    booked: Booked = field(default_factory=Booked)
    listen: Listen = field(default_factory=lambda: Listen("127.0.0.1", 9102))
    scrapes: int = 4
    scrape_s: float = 30.0
    standing: Standing = field(init=False)
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        book = self.booked.joined(["n1", "n2"])
        book.round_came(host("n1"), a_round())
        self.standing = Standing(book)
        registry = self_registry(self.standing)
        shown = ShownNodes(self.standing, lambda openmetrics: self_page(registry, openmetrics=openmetrics))
        self.site = Site(shown, self.listen, scrapes=self.scrapes, scrape_s=self.scrape_s)


async def test_metrics_have_all_nodes_and_the_service_itself() -> None:
    """The page parses as the text format, and has a node's series and the service's own."""
    answer = await asked(Sited().site, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {family.name: family for family in families(answer.text)}
    assert found["kubeskoop_softnet_processed"].samples[0].labels["k8s_node"] == "n1"
    up = {sample.labels["node"]: sample.value for sample in found["skoopctl_push_node_up"].samples}
    assert up == {"n1": 1, "n2": 0}


async def test_openmetrics_is_what_its_parser_takes() -> None:
    """Asked for OpenMetrics, the page ends with # EOF and is well formed, with all nodes or one."""
    accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
    for target in ("/metrics", "/metrics?node=n1"):
        answer = await asked(Sited().site, target, accept)
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert answer.text.endswith("# EOF\n")
        names = {family.name for family in openmetrics_families(answer.text)}
        assert "kubeskoop_softnet_processed" in names
        assert ("skoopctl_push_nodes" in names) == (target == "/metrics")


async def test_one_node_can_be_asked_for() -> None:
    """Only its series come; one that is silent has none; one that is not there is 404."""
    sited = Sited()
    assert 'k8s_node="n1"' in (await asked(sited.site, "/metrics?node=n1")).text
    assert (await asked(sited.site, "/metrics?node=n2")).text == ""
    assert (await asked(sited.site, "/metrics?node=n3")).status == 404


async def test_a_page_is_compressed_for_who_takes_that() -> None:
    """The same page, in gzip."""
    sited = Sited()
    packed = await asked(sited.site, "/metrics?node=n1", {"accept-encoding": "deflate, gzip;q=0.5"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == (await asked(sited.site, "/metrics?node=n1")).text


async def test_status_has_kubeskoop_s_shape() -> None:
    """The keys of KubeSkoop's /status, and its words for states."""
    found = json.loads((await asked(Sited().site, "/status")).text)
    assert set(found) == {"inuse_probes", "available_probes"}
    assert found["inuse_probes"]["event"] == []
    states = {row["name"]: row["state"] for row in found["inuse_probes"]["metrics"]}
    assert states["softnet"] == "Running"
    assert set(states) == {"netdev", "softnet"}
    assert found["available_probes"] == {"event": list(EVENT_PROBES), "metrics": list(PROBES)}


async def test_health_is_503_with_why_when_rounds_stop() -> None:
    """200 while rounds come; the loop itself is alive all the while."""
    sited = Sited()
    assert (await asked(sited.site, "/healthz")).status == 200
    sited.booked.now += 100
    sick = await asked(sited.site, "/healthz")
    assert (sick.status, sick.text) == (503, "no round from any of 2 nodes for 100 s\n")
    assert (await asked(sited.site, "/livez")).status == 200


async def test_a_foreign_host_is_not_served_on_loopback() -> None:
    """A web page elsewhere, whose name points here, cannot read this one through somebody's browser."""
    sited = Sited()
    for name in ("evil.example", "evil.example:9102", "", "127.0.0.1.evil.example"):
        assert (await asked(sited.site, "/metrics", {"host": name})).status == 421
    for name in ("localhost:9102", "[::1]:9102", "127.0.0.1"):
        assert (await asked(sited.site, "/metrics", {"host": name})).status == 200


async def test_only_reading_is_allowed() -> None:
    """Nothing can be sent to the page."""
    for method in ("POST", "PUT", "DELETE"):
        assert (await asked(Sited().site, "/metrics", method=method)).status == 405
    assert (await asked(Sited().site, "/metrics", method="HEAD")).status == 200
    assert (await asked(Sited().site, "/etc/passwd")).status == 404


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of a login."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_a_password_guards_all_but_health(tmp_path: Path) -> None:
    """Without it, or with a wrong one, nothing of the cluster is told; a changed file counts at once."""
    secret = tmp_path / "secret"
    secret.write_text("right\n", encoding="utf-8")
    site = Sited(listen=Listen("127.0.0.1", 9102, "p", str(secret))).site
    for headers in ({}, basic("p", "wrong"), basic("x", "right"), {"authorization": "Basic !"}):
        for path in ("/metrics", "/status", "/"):
            answer = await asked(site, path, headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="skoopctl"')
            assert "n1" not in answer.text
    assert (await asked(site, "/metrics", basic("p", "right"))).status == 200
    assert (await asked(site, "/healthz")).status == 200
    secret.write_text("", encoding="utf-8")
    assert (await asked(site, "/metrics", basic("p", ""))).status == 401


async def test_requests_at_a_time_are_bounded() -> None:
    """More than allowed get 503 at once, and health still answers."""
    site = Sited(scrapes=1).site
    busy = site.app._now  # type: ignore[attr-defined]
    site.app._now = busy + 1  # type: ignore[attr-defined]
    assert (await asked(site, "/metrics")).status == 503
    assert (await asked(site, "/healthz")).status == 200


async def test_requests_are_counted_by_status() -> None:
    """The service's own metrics tell how it is scraped."""
    sited = Sited()
    await asked(sited.site, "/metrics")
    await asked(sited.site, "/metrics?node=n3")
    await asked(sited.site, "/metrics", {"host": "evil.example"})
    assert sited.standing.scrapes == {"200": 1, "404": 1, "421": 1}


async def test_every_self_metric_is_produced() -> None:
    """Nothing in the table is without a family on the page, and nothing on the page is not in the table."""
    found = families((await asked(Sited().site, "/metrics")).text)
    names = {f.name + "_total" * (f.type == "counter") for f in found if f.name.startswith("skoopctl_push_")}
    assert names == set(SELF_METRICS)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", False),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.75", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
    ],
)
def test_the_format_is_what_the_client_prefers(accept: str, *, wanted: bool) -> None:
    """The weights of Accept decide."""
    assert wants_openmetrics(accept) is wanted


def test_gzip_is_for_who_says_so() -> None:
    """A refusal is heeded."""
    assert takes_gzip("gzip")
    assert takes_gzip("*")
    assert not takes_gzip("")
    assert not takes_gzip("gzip;q=0, deflate")
