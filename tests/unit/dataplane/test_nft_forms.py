"""Every expression and statement that nft 1.0.6 loads into Linux 6.18 decides as that kernel does.

``cases/nft_forms.json`` holds the rules of one chain as nft printed them, by their text; beside it,
``nft_forms_decided.json`` says what becomes of a SYN to port 80, a UDP packet to port 53 and an echo request from
10.0.0.1 to 10.0.0.2, untracked, at FORWARD. tests/kernel/test_nft_live.py compares most of them with a kernel.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from skoopctl.dataplane.packet import Flags, Ports
from skoopctl.dataplane.rules.scene import Hook
from tests.support.worlds import At, Box, packet, says, through, tracked

CASES = Path(__file__).parent / "cases"
FORMS = json.loads((CASES / "nft_forms.json").read_text())
DECIDED = json.loads((CASES / "nft_forms_decided.json").read_text())
PACKETS = {
    "tcp": packet(),
    "udp": packet(protocol=17, dport=53),
    "icmp": packet(protocol=1, icmp_type=8),
}
PLACE = {"family": "inet", "table": "t"}


def box(*exprs: Any, sets: Any = (), hook: str = "forward", kind: str = "filter", priority: int = 0) -> Box:
    """Make a router with a chain of rules."""
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("eth0")
    made.address("eth0", "10.0.0.254/24")
    made.link("cni0")
    made.address("cni0", "10.1.0.1/16")
    base = {"name": "c", "type": kind, "hook": hook, "prio": priority, "policy": "accept"}
    made.nftables(
        {"table": {"family": "inet", "name": "t"}},
        *sets,
        {"chain": PLACE | {"name": "x"}},
        {"chain": PLACE | base},
        *({"rule": PLACE | {"chain": "c", "handle": n, "expr": e}} for n, e in enumerate(exprs, 1)),
    )
    return made


def test_the_two_files_are_a_pair() -> None:
    """Every rule has what it decides, and nothing is left over."""
    assert set(FORMS["rules"]) == set(DECIDED)


@pytest.mark.parametrize("text", sorted(DECIDED))
def test_a_form_decides(text: str) -> None:
    """The rule hits, misses, is a chance, or is unknown."""
    place = At(box(FORMS["rules"][text], sets=FORMS["sets"]), in_dev="eth0", out_dev="cni0")
    assert {name: says(place, each) for name, each in PACKETS.items()} == DECIDED[text]


# --- the rest of the connection, the sets, and NAT's forms ----------------------------------------------------


def match(left: Any, right: Any, operator: str = "==") -> list[Any]:
    """Return a rule that drops what matches."""
    return [{"match": {"op": operator, "left": left, "right": right}}, {"drop": None}]


def ct(key: str, **more: str) -> dict[str, Any]:
    """Return ``ct KEY``."""
    return {"ct": {"key": key} | more}


@pytest.mark.parametrize(
    ("rule", "entry", "expected"),
    [
        (match(ct("status"), "dnat", "!"), {"destination_nat": True}, "miss"),
        (match(ct("status"), "dnat", "!"), {"source_nat": True}, "hit"),
        (match(ct("status"), ["snat", "dnat"], "in"), {"source_nat": True}, "hit"),
        # Whether the rest of the bits are zero is not known, but that one of them differs is.
        (match(ct("status"), "dnat"), {}, "miss"),
        (match(ct("status"), "dnat"), {"destination_nat": True}, "unknown"),
        (match(ct("status"), "assured", "in"), {"seen_reply": True}, "unknown"),
        (match(ct("status"), "assured", "in"), {}, "miss"),
        (match(ct("zone"), 5), {"zone": 5}, "hit"),
        (match(ct("id"), 5), {}, "unknown"),
        (match(ct("bytes"), 100, ">"), {}, "unknown"),
        (match(ct("ip6 saddr", dir="original"), "fd00::1"), {}, "miss"),
        (match(ct("ip saddr", dir="original"), {"prefix": {"addr": "10.0.0.0", "len": 8}}), {}, "hit"),
    ],
)
def test_what_is_known_of_a_connection_in_part(rule: list[Any], entry: dict[str, Any], expected: str) -> None:
    """Bits that the walk does not follow leave open only what hangs on them."""
    assert says(At(box(rule), in_dev="eth0"), tracked(packet(), **entry)) == expected


SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SPORT = {"payload": {"protocol": "tcp", "field": "sport"}}


def named(elements: list[Any], *types: str, **more: Any) -> dict[str, Any]:
    """Return a set named s."""
    return {"set": PLACE | {"name": "s", "type": list(types), "elem": elements} | more}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (["*"], "hit"),
        ([{"elem": {"val": "10.0.0.1", "timeout": 60, "expires": 5}}], "hit"),
        ([{"range": ["10.0.0.0", "10.0.0.9"]}, {"range": ["10.0.1.0", "10.0.1.9"]}], "hit"),
        ([{"range": ["10.0.1.0", "10.0.1.9"]}, "10.0.2.1"], "miss"),
        ([{"prefix": {"addr": "10.0.0.0", "len": 8}}], "hit"),
        ([{"prefix": {"addr": "10.0.0.0", "len": 99}}], "unknown"),
        ([{"range": ["x", "y"]}], "unknown"),
        ([{"concat": ["10.0.0.1", 80]}], "unknown"),
        ([], "miss"),
    ],
)
def test_a_set_of_addresses(elements: list[Any], expected: str) -> None:
    """Wildcards, timeouts, ranges and prefixes are looked up; a garbled element leaves only itself open."""
    rule = match(SADDR, "@s")
    assert says(At(box(rule, sets=[named(elements, "ipv4_addr")])), packet()) == expected


def test_a_large_set_of_ranges_is_searched() -> None:
    """Of thousands of intervals the right one is found, at both its ends, and the gaps are gaps."""
    ranges = [{"range": [f"10.{n // 250}.{n % 250}.0", f"10.{n // 250}.{n % 250}.100"]} for n in range(5000)]
    made = box(match(SADDR, "@s"), sets=[named(ranges, "ipv4_addr")])
    found = [
        says(At(made), packet(source=ip)) for ip in ("10.3.7.0", "10.3.7.100", "10.3.7.101", "10.99.0.1")
    ]
    assert found == ["hit", "hit", "miss", "miss"]


def test_a_concatenation_with_a_range_of_ports() -> None:
    """A client's ephemeral ports split by the one element for its address, not by the others."""
    elements = [{"concat": [f"10.0.0.{n}", {"range": [40_000, 50_000]}]} for n in range(40)]
    made = box(match({"concat": [SADDR, SPORT]}, "@s"), sets=[named(elements, "ipv4_addr", "inet_service")])
    assert says(At(made), packet()) == round(10_001 / 28_232, 3)
    assert says(At(made), packet(source="10.0.9.9")) == "miss"


