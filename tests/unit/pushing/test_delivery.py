"""The queue to the gateway: newest wins, one push a node, and a gateway that is down delays nobody."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from skoopctl.pushing.delivery import SELF, Delivery, nobodys
from skoopctl.pushing.journal import Journal
from skoopctl.sinks.gateway import Pushed
from tests.unit.sinks.gateway_double import Double, gateway_double


@pytest.fixture
def double() -> Iterator[Double]:
    """Run a gateway that answers as told."""
    with gateway_double() as running:
        yield running


@asynccontextmanager
async def delivering(double: Double, log: io.StringIO | None = None) -> AsyncIterator[Delivery]:
    """Run a queue to it until the end of the block."""
    delivery = Delivery(
        double.access(), cluster="c", most_backoff_s=0.1, journal=Journal(log or io.StringIO())
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what a thread does sets no event
            await asyncio.sleep(0.01)


def text(number: int) -> Callable[[], bytes]:
    """Return what renders a number."""
    return lambda: b"a %d\n" % number


async def test_what_is_offered_arrives_and_what_is_withdrawn_goes(double: Double) -> None:
    """A node's group is put and deleted by its path; the service's own has another."""
    async with delivering(double) as delivery:
        delivery.offer("n1", text(1))
        delivery.offer(SELF, text(2))
        assert await delivery.drain(30)
        delivery.withdraw("n1")
        assert await delivery.drain(30)
    base = "/metrics/job/skoopctl/cluster/c"
    assert set(double.of("PUT")) == {f"{base}/node/n1", f"{base}/service/push"}
    assert double.of("DELETE") == [f"{base}/node/n1"]
    assert (delivery.tally.pushes, delivery.tally.deletions, delivery.tally.dropped) == (2, 1, 0)


async def test_the_newest_wins_while_the_gateway_is_slow(double: Double) -> None:
    """Of the rounds that come while one is being pushed, the last is pushed next; the others are counted."""
    double.hold.clear()
    async with delivering(double) as delivery:
        delivery.offer("n1", text(1))
        await until(lambda: double.flying)
        for number in range(2, 6):
            delivery.offer("n1", text(number))
        assert delivery.length == 1
        double.hold.set()
        assert await delivery.drain(30)
    assert [body for _, _, body in double.requests] == [b"a 1\n", b"a 5\n"]
    assert delivery.tally.dropped == 3


async def test_a_node_has_one_push_at_a_time_and_others_go_beside_it(double: Double) -> None:
    """Two pushes of one node never overtake each other; another node does not wait for them."""
    double.hold.clear()
    async with delivering(double) as delivery:
        delivery.offer("n1", text(1))
        await until(lambda: double.flying == 1)
        delivery.offer("n1", text(2))
        delivery.offer("n2", text(1))
        await until(lambda: double.flying == 2)
        assert delivery._flying == {"n1", "n2"}
        double.hold.set()
        assert await delivery.drain(30)
    assert delivery.tally.pushes == 3


async def test_a_gateway_that_comes_back_gets_the_newest_of_all(double: Double) -> None:
    """While it fails one push at a time tries it; then everything that waits is pushed, and that is said."""
    log = io.StringIO()
    double.status = 503
    async with delivering(double, log) as delivery:
        for node in ("n1", "n2", "n3"):
            delivery.offer(node, text(1))
        await until(lambda: delivery.tally.failures["gateway"] >= 8)
        assert delivery.tally.up is False
        assert len(delivery._flying) <= 1
        double.status = 200
        delivery.offer("n2", text(2))
        assert await delivery.drain(30)
    arrived = [body for _, path, body in double.requests if path.endswith("n2")]
    assert arrived[-1] == b"a 2\n"
    assert delivery.tally.up is True
    assert "the gateway takes pushes again" in log.getvalue()
    assert log.getvalue().count("the gateway says 503") == 1


async def test_a_deletion_is_tried_until_it_succeeds(double: Double) -> None:
    """A node that leaves while the gateway is down does not stay there."""
    double.status = 503
    async with delivering(double) as delivery:
        delivery.withdraw("n1")
        await until(lambda: delivery.tally.failures["gateway"] >= 2)
        double.status = 202
        assert await delivery.drain(30)
    assert delivery.tally.deletions == 1


async def test_a_node_without_series_has_no_group(double: Double) -> None:
    """An empty group is deleted rather than pushed."""
    async with delivering(double) as delivery:
        delivery.offer("n1", lambda: b"")
        assert await delivery.drain(30)
    assert (double.of("PUT"), len(double.of("DELETE"))) == ([], 1)


async def test_a_text_that_is_refused_is_not_tried_again(double: Double) -> None:
    """The same text would be refused again; the next round is another one, and other nodes go on."""
    double.status = 400
    async with delivering(double) as delivery:
        delivery.offer("n1", text(1))
        assert await delivery.drain(30)
        assert delivery.tally.failures == {"text": 1}
        double.status = 200
        delivery.offer("n1", text(2))
        assert await delivery.drain(30)
    assert delivery.tally.pushes == 1


async def test_an_end_does_not_wait_for_a_gateway_that_hangs(double: Double) -> None:
    """Draining has a limit, and cancelling closes the connection at once."""
    double.hold.clear()
    began = asyncio.get_running_loop().time()
    async with delivering(double) as delivery:
        delivery.offer("n1", text(1))
        await until(lambda: double.flying)
        assert not await delivery.drain(0.2)
    assert asyncio.get_running_loop().time() - began < 5


async def test_old_groups_of_nodes_that_nobody_watches_are_deleted(double: Double) -> None:
    """What an earlier service left is found at the gateway and deleted, and nothing else is."""
    double.page = "".join(
        f'push_time_seconds{{{labels},instance="",job="skoopctl"}} 1\n'
        for labels in (
            'cluster="c",node="gone"',
            'cluster="c",node="watched"',
            'cluster="other",node="gone2"',
            'cluster="c",plan="nightly"',
            'cluster="c",node="x",extra="y"',
        )
    ).encode()
    async with delivering(double) as delivery:
        await delivery.prune(lambda: {"watched"}, 40.0)
        assert await delivery.drain(30)
    assert double.of("DELETE") == ["/metrics/job/skoopctl/cluster/c/node/gone"]


def test_a_group_that_somebody_pushes_is_somebody_s() -> None:
    """Another service of the same cluster pushes other nodes: they are fresh, and stay."""
    labels = (("cluster", "c"), ("job", "skoopctl"), ("node", "n9"))
    assert nobodys([Pushed(labels, 20.0)], "c", 40.0) == set()
    assert nobodys([Pushed(labels, 41.0)], "c", 40.0) == {"n9"}
