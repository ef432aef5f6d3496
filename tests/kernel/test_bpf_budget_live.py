"""The budget of eBPF probes: one that costs too much is taken off, one that does not stays."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_pair import ADDRESSES, Pair, pair
from tests.kernel.bpf_watch import Watch
from tests.support.floods import counting, flooding

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

PORT = 7300
ENOUGH_S = 60.0
MEASURED = 10
"""So many counts, each after 0.2 s, come while the cost is measured six times."""
QUICK = {"budget_slice_s": 0.2, "budget_every_s": 0.3}


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("g") as made:
        yield made


def asked(wire: Pair, budget: float | None, duration_s: float = ENOUGH_S) -> BpfRequest:
    """Return a request that is measured often."""
    namespaces = (wire.client.inode, wire.server.inode)
    return BpfRequest(
        ("packetloss", "tcpretrans"), duration_s, namespaces, backend="core", budget=budget, **QUICK
    )


def lose(wire: Pair, times: int) -> None:
    """Send datagrams to a port where nobody reads."""
    with contextlib.closing(wire.client.socket(4, socket.SOCK_DGRAM)) as made:
        for _ in range(times):
            made.sendto(b"x", (ADDRESSES[4][1], PORT))


def lost(watch: Watch) -> int:
    """Return how many of them were counted at last."""
    flows = watch.counts["packetloss"].flows
    return sum(flow.count for flow in flows if flow.destination_port == PORT)


def flood_until_detached(wire: Pair, watch: Watch) -> None:
    """Lose datagrams until the probe is taken off."""

    def is_off() -> bool:
        lose(wire, 500)
        return "packetloss" in watch.detached

    watch.until(is_off, "the probe to be taken off")


@flooding()
def test_a_flood_over_a_tiny_budget_takes_the_probe_off(wire: Pair) -> None:
    """A probe over its budget is detached with the measured share, and counts nothing more; the others stay."""
    with Watch(replace(asked(wire, 1e-3), duration_s=8.0, counts_s=0.2)) as watch:
        flood_until_detached(wire, watch)
        off = watch.detached["packetloss"]
        came = len(watch.counted("packetloss"))
        watch.until(lambda: len(watch.counted("packetloss")) > came + 1, "counts after that")
        kept = lost(watch)
        lose(wire, 700)
        watch.wait()
    assert watch.ended_whole
    assert (off.reason, off.by, off.budget) == ("overhead", "time", 1e-3)
    assert 1e-3 < off.share < 2
    assert lost(watch) == kept >= 500, "what was counted is kept, and nothing is added"
    assert set(watch.detached) == {"packetloss"}


@counting()
def test_usual_losses_are_within_the_usual_budget(wire: Pair) -> None:
    """With the budget that a request has by default, some hundred losses a second detach nothing."""
    with Watch(asked(wire, None)) as watch:
        for expected in range(1, 11):
            lose(wire, 50)
            watch.until(lambda: len(watch.events) >= 50 * expected, "the losses")  # noqa: B023
    assert watch.detached == {}


@flooding()
def test_a_budget_of_zero_is_none(wire: Pair) -> None:
    """Whoever turns the budget off keeps the probe, whatever it costs."""
    with Watch(replace(asked(wire, 0.0), counts_s=0.2)) as watch:
        sent = 0

        def is_measured() -> bool:
            nonlocal sent
            lose(wire, 500)
            sent += 500
            return len(watch.counted("packetloss")) >= MEASURED

        watch.until(is_measured, "counts, during which the cost would have been measured a few times")
        watch.until(lambda: lost(watch) == sent, "all of them to be counted")
    assert watch.detached == {}


@flooding()
def test_where_the_kernel_measures_nothing_events_are_the_measure(wire: Pair) -> None:
    """Before 5.8, what a probe costs is worked out from how many events it had."""

    def old(source: str) -> str:
        assert "\nENABLE_STATS, STATS_RUN_TIME = 32, 0\n" in source
        return source.replace(
            "\nENABLE_STATS, STATS_RUN_TIME = 32, 0\n", "\nENABLE_STATS, STATS_RUN_TIME = 9999, 0\n"
        )

    with Watch(asked(wire, 1e-3), change=old) as watch:
        flood_until_detached(wire, watch)
    off = watch.detached["packetloss"]
    assert off.by == "events"
    assert off.share > 1e-3
