"""Sums of one node: growth is added up, however many flows there are, and what is too much is forgotten in order."""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.bpf.stream import Counts, FlowCount
from skoopctl.events.counted import MOST_FLOWS, Counted
from skoopctl.events.naming import Owner

WEB = Owner("shop", "web-0")


def counts(flows: Iterable[tuple[int, int]]) -> Counts:
    """Return what a node counted so far: how often for each source port."""
    rows = tuple(
        FlowCount("packet-loss", 7, 17, f"10.0.0.{port >> 16}", port & 0xFFFF, "10.0.1.1", 53, count)
        for port, count in flows
    )
    return Counts("packetloss", (), rows, 0, 0, 0, 0, 0, {})


def sums(counted: Counted) -> dict[int, int]:
    """Return the sums by source port."""
    return {key.source_port: row.count for key, row in counted.flows.items()}


def test_growth_is_added_up_and_what_stands_still_is_not() -> None:
    """A sum that is told again adds nothing; one that is smaller fell out on the node and began again."""
    counted = Counted()
    for told in ([(1, 5), (2, 5)], [(1, 5), (2, 9)], [(1, 2), (2, 9)]):
        counted.take(counts(told), lambda _netns: WEB, 1.0)
    assert sums(counted) == {1: 7, 2: 9}


def test_flows_of_another_node_s_namespace_are_not_added() -> None:
    """Where a namespace is nobody's here, its flows are not."""
    counted = Counted()
    counted.take(counts([(1, 5)]), lambda _netns: None, 1.0)
    assert sums(counted) == {}


def test_of_too_many_flows_those_are_forgotten_that_grew_first() -> None:
    """The last that grew stay, and how many were forgotten is counted."""
    counted = Counted()
    counted.take(counts((port, 1) for port in range(MOST_FLOWS)), lambda _netns: WEB, 1.0)
    counted.take(counts([(0, 2), *((MOST_FLOWS + port, 1) for port in range(10))]), lambda _netns: WEB, 2.0)
    kept = sums(counted)
    assert len(kept) == MOST_FLOWS
    assert counted.forgotten == 10
    assert set(range(1, 11)).isdisjoint(kept)
    assert {0: 2, 11: 1, MOST_FLOWS + 9: 1}.items() <= kept.items()
