"""The eBPF probes of latencies on this kernel: real delays, what they are told to be of, and what is none."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest

from skoopctl.bpf.events import BpfEvent, Delay
from skoopctl.bpf.histogram import Histogram
from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_pair import ADDRESSES, Pair, pair
from tests.kernel.bpf_watch import Watch

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

HOUR_US = 3_600_000_000
ENOUGH_S = 60.0
"""Longer than any test waits: the program ends with its standard input."""


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("l") as made:
        yield made


def asked(probe: str, *namespaces: int, duration_s: float = ENOUGH_S, **thresholds_us: int) -> BpfRequest:
    """Return a request for one probe with some thresholds in microseconds."""
    named = {f"{probe}.{name}": value for name, value in thresholds_us.items()}
    return BpfRequest((probe,), duration_s, namespaces, thresholds_us=named)


def delay_of(event: BpfEvent) -> Delay:
    """Return how long an event took."""
    assert event.delay is not None
    return event.delay


def row(watch: Watch, probe: str, stage: str, of: str = "") -> Histogram:
    """Return one histogram of a probe that has ended."""
    found = [each for each in watch.counts[probe].histograms if (each.stage, each.type) == (stage, of)]
    assert found, f"nothing was counted of {stage} {of}: {watch.counts[probe].histograms}"
    return found[0]


def datagrams(wire: Pair, port: int, times: int = 1, family: int = 4) -> int:
    """Send datagrams from the client to a socket of the server and return the port that they came from."""
    with (
        contextlib.closing(wire.server.socket(family, socket.SOCK_DGRAM)) as far,
        contextlib.closing(wire.client.socket(family, socket.SOCK_DGRAM)) as near,
    ):
        far.bind(("", port))
        for _ in range(times):
            near.sendto(b"x" * 100, (ADDRESSES[family][1], port))
            assert far.recv(200)
        return int(near.getsockname()[1])


@pytest.mark.parametrize(
    ("very_slow_us", "kinds"),
    [
        (HOUR_US, {"softirq-wait-slow", "softirq-run-slow"}),
        (1, {"softirq-wait-very-slow", "softirq-run-very-slow"}),
    ],
)
def test_softirqs_over_a_threshold_are_told(wire: Pair, very_slow_us: int, kinds: set[str]) -> None:
    """Received packets give softirqs of type NET_RX that wait and run, shorter than the test and longer than asked."""
    begun = time.monotonic_ns()
    with Watch(asked("softirq", slow=1, very_slow=very_slow_us)) as watch:

        def seen() -> set[str]:
            datagrams(wire, 7101, 20)
            return {event.kind for event in watch.events if event.reason_name == "NET_RX"}

        watch.until(lambda: seen() >= kinds, "both stages of NET_RX")
    took = time.monotonic_ns() - begun
    assert {event.kind for event in watch.events} == kinds
    for event in watch.events:
        assert 1_000 <= delay_of(event).latency_ns < took
        assert begun < event.mono_ns < begun + took
        assert delay_of(event).cpu < (os.cpu_count() or 1)
        assert (event.netns, event.source, delay_of(event).pid) == (0, "", 0)


def test_softirqs_below_the_threshold_are_only_counted(wire: Pair) -> None:
    """With a threshold of an hour there is no event, and the histograms have every softirq of a flood."""
    with Watch(asked("softirq", duration_s=2.0, slow=HOUR_US, very_slow=HOUR_US)) as watch:
        datagrams(wire, 7102, 200)
        watch.wait()
    assert watch.ended_whole
    assert watch.events == []
    assert watch.counts["softirq"].totals == ()
    run = row(watch, "softirq", "run", "NET_RX")
    assert run.count >= 200
    assert 0 < run.sum_ns < 10**11


@pytest.mark.parametrize("family", [4, 6])
def test_a_packet_that_waits_in_a_slow_queue_is_told(wire: Pair, family: int) -> None:
    """A token bucket keeps the second of two packets: it is told with both ends, the device and the time."""
    near, far = ADDRESSES[family]
    client = wire.client
    device = ("dev", client.device, "root")
    client.run(*("tc", "qdisc", "add", *device, "tbf", "rate", "16kbit", "burst", "1600", "latency", "20s"))
    try:
        with (
            Watch(asked("netiftxlat", client.inode)) as watch,
            contextlib.closing(client.socket(family, socket.SOCK_DGRAM)) as sender,
        ):
            begun = time.monotonic_ns()
            for _ in range(2):
                sender.sendto(b"x" * 1000, (far, 7103))
            sent = sender.getsockname()[1]
            seen = watch.first(lambda e: e.kind == "transmit-qdisc-slow", "the packet that was kept")
            took = time.monotonic_ns() - begun
    finally:
        client.run("tc", "qdisc", "del", *device)
    assert 100_000_000 <= delay_of(seen).latency_ns < took
    assert (seen.source, seen.source_port, seen.destination, seen.destination_port) == (near, sent, far, 7103)
    assert (seen.netns, seen.ifindex) == (client.inode, client.ifindex)
    assert seen.length >= 1000
    assert [event for event in watch.events if event.kind == "transmit-driver-slow"] == []


def test_a_driver_over_a_threshold_is_told_with_its_device(wire: Pair) -> None:
    """What the driver takes is told with namespace, device and length, and without ends: the packet is gone then."""
    begun = time.monotonic_ns()
    with Watch(asked("netiftxlat", wire.client.inode, slow=0)) as watch:
        port = datagrams(wire, 7104)
        watch.first(lambda e: e.kind == "transmit-driver-slow" and e.length >= 100, "the driver")
        queue = watch.first(lambda e: e.destination_port == 7104, "the queue")
    took = time.monotonic_ns() - begun
    assert queue.source_port == port
    assert {event.netns for event in watch.events} == {wire.client.inode}, "only what was asked for"
    for event in watch.events:
        assert 0 < delay_of(event).latency_ns < took
        assert event.ifindex == wire.client.ifindex
        assert event.kind == "transmit-qdisc-slow" or event.source == event.destination == ""


def test_packets_that_leave_quickly_are_only_counted(wire: Pair) -> None:
    """With a threshold of an hour there is no event, and both histograms have every packet."""
    with Watch(asked("netiftxlat", wire.client.inode, duration_s=2.0, slow=HOUR_US)) as watch:
        datagrams(wire, 7105, 300)
        watch.wait()
    assert watch.events == []
    assert row(watch, "netiftxlat", "qdisc").count >= 300
    assert row(watch, "netiftxlat", "driver").count >= 300


def test_a_tunnels_packet_is_measured_on_each_device(wire: Pair) -> None:
    """A packet that a tunnel hands on while its driver works counts for both devices."""
    near, far = ADDRESSES[4]
    wire.client.run(
        "ip", "link", "add", "t0", "type", "vxlan", "id", "7", "local", near, "remote", far, "dstport", "4789"
    )
    try:
        wire.client.run("ip", "addr", "add", "10.213.78.1/24", "dev", "t0")
        wire.client.run("ip", "link", "set", "t0", "up")
        with Watch(asked("netiftxlat", wire.client.inode, slow=0)) as watch:
            with wire.client.socket(4, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x" * 100, ("10.213.78.2", 7106))
            watch.until(
                lambda: len({e.ifindex for e in watch.events if e.kind == "transmit-driver-slow"}) == 2,
                "both devices",
            )
    finally:
        wire.client.run("ip", "link", "del", "t0")
