"""Collecting again from the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest

from skoopctl.errors import UsageError
from skoopctl.evidence import Bundle, HostEvidence, HostRecord, read_bundle
from skoopctl.recorded import recorded_bundle
from skoopctl.transport.base import FleetObserver, HostResult, HostStatus
from skoopctl.web.app import Shown
from tests.unit.web.visit import MANUAL, Visitor, recorded, visitor

DEADLINE_S = 60
FORM = {"s": "10.244.3.70", "d": "10.244.2.201", "p": "8080", "protocol": "tcp"}


@dataclass
class Hosts:
    """What is collected from: it answers when it is let, with the demo's mended cluster, or fails."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    gives: Callable[[], Bundle] = lambda: read_bundle(recorded_bundle("mended"))
    asked: int = 0
    ended: int = 0

    async def collect(self, observer: FleetObserver | None) -> Bundle:
        """Ask three hosts, one of which has answered."""
        assert observer is not None
        self.asked += 1
        observer.run_started([None, None, None])  # type: ignore[list-item]
        observer.host_finished(HostResult("n1", HostStatus.OK, b"", b"", 0, None, 0.1))
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        return self.gives()


def live(hosts: Hosts) -> Visitor:
    """Return a visitor of a page that was opened over a live collection."""
    return visitor(Shown(recorded("broken"), collect=hosts.collect))


async def token_of(guest: Visitor) -> str:
    """Return the token of the button's form."""
    [found] = (await guest.get(MANUAL)).page.all("input", name="csrf")
    return found["value"]


async def press(guest: Visitor, token: str, **headers: str) -> int:
    """Press the button, and return the status."""
    return (await guest.post("/collect", urlencode({"csrf": token, **FORM}).encode(), **headers)).status


async def done(guest: Visitor) -> dict[str, object]:
    """Return the progress when nothing is collected any more."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = json.loads((await guest.get("/progress")).text)
            if not found["running"]:
                return dict(found)
            await asyncio.sleep(0.01)


async def test_new_evidence_takes_the_place_of_the_old() -> None:
    """After the button, the same question has the answer of now."""
    hosts = Hosts()
    guest = live(hosts)
    assert "FAIL" in (await guest.get(MANUAL)).page.words
    hosts.go.set()
    answer = await guest.post("/collect", urlencode({"csrf": await token_of(guest), **FORM}).encode())
    assert (answer.status, answer.headers["location"]) == (303, MANUAL)
    assert (await done(guest))["number"] == 2
    assert "PASS" in (await guest.get(MANUAL)).page.words


async def test_while_one_runs_there_is_no_second() -> None:
    """A second press waits for the first; the page tells how far it is, and shows the old evidence."""
    hosts = Hosts()
    guest = live(hosts)
    token = await token_of(guest)
    assert [await press(guest, token), await press(guest, token)] == [303, 303]
    await asyncio.sleep(0)
    page = (await guest.get(MANUAL)).page
    assert hosts.asked == 1
    assert "Collecting: 1 of 3 hosts" in page.words
    assert "FAIL" in page.words
    assert not page.all("button", type="submit") or "Collect again" not in page.words
    assert page.all("meta", http_equiv="refresh"), "without scripts the page asks again by itself"
    hosts.go.set()
    await done(guest)
    assert hosts.asked == 1


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("wrong", {}),
        (None, {"sec_fetch_site": "cross-site"}),
        (None, {"sec_fetch_site": "same-site"}),
    ],
)
async def test_another_site_cannot_press_the_button(token: str | None, headers: dict[str, str]) -> None:
    """Without the form's token, or from a page of another site, no host is asked."""
    hosts = Hosts()
    guest = live(hosts)
    given = await token_of(guest) if token is None else token
    assert await press(guest, given, **headers) == 403
    await asyncio.sleep(0)
    assert hosts.asked == 0


async def test_a_bundle_has_no_button() -> None:
    """Where nobody can be asked, there is nothing to press."""
    guest = visitor()
    assert "Collect again" not in (await guest.get(MANUAL)).text
    assert (await guest.post("/collect", b"csrf=")).status == 404
    assert (await guest.get("/progress")).status == 404


async def test_an_address_alone_does_not_collect() -> None:
    """A link to the button's address asks no host."""
    hosts = Hosts()
    assert (await live(hosts).get("/collect")).status == 405
    assert hosts.asked == 0


def refused() -> Bundle:
    """Fail as a usage error does."""
    raise UsageError("the inventory is gone", hint="bring it back")


def empty() -> Bundle:
    """Return a bundle of a host that gave nothing."""
    return Bundle({"n1": HostRecord(HostStatus.UNREACHABLE, "no route", HostEvidence("n1", {}))})


def bug() -> Bundle:
    """Fail as nothing should."""
    raise ZeroDivisionError("of this test")


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        (refused, "the inventory is gone (bring it back)"),
        (empty, "0 of 1 hosts collected (n1 unreachable)"),
        (bug, "this is a bug in skoopctl: ZeroDivisionError: of this test"),
    ],
)
async def test_a_collection_that_gives_nothing_keeps_the_old_evidence(
    gives: Callable[[], Bundle], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What went wrong is said on the page, which goes on with what it had, and the button is there again."""
    hosts = Hosts(gives=gives)
    hosts.go.set()
    guest = live(hosts)
    await press(guest, await token_of(guest))
    assert (await done(guest))["number"] == 1
    page = (await guest.get(MANUAL)).page
    assert says in page.words
    assert "FAIL" in page.words
    assert "Collect again" in page.words
    assert ("ZeroDivisionError" in capfd.readouterr().err) == (gives is bug)


async def test_the_end_of_the_page_ends_a_collection() -> None:
    """Ctrl-C while hosts are asked waits until their connections are closed."""
    hosts = Hosts()
    guest = live(hosts)
    await press(guest, await token_of(guest))
    await asyncio.sleep(0)
    await guest.site.close()
    assert (hosts.asked, hosts.ended) == (1, 1)
