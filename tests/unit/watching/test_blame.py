"""Which nodes are asked for their rules when a watch ends: those that have packets which rules dropped."""

from __future__ import annotations

import pytest

from skoopctl.events.event import Event
from skoopctl.inventory import InventoryHost
from skoopctl.watching.blame import dropped_by_rules
from skoopctl.watching.observation import Observation
from tests.unit.events.made_events import DROP, bare, made


@pytest.mark.parametrize(
    ("event", "asked"),
    [
        (DROP, True),
        (made(reason="", hook="INPUT"), True),
        (made(reason="", hook="", function="nf_hook_slow"), True),
        (bare(reason="NO_SOCKET", function="tcp_v4_rcv"), False),
        (bare(reason="NO_SOCKET", hook="INPUT"), False),
        (bare(kind="reset-no-socket", reason="NETFILTER_DROP"), False),
    ],
)
def test_rules_are_asked_for_as_far_as_there_can_be_an_answer(event: Event, asked: bool) -> None:
    """Kernels without reasons tell it by hook or function; what has another reason no rule has to answer for."""
    view = Observation((), [InventoryHost("node1", "10.0.9.1")], events=("packetloss",)).nodes["node1"]
    assert view.events is not None
    view.events.recent.append(event)
    assert list(dropped_by_rules(view)) == ([event] if asked else [])
