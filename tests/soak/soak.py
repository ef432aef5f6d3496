"""The soak: a pipeline under kills for so many seconds, and what must be true of what Prometheus has stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from skoopctl.sinks.gateway import Access, GatewayClient, Pushed
from tests.services.push_process import Pushing
from tests.services.servers import wait_until
from tests.soak import judge
from tests.soak.chaos import INTERVAL_S, Chaos, Server, pipeline

CLUSTER = "soak"


def soak(
    folder: Path,
    service: Pushing,
    chaos: Callable[[Server], Chaos],
    *,
    nodes: int,
    seconds: float,
    busy: bool = False,
    tell: Callable[[str], object] = lambda _line: None,
) -> None:
    """Run it, and assert. ``nodes`` is how many there are before one leaves.

    On a ``busy`` machine, which runs other tests too, everything may be late by what the start itself took, twice.
    """
    with pipeline(folder, service, chaos) as (mischief, prometheus):
        began = time.time()
        service.start()
        wait_until(lambda: _pushed(mischief.gateway.url) == nodes, "rounds of all nodes at the gateway")
        slack_s = max(judge.BUSY_S, 2 * (time.time() - began)) if busy else 0.0
        wait_until(
            lambda: len(judge.pushes(prometheus.url, time.time() - 30, time.time())) == nodes, "scrapes"
        )
        tell(f"{slack_s:.1f} s of slack")
        began = time.time()
        while time.time() < began + seconds:
            mischief.rest(mischief.lot.uniform(1, 3) * INTERVAL_S)
            mischief.strike()
            last = mischief.outages[-1]
            tell(f"{last.what}: killed, {last.ended - last.began:.1f} s")
        remaining = nodes - mischief.left
        wait_until(
            lambda: service.value('skoopctl_push_nodes{state="up"}') == remaining, "all to be well again"
        )
        mischief.rest(3 * INTERVAL_S)
        ended = time.time()
        found = judge.gaps(judge.pushes(prometheus.url, began, ended), mischief.outages)
        longest = max(found, key=lambda gap: gap.own_s)
        memory = judge.growth(prometheus.url, began, ended)
        said = f"{len(mischief.outages)} kills, {len(found)} pushes; longest gap: {longest}"
        tell(f"{said}; memory of push within {memory / 2**20:.1f} MiB")
        assert judge.too_long(found, slack_s) == []
        assert judge.duplicates(prometheus.url, began, ended) == []
        assert memory < judge.MOST_GROWTH
        assert _stale(mischief.gateway.url, remaining, slack_s) == []


def _pushed(url: str) -> int:
    """Return how many nodes' groups are at the gateway."""
    return sum("node" in pushed.group for pushed in _groups(url))


def _groups(url: str) -> list[Pushed]:
    client = GatewayClient(Access(url))
    try:
        return [pushed for pushed in client.groups() if pushed.group.get("cluster") == CLUSTER]
    finally:
        client.close()


def _stale(url: str, nodes: int, slack_s: float) -> list[str]:
    """Return what is at the gateway and should not be, or is not and should."""
    groups = _groups(url)
    most_s = 2 * INTERVAL_S + 2 + slack_s
    old = [f"{group.group}: {group.age_s:.1f} s old" for group in groups if group.age_s > most_s]
    of_nodes = [group for group in groups if "node" in group.group]
    return old + ([] if len(of_nodes) == nodes else [f"{len(of_nodes)} groups of nodes in place of {nodes}"])
