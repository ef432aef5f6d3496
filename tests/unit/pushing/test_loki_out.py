"""The part ``loki`` of a configuration: what it makes, what ``--check`` says of it, what it says of itself."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from skoopctl.plans.load import load_plan
from skoopctl.plans.loki_part import LokiPart
from skoopctl.pushing.book import Book, Measured
from skoopctl.pushing.check import check_text, checked
from skoopctl.pushing.config import PushConfig
from skoopctl.pushing.journal import Journal
from skoopctl.pushing.self_metrics import Standing, self_page, self_registry
from skoopctl.pushing.surroundings import Fleet
from skoopctl.sinks.loki import LokiSink
from skoopctl.sinks.loki_configured import loki_of
from tests.services.loki_receiver import Reply, loki_receiver
from tests.unit.events.made_events import made

PART = {
    "url": "http://loki:3100",
    "labels": {"site": "berlin"},
    "tenant": "team-a",
    "token-file": "/etc/token",
}


async def sent(sink: LokiSink, events: int) -> None:
    """Let a sink send some events, and end it as a service does."""
    running = asyncio.create_task(sink.run())
    for at in range(events):
        sink.put(made(mono_ns=at))
    assert await sink.drain(30)
    running.cancel()
    await asyncio.wait([running])


async def test_a_part_makes_a_sink_that_does_as_it_says(tmp_path: Path) -> None:
    """Address, token, tenant, labels and the size of batches are those of the configuration."""
    token = tmp_path / "token"
    token.write_text("secret\n", encoding="utf-8")
    with loki_receiver() as loki:
        loki.authorization, loki.tenant = "Bearer secret", "team-a"
        part = LokiPart.model_validate({**PART, "url": loki.url, "token-file": str(token), "batch": 2})
        sink = loki_of(part, "prod", Journal(io.StringIO()).say)
        assert sink is not None
        await sent(sink, 5)
    assert loki.problems == []
    assert [len(request["streams"][0]["values"]) for request in loki.requests] == [2, 2, 1]
    assert loki.entries[0].labels["site"] == "berlin"
    assert loki.entries[0].labels["cluster"] == "prod"


async def test_trouble_goes_to_the_log_of_the_service() -> None:
    """One line names the Loki and what it said; what is repeated is held back, as everything in that log."""
    log = io.StringIO()
    with loki_receiver() as loki:
        loki.replies = [Reply(400, "not like this")] * 3
        sink = loki_of(LokiPart(url=loki.url, batch=1), "prod", Journal(log).say)
        assert sink is not None
        await sent(sink, 3)
    (line,) = log.getvalue().splitlines()
    assert line == f"skoopctl: push: {loki.url}: Loki says 400: not like this (1 of 1 events are lost)"


async def test_the_service_s_own_metrics_account_for_every_event() -> None:
    """Sent, refused and dropped are there from the start, and together are what came."""
    with loki_receiver() as loki:
        loki.replies = [Reply(400, "bad")]
        sink = loki_of(LokiPart(url=loki.url, batch=2), "prod", Journal(io.StringIO()).say)
        standing = Standing(Book(Measured((), {}, 1000, 40.0), Journal(io.StringIO())), loki=sink)
        registry = self_registry(standing)
        before = self_page(registry).decode()
        assert sink is not None
        await sent(sink, 5)
    after = self_page(registry).decode()
    assert 'skoopctl_push_loki_events_total{result="dropped"} 0.0' in before
    for line in (
        'skoopctl_push_loki_events_total{result="sent"} 3.0',
        'skoopctl_push_loki_events_total{result="refused"} 2.0',
        'skoopctl_push_loki_events_total{result="dropped"} 0.0',
        "skoopctl_push_loki_requests_total 3.0",
        "skoopctl_push_loki_retries_total 0.0",
        "skoopctl_push_loki_queue_length 0.0",
        "skoopctl_push_loki_up 1.0",
    ):
        assert f"\n{line}\n" in after


def test_a_service_without_loki_has_no_metrics_of_it() -> None:
    """Nothing stands there that would look like a Loki that takes no events."""
    standing = Standing(Book(Measured((), {}, 1000, 40.0), Journal(io.StringIO())))
    assert "\nskoopctl_push_loki_up " not in self_page(self_registry(standing)).decode()
    assert loki_of(None, "prod", print) is None


def test_check_says_where_events_would_go() -> None:
    """The labels of streams and the tenant are shown, the token's file is named, and the token is not."""
    config = PushConfig.model_validate({"inventories": ["a"], "loki": PART})
    found = checked(config, Fleet((), "prod"))
    assert found["events_to"] == "http://loki:3100"
    assert found["streams"] == {
        "site": "berlin",
        "job": "skoopctl",
        "cluster": "prod",
        "node": "NAME",
        "type": "KIND",
    }
    text = check_text(found, config)
    assert "events are sent to http://loki:3100, as tenant team-a: streams" in text
    assert "token-file: /etc/token" in text


def test_without_loki_check_says_so() -> None:
    """Programs find the keys with nothing in them."""
    config = PushConfig.model_validate({"inventories": ["a"], "listen": {}})
    found = checked(config, Fleet((), "prod"))
    assert (found["events_to"], found["streams"], found["tenant"]) == (None, None, None)
    assert "events are sent" not in check_text(found, config)


@pytest.mark.parametrize("more", ["", "  gateway: http://gateway:9091\n"])
def test_a_plan_s_push_has_the_same_part(tmp_path: Path, more: str) -> None:
    """With a gateway or alone."""
    file = tmp_path / "nightly.yaml"
    file.write_text(
        f"inspections: [mesh]\npush:\n{more}  loki: {{url: 'http://loki:3100', labels: {{site: b}}}}\n",
        encoding="utf-8",
    )
    plan, _ = load_plan(str(file))
    assert plan.push is not None
    assert plan.push.loki == LokiPart(url="http://loki:3100", labels={"site": "b"})
    assert bool(plan.push.gateway) == bool(more)
