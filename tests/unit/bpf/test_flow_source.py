"""The flow probe without a kernel: what old kernels tell, and how much is kept."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.bpf_loader import loader

POD = 2


def info(*, sent: int = 0, again: int = 0, acked: int = 0, received: int = 0, size: int = 232) -> bytes:
    """Return a struct tcp_info, of which old kernels have less."""
    raw = bytearray(256)
    struct.pack_into("=QQ", raw, 120, acked, received)
    struct.pack_into("=II", raw, 136, 5, 4)
    struct.pack_into("=QQ", raw, 200, sent, again)
    return bytes(raw[:size])


def shown(cookie: int, raw_info: bytes, state: int = 1) -> bytes:
    """Return a connection as sock_diag shows it."""
    head = struct.pack("=BBBB", 2, state, 0, 0) + struct.pack(">HH", 1000 + cookie % 50_000, 80)
    ends = b"\x0a\0\0\1".ljust(16, b"\0") + b"\x0a\0\0\2".ljust(16, b"\0")
    rest = struct.pack("=IQ", 0, cookie) + bytes(20)
    return head + ends + rest + struct.pack("=HH", 4 + len(raw_info), 2) + raw_info


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a probe without sockets."""
    node = loader()
    names = node.FlowProbe.open.__globals__
    monkeypatch.setitem(names, "Modules", lambda: SimpleNamespace(is_asked_freely=lambda _: True))
    return node.FlowProbe({"name": "flow"}, None)


@pytest.mark.parametrize(
    ("size", "state", "sent", "received"),
    [(232, 1, 900, 50), (232, 8, 900, 49), (168, 1, 901, 50), (144, 1, 901, 50)],
)
def test_bytes_are_what_the_kernel_counts_of_them(size: int, state: int, sent: int, received: int) -> None:
    """What was sent again is taken off, and so is a FIN that has come; old kernels tell what was acknowledged."""
    numbers = loader().tcp_numbers(info(sent=1000, again=100, acked=901, received=50, size=size), state)
    assert (numbers[0], numbers[2]) == (sent, received)


def test_a_kernel_that_counts_no_segments_tells_nothing() -> None:
    """Without bytes and segments (before 4.2) a connection is left out rather than told as 0."""
    assert loader().tcp_numbers(info(size=104), 1) is None


def test_connections_are_told_from_their_first_snapshot_on(probe: Any) -> None:
    """What a connection had at the start is taken off; one that came later, and one that is over, count whole."""
    probe.sight(POD, shown(1, info(sent=1_000)), True, False)
    probe.sight(POD, shown(1, info(sent=1_300)), False, False)
    probe.sight(POD, shown(2, info(sent=70)), False, False)
    probe.sight(POD, shown(3, info(sent=5)), False, True)
    assert sorted(row[2] for row in probe.flow_rows() if row[2]) == [5, 70, 300]


def test_connections_that_are_kept_are_bounded(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More connections than may be kept are told as not counted, living or ended; the largest stay."""
    monkeypatch.setitem(loader().FlowProbe.open.__globals__, "MOST_CONNECTIONS", 10)
    monkeypatch.setitem(loader().FlowProbe.open.__globals__, "MOST_ENDED", 20)
    for cookie in range(15):
        probe.sight(POD, shown(cookie, info(sent=1)), False, False)
    assert (len(probe.live), probe.full) == (10, 5)
    for cookie in range(100, 130):
        probe.sight(POD, shown(cookie, info(sent=cookie)), False, True)
    assert len(probe.ended) <= 21
    assert probe.uncounted > 0
    assert max(row[2] for row in probe.flow_rows()) == 129


def test_flows_of_long_ago_are_told_no_more(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after its end a flow is told for the last time."""
    names = loader().FlowProbe.open.__globals__
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setitem(names, "time", clock)
    probe.sight(POD, shown(1, info(sent=1)), False, True)
    clock.monotonic = lambda: 3_701.0
    assert [len(probe.counts()["flows"]) for _ in range(2)] == [2, 0]


def test_no_module_is_loaded_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asking would load tcp_diag, no socket is opened, and the probe says what is missing."""
    node = loader()
    names = node.FlowProbe.open.__globals__
    monkeypatch.setitem(names, "Modules", lambda: SimpleNamespace(is_asked_freely=lambda _: False))
    monkeypatch.setitem(names, "sockets", None)
    with pytest.raises(node.Outcome) as raised:
        node.FlowProbe({"name": "flow"}, None)
    assert "tcp_diag is not loaded" in raised.value.detail


def test_what_is_cut_is_passed_over(probe: Any) -> None:
    """A message that is shorter than it must be is no connection."""
    whole = shown(1, info(sent=1))
    for size in range(72):
        probe.sight(POD, whole[:size], False, False)
    assert probe.live == {}
