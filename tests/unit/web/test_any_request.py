"""Whatever is asked, there is an answer, and it is not a bug."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.web.app import Shown
from skoopctl.web.guard import Access
from tests.unit.web.visit import recorded, visitor

BYTES = st.text(st.characters(max_codepoint=255), max_size=60)
NAMES = st.sampled_from(
    ["s", "d", "p", "protocol", "branch", "walk", "hop", "q", "token", "severity", "node", "%", "&"]
)
VALUES = BYTES | st.sampled_from(
    ["10.244.3.70", "10.244.2.201", "8080", "0", "-1", "99999999999", "icmp6", "%00", "::1"]
)
PATHS = st.sampled_from(
    ["/", "/diagnose", "/run", "/progress", "/diagnosis.json", "/picture.svg", "/assets/", "/assets/web.css"]
) | BYTES.map("/{}".format)
HEADERS = st.dictionaries(
    st.sampled_from(["cookie", "content_length", "sec_fetch_site", "accept"]), BYTES, max_size=3
)
ANSWERS = {200, 303, 307, 401, 403, 404, 405, 413, 414, 421, 422}


@settings(max_examples=150)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    path=PATHS,
    query=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    headers=HEADERS,
    body=st.binary(max_size=300),
    token=st.sampled_from(["", "the-token"]),
)
def test_every_request_is_answered(
    method: str, path: str, query: list[tuple[str, str]], headers: dict[str, str], body: bytes, token: str
) -> None:
    """No path, query, header or body is a bug; every answer has the policy, and without the token none has data."""

    async def ask() -> None:
        shown = Shown(recorded())
        guest = visitor(shown, Access("192.0.2.1", 8080, token), host="192.0.2.1:8080")
        target = path.replace("?", "").replace("#", "") + "?" + "&".join(f"{k}={v}" for k, v in query)
        sent = {name: value for name, value in headers.items() if name != "cookie" or token}
        answer = await guest.ask(method, target.encode("latin-1").decode("latin-1"), sent, body)
        await guest.site.close()
        assert answer.status in ANSWERS
        assert "content-security-policy" in answer.headers
        assert not token or b"10.244" not in answer.body.replace(target.encode(), b"")

    asyncio.run(ask())
