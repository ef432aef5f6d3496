"""Who may see the page, and how much may be asked."""

from __future__ import annotations

import asyncio
import socket

import pytest

from skoopctl.report.page import style_hash
from skoopctl.report.svg_style import DARK, STYLE
from skoopctl.web import guard
from skoopctl.web.guard import MOST_BODY, MOST_QUERY, MOST_REQUESTS, Access, Guard
from tests.unit.web.visit import MANUAL, Visitor, visitor

TOKEN = "t0ken-of-this-test"  # noqa: S105 - of this test
OUTSIDE = Access("192.0.2.7", 8080, TOKEN)


def stranger(host: str = "192.0.2.7:8080") -> Visitor:
    """Return a visitor of a page that others reach."""
    return visitor(access=OUTSIDE, host=host)


@pytest.mark.parametrize("target", ["/", MANUAL, "/assets/web.css", "/nothing", "/progress"])
async def test_every_answer_has_the_policy(target: str) -> None:
    """Pages, files and refusals alike: nothing is fetched from elsewhere, framed, guessed at, kept or passed on."""
    headers = (await visitor().get(target)).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == f"'self' {style_hash(f'{STYLE}{DARK}')}"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "", "127.0.0.1.evil.example", "10.0.0.1:8080"]
)
async def test_a_name_that_a_stranger_gives_out_is_not_served(host: str) -> None:
    """A page of another site that lets its name point here gets nothing."""
    answer = await visitor(host=host).get(MANUAL)
    assert answer.status == 421
    assert "10.244" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9999", "[::1]:8080", "LOCALHOST"])
async def test_this_machines_names_are_served_on_any_port(host: str) -> None:
    """A tunnel over SSH has another port, and works."""
    assert (await visitor(host=host).get("/")).status == 200


async def test_beyond_loopback_the_token_is_asked_for_and_becomes_a_cookie() -> None:
    """The printed address gives a cookie that scripts and other sites cannot use, and then that is enough."""
    guest = stranger()
    assert (await guest.get("/")).status == 401
    welcome = await guest.get(f"{MANUAL}&token={TOKEN}")
    assert welcome.status == 200
    cookie = welcome.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in welcome.text, "the token does not stay in the address"
    assert MANUAL.replace("&", "&amp;") in welcome.text
    assert (await guest.get(MANUAL)).status == 200
    assert (await guest.get("/assets/web.js")).status == 200


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "t%C3%B6ken"])
async def test_another_token_is_refused(token: str) -> None:
    """A wrong token lets nobody in and gives no cookie."""
    guest = stranger()
    answer = await guest.get(f"/?token={token}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers
    assert (await guest.get("/")).status == 401


@pytest.mark.parametrize("target", ["/", "/assets/web.css", "/progress", "/run"])
async def test_another_cookie_is_refused(target: str) -> None:
    """Nothing at all is shown to whoever has made up a cookie."""
    guest = stranger()
    guest.cookies = {OUTSIDE.cookie: "wrong", "other": TOKEN}
    assert (await guest.get(target)).status == 401


async def test_the_welcome_leads_nowhere_else() -> None:
    """A printed address cannot be changed into one that sends the browser to another site."""
    for path in ("//evil.example/", "/\\evil.example", '/"><script>'):
        answer = await stranger().get(f"{path}?token={TOKEN}")
        assert 'content="0; url=/"' in answer.text


async def test_a_name_of_ours_or_an_address_is_served_beyond_loopback() -> None:
    """Whoever reaches this machine by its address or own name may come; by another name nobody may."""
    own = socket.gethostname()
    for host, status in (
        ("192.0.2.7:8080", 401),
        (f"{own}:8080", 401),
        ("198.51.100.1", 401),
        ("evil.example", 421),
    ):
        assert (await stranger(host).get("/")).status == status, host


async def test_a_page_that_is_insecure_on_request_asks_for_nothing() -> None:
    """Without a token everybody is let in, by an address of ours only."""
    open_to_all = Access("192.0.2.7", 8080)
    assert (await visitor(access=open_to_all, host="192.0.2.7:8080").get("/")).status == 200
    assert (await visitor(access=open_to_all, host="evil.example").get("/")).status == 421


async def test_what_is_too_large_is_refused() -> None:
    """A long address, a large form and one that lies about its size are each one line."""
    guest = visitor()
    assert (await guest.get(f"/diagnose?s={'a' * MOST_QUERY}")).status == 414
    assert (await guest.post("/collect", b"x" * (MOST_BODY + 1))).status == 413
    assert (await guest.post("/collect", b"", content_length="-1")).status == 413
    assert (await guest.post("/collect", b"", content_length="9" * 40)).status == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
async def test_other_methods_are_refused(method: str) -> None:
    """The page is read, and has one button."""
    assert (await visitor().ask(method, "/", {})).status == 405


async def test_too_many_at_a_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests beyond the bound are told so at once, and one that never ends is ended."""
    monkeypatch.setattr(guard, "REQUEST_S", 0.2)

    async def never(_scope: object, _receive: object, _send: object) -> None:
        await asyncio.Event().wait()

    guest = visitor()
    guest.site.app = Guard(never, Access("127.0.0.1", 8080))
    slow = [asyncio.create_task(guest.get("/")) for _ in range(MOST_REQUESTS)]
    await asyncio.sleep(0)
    refused = await guest.get("/")
    assert refused.status == 503
    assert "too many" in refused.text
    answers = await asyncio.gather(*slow)
    assert {answer.status for answer in answers} == {503}
    assert {"took too long" in answer.text for answer in answers} == {True}