def test_two_matches_narrow_the_same_ports() -> None:
    """Of two bounds on the source port, the second divides what the first has left."""
    rule = [*match(SPORT, 40_000, ">")[:1], *match(SPORT, 50_000, "<")]
    ways = through(At(box(rule)), packet())
    dropped = [way.scene.packet.source_ports for way in ways if way.word == "DROP"]
    assert dropped == [Ports(40_001, 49_999)]
    assert sum(way.weight for way in ways if way.word == "DROP") == pytest.approx(9_999 / 28_232)


def test_an_added_element_is_found_and_a_deleted_one_is_not() -> None:
    """What a rule adds to a set is seen by the next rule, and what it deletes is gone."""

    def change(operation: str) -> list[Any]:
        return [{"set": {"op": operation, "elem": SADDR, "set": "@s"}}]

    empty, full = named([], "ipv4_addr", size=9), named(["10.0.0.1"], "ipv4_addr", size=9)
    drop = match(SADDR, "@s")
    assert says(At(box(change("add"), drop, sets=[empty])), packet()) == "hit"
    assert says(At(box(change("update"), drop, sets=[empty])), packet()) == "hit"
    assert says(At(box(change("delete"), drop, sets=[full])), packet()) == "miss"
    assert says(At(box(drop, change("add"), sets=[empty])), packet()) == "miss"


