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
