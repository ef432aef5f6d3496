"""Stages of one priority: both orders are walked where they differ, and nothing is asked where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.dataplane.choice import ChoiceKind, Choices, explore
from skoopctl.dataplane.rules.netfilter import run_hook
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.kernel.iptables import Backend
from tests.support.worlds import At, Box, filter_table, packet, says, through, verdict

DROP: list[dict[str, Any]] = [{"drop": None}]
REJECT: list[dict[str, Any]] = [{"reject": None}]
ACCEPT: list[dict[str, Any]] = [{"accept": None}]
MARK: list[dict[str, Any]] = [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]
MARKED: list[dict[str, Any]] = [
    {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}},
    {"drop": None},
]


def dnat(address: str) -> list[dict[str, Any]]:
    """Return ``dnat to ADDRESS``."""
    return [{"dnat": {"addr": address}}]


def lots(*addresses: str) -> list[dict[str, Any]]:
    """Return ``dnat to numgen …``."""
    pairs = [[n, address] for n, address in enumerate(addresses)]
    key = {"numgen": {"mode": "random", "mod": len(addresses), "offset": 0}}
    return [{"dnat": {"addr": {"map": {"key": key, "data": {"set": pairs}}}}}]


def table(
    name: str,
    *chains: list[dict[str, Any]],
    hook: str = "forward",
    kind: str = "filter",
    priority: int = 0,
    handles: tuple[int, ...] = (1, 2, 3),
) -> list[dict[str, Any]]:
    """Return a table of base chains, each with one rule."""
    place = {"family": "ip", "table": name}
    found: list[dict[str, Any]] = [{"table": {"family": "ip", "name": name}}]
    for number, rule in enumerate(chains):
        base = {"name": f"c{number}", "type": kind, "hook": hook, "prio": priority, "policy": "accept"}
        found.append({"chain": place | base | {"handle": handles[number]}})
        found.append({"rule": place | {"chain": f"c{number}", "handle": 9, "expr": rule}})
    return found


def router(*tables: list[dict[str, Any]]) -> Box:
    """Make a host with nft tables."""
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("eth0")
    made.address("eth0", "10.0.0.254/24")
    made.nftables(*(entry for each in tables for entry in each))
    return made


def words(box: Box, hook: Hook = Hook.FORWARD) -> list[str]:
    """Return the verdict of every way through a hook."""
    return [way.word for way in through(At(box, hook, in_dev="eth0"), packet())]


def targets(box: Box) -> list[str]:
    """Return the destination of every way through PREROUTING."""
    ways = through(At(box, Hook.PREROUTING, in_dev="eth0"), packet())
    return [way.scene.packet.address(way.scene.packet.destination) for way in ways]


def test_drop_and_reject_differ() -> None:
    """Whether the sender is told depends on the order: both are walked, the newer table first."""
    assert words(router(table("a", DROP), table("b", REJECT))) == ["REJECT", "DROP"]


def test_the_reason_names_the_two() -> None:
    """The unknown says which two stages, where, and on which node."""
    ways = through(At(router(table("a", DROP), table("b", REJECT))), packet())
    reason = ways[0].scene.unknowns[-1]
    assert "nft ip a c0" in reason
    assert "nft ip b c0" in reason
    assert "FORWARD on n1" in reason
    assert all(way.unknown for way in ways)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (ACCEPT, ACCEPT, "ACCEPT"),
        (DROP, ACCEPT, "DROP"),
        (ACCEPT, DROP, "DROP"),
        (DROP, DROP, "DROP"),
        (REJECT, REJECT, "REJECT"),
        (MARK, ACCEPT, "ACCEPT"),
        (MARK, MARK, "ACCEPT"),
        (MARK, DROP, "DROP"),
    ],
)
def test_agreement_asks_nothing(first: Any, second: Any, expected: str) -> None:
    """Where both orders end alike there is one way, and nothing is unknown."""
    made = router(table("a", first), table("b", second))
    assert verdict(At(made), packet()) == expected
    (way,) = through(At(made), packet())
    assert not way.unknown
    assert way.scene.unknowns == []


def test_who_else_would_have_dropped_it_is_said() -> None:
    """Where both tables drop, the outcome is certain and the rule is not: the other is named."""
    (way,) = through(At(router(table("a", DROP), table("b", DROP))), packet())
    assert way.scene.notes == ["nft ip a c0 decides alike, and which of the two runs first is not known"]


def test_a_mark_that_the_other_reads_matters() -> None:
    """A mark that one sets and the other drops by: in one order only."""
    assert words(router(table("a", MARK), table("b", MARKED))) == ["ACCEPT", "DROP"]


def test_the_other_order_leaves_no_trace_of_the_first() -> None:
    """On the second way the packet and the evidence are as if the first had not been tried."""
    made = router(table("a", MARK), table("b", MARKED))
    first, second = through(At(made), packet())
    assert first.scene.packet.mark == 7
    assert [e.location.split(" ")[1] for e in second.scene.evidence] == ["a", "b"]


def test_one_table_tells_its_order() -> None:
    """Within a table the chain with the higher handle was registered later, and runs first."""
    assert words(router(table("a", DROP, REJECT))) == ["REJECT"]
    assert words(router(table("a", DROP, REJECT, handles=(5, 2)))) == ["DROP"]


def test_legacy_and_nft_backends_are_two() -> None:
    """The filter tables of both backends stand at 0; whose hooks came first is not told."""
    made = router()
    made.iptables(filter_table("-A FORWARD -j DROP"), Backend.NFT)
    made.iptables(filter_table("-A FORWARD -j REJECT"), Backend.LEGACY)
    assert sorted(words(made)) == ["DROP", "REJECT"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (dnat("10.1.0.8"), dnat("10.1.0.9"), ["10.1.0.9", "10.1.0.8"]),
        (dnat("10.1.0.9"), dnat("10.1.0.9"), ["10.1.0.9"]),
        # The chain that binds keeps the other one from setting its mark.
        (dnat("10.1.0.8"), MARK, ["10.1.0.8", "10.1.0.8"]),
        (dnat("10.1.0.8"), ACCEPT, ["10.1.0.8"]),
    ],
)
def test_nat_chains_of_one_priority(first: Any, second: Any, expected: list[str]) -> None:
    """The chain that runs first binds: both ways if both would, else as it is."""
    nat = {"hook": "prerouting", "kind": "nat", "priority": -100}
    assert targets(router(table("a", first, **nat), table("b", second, **nat))) == expected


def test_lots_are_drawn_once() -> None:
    """A chain that draws lots beside one that binds nothing has a way for each lot, and none for the order."""
    nat = {"hook": "prerouting", "kind": "nat", "priority": -100}
    made = router(table("a", lots("10.1.0.7", "10.1.0.8"), **nat), table("b", ACCEPT, **nat))
    ways = through(At(made, Hook.PREROUTING, in_dev="eth0"), packet())
    assert [way.weight for way in ways] == [0.5, 0.5]
    assert not any(way.unknown for way in ways)


def test_a_filter_chain_at_nats_priority() -> None:
    """A chain at -100 may see the packet before or after its translation."""
    by_endpoint = {
        "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "10.1.0.9"}
    }
    made = router(
        table("a", dnat("10.1.0.9"), hook="prerouting", kind="nat", priority=-100),
        table("b", [by_endpoint, *DROP], hook="prerouting", priority=-100),
    )
    assert sorted(words(made, Hook.PREROUTING)) == ["ACCEPT", "DROP"]


def test_the_same_hook_is_asked_once_in_a_run() -> None:
    """All packets of a flow meet the hook in one order."""
    made = router(table("a", DROP), table("b", REJECT))

    def twice(choices: Choices) -> tuple[str, str]:
        scenes = [At(made).scene(packet(), choices) for _ in range(2)]
        first, second = (run_hook(scene).ruling.action.value for scene in scenes)
        return first, second

    runs = explore(twice).runs
    assert {run.result for run in runs} == {("DROP", "DROP"), ("REJECT", "REJECT")}
    assert [pick.kind for pick in runs[0].picks] == [ChoiceKind.UNKNOWN]


def test_three_tables_that_do_not_differ() -> None:
    """The size of a group is no reason to branch."""
    made = router(table("a", ACCEPT), table("b", DROP), table("c", MARK))
    assert says(At(made), packet()) == "hit"


def test_a_dormant_table_is_no_rival() -> None:
    """The chains of a table that sleeps have no hooks."""
    sleeping = table("a", REJECT)
    sleeping[0]["table"]["flags"] = ["dormant"]
    assert words(router(sleeping, table("b", DROP))) == ["DROP"]
