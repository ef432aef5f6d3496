"""Data that waits in sockets, on this kernel: readers that sleep, peers that do not read, and those who do."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.stream import Counts
from tests.kernel.bpf_delays import (
    COUNTS_S,
    HOUR_US,
    asked,
    dawdle,
    delay_of,
    only,
    row,
    totals,
    until_counted,
    until_totalled,
)
from tests.kernel.bpf_pair import ADDRESSES, Pair, pair
from tests.kernel.bpf_watch import Watch

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

LONG_S = 0.3
"""Longer than the threshold of what is told."""
MILLI = 1_000_000


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("w") as made:
        yield made


@contextlib.contextmanager
def connection(wire: Pair, family: int, port: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection for a while."""
    near, far = wire.connected(family, port)
    try:
        yield near, far
    finally:
        near.close()
        far.close()


def me() -> tuple[int, str]:
    """Return this process's number and this thread's name, as events have them."""
    return os.getpid(), Path("/proc/thread-self/comm").read_text(encoding="ascii").strip()


@pytest.mark.parametrize("hook", ["on_sk_data_ready", "on_tcp_probe"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_reader_that_sleeps_is_told(
    wire: Pair, monkeypatch: pytest.MonkeyPatch, family: int, hook: str
) -> None:
    """Data that lay there for long is one event: from whom to whom, how long, in whose namespace, who read it."""
    only(monkeypatch, "socketlatency", hook)
    begun = time.monotonic_ns()
    with (
        Watch(asked("socketlatency", wire.client.inode, wire.server.inode)) as watch,
        connection(wire, family, 7201) as (near, far),
    ):
        near.sendall(b"x" * 1000)
        dawdle(LONG_S)
        assert len(far.recv(2000)) == 1000
        sent = near.getsockname()[1]
        seen = watch.first(lambda event: event.destination_port == 7201, "the reader")
        took = time.monotonic_ns() - begun
    source, destination = ADDRESSES[family]
    assert watch.setups["socketlatency"].status == "ok"
    assert (seen.kind, seen.netns) == ("read-very-slow", wire.server.inode)
    assert (seen.source, seen.source_port, seen.destination) == (source, sent, destination)
    assert LONG_S * 0.9e9 < delay_of(seen).latency_ns < took
    assert (delay_of(seen).pid, delay_of(seen).task) == me()
    assert len(watch.events) == 1


def test_what_is_left_in_the_queue_waits_since_the_last_read(wire: Pair) -> None:
    """Of a queue that is read in two pieces each has its own wait, and neither has the sum of both."""
    begun = time.monotonic_ns()
    with (
        Watch(asked("socketlatency", wire.server.inode)) as watch,
        connection(wire, 4, 7202) as (near, far),
    ):
        near.sendall(b"x" * 1000)
        for size in (10, 990):
            dawdle(LONG_S)
            assert len(far.recv(size)) == size
        watch.until(lambda: len(watch.events) == 2, "both reads")
        took = time.monotonic_ns() - begun
    waits = [delay_of(event).latency_ns for event in watch.events]
    assert min(waits) > LONG_S * 0.9e9
    assert sum(waits) < took


@pytest.mark.parametrize("family", [4, 6])
def test_a_full_socket_is_told(wire: Pair, family: int) -> None:
    """What is written to a peer that does not read waits until it does: told of the one who wrote."""
    begun = time.monotonic_ns()
    with (
        Watch(asked("socketlatency", wire.client.inode)) as watch,
        connection(wire, family, 7203) as (near, far),
    ):
        near.setblocking(False)
        written = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                written += near.send(b"y" * 10_000)
        dawdle(LONG_S)
        while written:
            written -= len(far.recv(1 << 20))
        sent = near.getsockname()[1]
        # The kernel looks whether the window has opened a little, and then sends a little: that waited for less.
        seen = watch.first(
            lambda event: event.kind == "write-very-slow" and delay_of(event).latency_ns > LONG_S * 0.9e9,
            "what waited",
        )
        took = time.monotonic_ns() - begun
    source, destination = ADDRESSES[family]
    assert (seen.source, seen.source_port) == (source, sent)
    assert (seen.destination, seen.destination_port) == (destination, 7203)
    assert seen.netns == wire.client.inode
    assert delay_of(seen).latency_ns < took
    assert (delay_of(seen).pid, delay_of(seen).task) == me()


def test_a_write_that_blocks_is_told(wire: Pair) -> None:
    """One call that writes more than the socket holds is told too, while it goes on."""
    with (
        Watch(asked("socketlatency", wire.client.inode)) as watch,
        connection(wire, 4, 7204) as (near, far),
    ):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, b"\x01" + b"\0" * 15)  # a second
        near.settimeout(None)
        written = near.send(b"z" * (16 << 20))
        assert written < 16 << 20
        while written:
            written -= len(far.recv(1 << 20))
        watch.first(
            lambda event: event.kind == "write-very-slow" and delay_of(event).latency_ns > 900 * MILLI,
            "what waited",
        )


def test_slow_reads_are_counted_each_and_not_told(wire: Pair) -> None:
    """Between the thresholds there is no event, and the namespace of the reader has every one of them."""
    request = asked("socketlatency", wire.server.inode, counts_s=COUNTS_S, slow=10_000, very_slow=HOUR_US)
    with Watch(request) as watch, connection(wire, 4, 7205) as (near, far):
        for _ in range(5):
            near.sendall(b"x")
            dawdle(0.03)
            assert far.recv(10) == b"x"
        until_totalled(watch, "socketlatency", wire.server.inode, 5)
    assert watch.events == []
    assert totals(watch, "socketlatency", wire.server.inode) == {"read-slow": 5}
    assert row(watch, "socketlatency", "read").count == 5
    assert watch.counts["socketlatency"].flows == ()


def test_what_is_read_and_sent_at_once_is_only_in_the_histograms(wire: Pair) -> None:
    """With thresholds of an hour nothing is slow, and reads and writes of both ends are in the histograms."""
    request = asked(
        *("socketlatency", wire.client.inode, wire.server.inode),
        counts_s=COUNTS_S,
        slow=HOUR_US,
        very_slow=HOUR_US,
    )
    with Watch(request) as watch, connection(wire, 6, 7206) as (near, far):
        for _ in range(50):
            near.sendall(b"ping")
            far.sendall(far.recv(10))
            assert near.recv(10) == b"ping"
        until_counted(watch, "socketlatency", 100, ("read", ""), ("write", ""))
    counts: Counts = watch.counts["socketlatency"]
    assert (watch.events, counts.totals) == ([], ())
    assert row(watch, "socketlatency", "read").count == 100
    assert row(watch, "socketlatency", "write").count == 100


def test_connections_without_data_wait_for_nothing(wire: Pair) -> None:
    """Connections that are made, stay idle for longer than a threshold and end give neither counts nor events."""
    request = asked(
        "socketlatency", wire.client.inode, wire.server.inode, duration_s=2.0, slow=0, very_slow=0
    )
    with Watch(request) as watch:
        for family in (4, 6):
            with connection(wire, family, 7207):
                dawdle(LONG_S)
        watch.wait()
    assert watch.ended_whole
    counts = watch.counts["socketlatency"]
    assert (watch.events, counts.totals, counts.histograms) == ([], (), ())


def test_what_a_socket_has_waited_for_ends_with_it(wire: Pair) -> None:
    """Data that nobody reads before a socket is closed is no wait of a later socket in the same memory."""
    with Watch(asked("socketlatency", wire.server.inode, counts_s=COUNTS_S)) as watch:
        for _ in range(30):
            with connection(wire, 4, 7211) as (near, far):
                near.sendall(b"never read")
                assert far.recv(10, socket.MSG_PEEK) == b"never read"
        dawdle(LONG_S)
        for _ in range(30):
            with connection(wire, 4, 7212) as (near, far):
                near.sendall(b"x")
                assert far.recv(10) == b"x"
        until_counted(watch, "socketlatency", 30, ("read", ""))
    # We may be kept from reading for longer than the threshold ourselves, but not for as long as was dawdled.
    later = [delay_of(event).latency_ns for event in watch.events if event.destination_port == 7212]
    assert max(later, default=0) < LONG_S * 1e9


def test_only_wanted_namespaces_are_measured(wire: Pair) -> None:
    """A probe that is asked about the client's namespace says nothing of the server's slow reader."""
    request = asked("socketlatency", wire.client.inode, counts_s=COUNTS_S, slow=0, very_slow=HOUR_US)
    with Watch(request) as watch, connection(wire, 4, 7208) as (near, far):
        near.sendall(b"x")
        dawdle(0.1)
        assert far.recv(10) == b"x"
        until_totalled(watch, "socketlatency", wire.client.inode, 1)
    assert totals(watch, "socketlatency", wire.server.inode) == {}
    assert totals(watch, "socketlatency", wire.client.inode) == {"write-slow": 1}


def test_a_half_that_this_kernel_has_not_is_told(wire: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a hook for writers the probe is degraded by name, nothing of that half stays, and reads are told."""
    if Path("/sys/bus/event_source/devices/kprobe").exists():
        pytest.skip("this kernel has kprobes")
    only(monkeypatch, "socketlatency", "at_tcp_sendmsg_locked")
    with (
        Watch(asked("socketlatency", wire.server.inode)) as watch,
        connection(wire, 4, 7209) as (near, far),
    ):
        near.sendall(b"x")
        dawdle(LONG_S)
        assert far.recv(10) == b"x"
        watch.first(lambda event: event.kind == "read-very-slow", "the reader")
    setup = watch.setups["socketlatency"]
    assert setup.status == "degraded"
    (missing,) = [hook for hook in setup.hooks if hook.status != "ok"]
    assert (missing.program, missing.status) == ("at_tcp_sendmsg_locked", "absent")
    assert "no kprobes" in missing.detail
    assert "on_net_dev_queue" not in {hook.program for hook in setup.hooks}


def test_the_next_alternative_takes_the_place_of_one_that_works_in_part(
    wire: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was attached of the first is taken off, and told; with the second the probe is whole."""
    if Path("/sys/bus/event_source/devices/kprobe").exists():
        pytest.skip("this kernel has kprobes")
    probe = PROBES["socketlatency"]
    ways = (("on_net_dev_queue", "at_tcp_sendmsg_locked"), ("on_tcp_sendmsg_locked", "on_net_dev_queue"))
    hooks = tuple(
        replace(hook, alternatives=ways) if "on_net_dev_queue" in hook.alternatives[0] else hook
        for hook in probe.hooks
    )
    monkeypatch.setitem(PROBES, "socketlatency", replace(probe, hooks=hooks))
    request = asked("socketlatency", wire.client.inode, counts_s=COUNTS_S, slow=HOUR_US, very_slow=HOUR_US)
    with Watch(request) as watch, connection(wire, 4, 7210) as (near, far):
        near.sendall(b"x")
        assert far.recv(10) == b"x"
        until_counted(watch, "socketlatency", 1, ("write", ""))
    setup = watch.setups["socketlatency"]
    assert setup.status == "ok"
    statuses = [(hook.program, hook.status) for hook in setup.hooks if "read" not in hook.what]
    assert statuses[:4] == [
        ("on_net_dev_queue", "absent"),
        ("at_tcp_sendmsg_locked", "absent"),
        ("on_tcp_sendmsg_locked", "ok"),
        ("on_net_dev_queue", "ok"),
    ]
    assert row(watch, "socketlatency", "write").count == 1