def test_interfaces_may_have_names_of_protocols() -> None:
    """A device that is called gre is not protocol 47."""
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("gre")
    made.address("gre", "10.0.0.254/24")
    base = {"name": "c", "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}
    rule = match({"meta": {"key": "iifname"}}, {"set": ["gre", "esp"]})
    made.nftables(
        {"table": {"family": "inet", "name": "t"}},
        {"chain": PLACE | base},
        {"rule": PLACE | {"chain": "c", "handle": 1, "expr": rule}},
    )
    assert says(At(made, in_dev="gre"), packet()) == "hit"


@pytest.mark.parametrize(
    ("statement", "destinations"),
    [
        ({"dnat": {"addr": {"prefix": {"addr": "10.9.0.0", "len": 16}}, "flags": "netmap"}}, ["10.9.0.2:80"]),
        (
            {"dnat": {"addr": {"range": ["10.9.0.1", "10.9.0.2"]}, "port": 8080}},
            ["10.9.0.1:8080", "10.9.0.2:8080"],
        ),
        ({"dnat": {"addr": {"prefix": {"addr": "10.9.0.0", "len": 31}}}}, ["10.9.0.0:80", "10.9.0.1:80"]),
        ({"dnat": {"addr": "10.9.0.1", "port": {"range": [8080, 8090]}}}, ["10.9.0.1:8080-8090"]),
        ({"dnat": {"port": 8080}}, ["10.0.0.2:8080"]),
        (
            {"dnat": {"addr": "10.9.0.1", "port": {"map": {"key": DPORT, "data": {"set": [[80, 99]]}}}}},
            ["10.9.0.1:99"],
        ),
        ({"redirect": {"port": {"map": {"key": DPORT, "data": {"set": [[80, 99]]}}}}}, ["10.0.0.254:99"]),
        (
            {"dnat": {"addr": {"map": {"key": {"symhash": {"mod": 2}}, "data": {"set": [[0, "10.9.0.1"]]}}}}},
            ["10.9.0.1:80", "10.0.0.2:80"],
        ),
    ],
)
def test_forms_of_dnat(statement: dict[str, Any], destinations: list[str]) -> None:
    """Prefixes keep the host part, ranges are a way for each address, maps give ports too."""
    made = box([statement], hook="prerouting", kind="nat", priority=-100)
    ways = through(At(made, Hook.PREROUTING, in_dev="eth0"), packet())
    found = [way.scene.packet for way in ways]
    assert [f"{ip_address(p.destination)}:{p.destination_ports}" for p in found] == destinations


def test_a_hash_of_what_is_known_is_one_unknown_number() -> None:
    """``jhash ip saddr`` gives the same endpoint for every connection of a client: which one is not known."""
    key = {"jhash": {"mod": 2, "expr": SADDR}}
    data = {"set": [[0, "10.9.0.1"], [1, "10.9.0.2"]]}
    made = box(
        [{"dnat": {"addr": {"map": {"key": key, "data": data}}}}],
        hook="prerouting",
        kind="nat",
        priority=-100,
    )
    ways = through(At(made, Hook.PREROUTING, in_dev="eth0"), packet())
    assert len(ways) == 2
    assert all(way.unknown for way in ways)


def test_notrack_leaves_a_tracked_packet_alone() -> None:
    """After conntrack the statement changes nothing; before it the packet is untracked."""
    rules = [{"notrack": None}], match(ct("state"), "untracked", "in")
    assert says(At(box(*rules)), packet()) == "hit"
    assert says(At(box(*rules)), tracked(packet(), "NEW")) == "miss"


def test_a_flag_that_nobody_knows_is_open() -> None:
    """Whether a data segment carries PSH hangs on the sender: only a rule that asks for it is unknown."""
    flags = {"payload": {"protocol": "tcp", "field": "flags"}}
    data = packet(flags=Flags.ACK)
    assert says(At(box(match(flags, "psh", "in"))), data) == "unknown"
    assert says(At(box(match({"&": [flags, ["syn", "ack"]]}, "ack"))), data) == "hit"


def zone(number: int, **more: str) -> list[Any]:
    """Return ``ct zone set NUMBER``."""
    return [{"mangle": {"key": ct("zone", **more), "value": number}}]


@pytest.mark.parametrize(
    ("rules", "zones"),
    [
        ([zone(5)], (5, 5)),
        ([zone(5, dir="original")], (5, 0)),
        ([zone(5, dir="reply")], (0, 5)),
        ([zone(5), zone(6)], (5, 5)),
        ([zone(5), [{"notrack": None}]], (5, 5)),
        ([[{"notrack": None}], zone(5)], (5, 5)),
    ],
)
def test_zones_are_set_once_for_one_direction_or_both(rules: list[Any], zones: tuple[int, int]) -> None:
    """The first zone stays, whatever comes after it, and takes the place of a notrack before it."""
    made = box(*rules, hook="prerouting", priority=-300)
    (way,) = through(At(made, Hook.PREROUTING, in_dev="eth0"), packet())
    tracking = way.scene.packet.tracking
    assert tracking is not None
    assert tracking.entry is not None
    assert (tracking.entry.zone, tracking.entry.zone_reply) == zones


@pytest.mark.parametrize(
    ("direction", "zones", "told"),
    [("", (5, 0), 5), ("", (0, 5), 5), ("original", (0, 5), 0), ("reply", (5, 0), 0), ("reply", (0, 5), 5)],
)
def test_a_zone_is_told_by_direction(direction: str, zones: tuple[int, int], told: int) -> None:
    """``ct reply zone`` is the answers' zone; ``ct zone`` tells one that is for one direction only, too."""
    rule = match(ct("zone", **({"dir": direction} if direction else {})), told)
    assert says(At(box(rule)), tracked(packet(), "NEW", zone=zones[0], zone_reply=zones[1])) == "hit"
