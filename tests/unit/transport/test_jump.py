"""Reading the bastions of ProxyJump."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.transport.jump import Hop, hops

NAMES = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True) | st.just("fd00::1")
USERS = st.none() | st.from_regex(r"[a-z_][a-z0-9_-]{0,10}", fullmatch=True)
HOPS = st.builds(Hop, NAMES, USERS, st.none() | st.integers(1, 65535))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", ()),
        ("", ()),
        ("b1", (Hop("b1"),)),
        ("ops@b1:2222, b2", (Hop("b1", "ops", 2222), Hop("b2"))),
        ("ops@corp.example@b1", (Hop("b1", "ops@corp.example"),)),
        ("ssh://ops@b1:22", (Hop("b1", "ops", 22),)),
        ("[fd00::1]:22", (Hop("fd00::1", None, 22),)),
        ("-oProxyCommand=x", None),
        ("b1:0", None),
        ("b1:port", None),
        ("b1,,b2", None),
    ],
)
def test_bastions_are_read_as_openssh_writes_them(text: str, expected: tuple[Hop, ...] | None) -> None:
    """What is no ``[user@]host[:port]`` is an error, not another host."""
    if expected is None:
        with pytest.raises(ValueError, match="expected"):
            hops(text)
    else:
        assert hops(text) == expected


@given(st.lists(HOPS, min_size=1, max_size=4))
def test_what_is_written_is_read_back(way: list[Hop]) -> None:
    """Writing and reading are each other's inverse."""
    assert hops(",".join(map(str, way))) == tuple(way)
