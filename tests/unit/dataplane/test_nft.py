"""nftables expressions and statements decide as the kernel does; what is not known is UNKNOWN, never silence.

``cases/nft_rules.json`` holds rules as people write them beside the JSON that nft 1.0.6 made of them, read
back from a kernel.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from skoopctl.dataplane.packet import Flags, Ports, Unreachable
from skoopctl.dataplane.rules.scene import Hook
from tests.support.worlds import At, Box, packet, says, through, tracked, verdict

CASES = json.loads((Path(__file__).parent / "cases/nft_rules.json").read_text())
ICMP = {"protocol": 1, "icmp_type": 8}
UDP = {"protocol": 17}
SYN_ACK = {"flags": Flags.SYN_ACK}


def box(
    *texts: str, hook: str = "forward", chain_type: str = "filter", policy: str = "accept", priority: int = 0
) -> Box:
    """Make a router with one base chain that holds rules, given as nft text."""
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("eth0")
    made.address("eth0", "10.0.0.254/24")
    made.link("cni0")
    made.address("cni0", "10.1.0.1/16")
    made.nftables(*table(texts, hook, chain_type, policy, priority))
    return made


def table(
    texts: tuple[str, ...],
    hook: str = "forward",
    chain_type: str = "filter",
    policy: str = "accept",
    priority: int = 0,
) -> list[dict[str, Any]]:
    """Return the objects of one table with sets, maps, regular chains, and a base chain of rules."""
    place = {"family": "inet", "table": "t"}
    found: list[dict[str, Any]] = [{"table": {"family": "inet", "name": "t"}}]
    for entry in CASES["sets"].values():
        ((kind, body),) = entry.items()
        found.append({kind: body | place})
    base = {"name": "base", "type": chain_type, "hook": hook, "prio": priority, "policy": policy}
    found += [
        {"chain": place | chain}
        for chain in ({"name": "deny"}, {"name": "nothing"}, {"name": "deny-udp"}, base)
    ]
    numbered = [("base", CASES["rules"][text]) for text in texts]
    numbered += [(chain, expr) for chain, rules in CASES["chains"].items() for expr in rules]
    return found + [
        {"rule": place | {"chain": c, "handle": n, "expr": e}} for n, (c, e) in enumerate(numbered, 1)
    ]


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("tcp flags syn drop", {}, "hit"),
        ("tcp flags syn drop", SYN_ACK, "hit"),
        ("tcp flags syn drop", {"flags": Flags.ACK}, "miss"),
        ("tcp flags syn drop", UDP, "miss"),
        ("tcp flags == syn drop", {}, "hit"),
        ("tcp flags == syn drop", SYN_ACK, "miss"),
        ("tcp flags != syn drop", {}, "miss"),
        ("tcp flags != syn drop", SYN_ACK, "hit"),
        ("tcp flags & (fin|syn|rst|ack) == syn drop", {}, "hit"),
        ("tcp flags & (fin|syn|rst|ack) == syn drop", SYN_ACK, "miss"),
        ("tcp flags & (fin|syn|rst|ack) != syn drop", SYN_ACK, "hit"),
        ("meta mark 0x4000 drop", {"mark": 0x4000}, "hit"),
        ("meta mark 0x4000 drop", {"mark": 0xC000}, "miss"),
        ("meta mark & 0x4000 == 0x4000 drop", {"mark": 0xC000}, "hit"),
        ("meta mark & 0x4000 == 0x4000 drop", {"mark": 0x8000}, "miss"),
        ("meta mark & 0x4000 != 0x4000 drop", {"mark": 0x8000}, "hit"),
        ("meta l4proto { tcp, udp } th dport 80 drop", {}, "hit"),
        ("meta l4proto { tcp, udp } th dport 80 drop", UDP, "hit"),
        ("meta l4proto { tcp, udp } th dport 80 drop", ICMP, "miss"),
        ("meta l4proto udp drop", {}, "miss"),
        ("meta nfproto ipv4 drop", {}, "hit"),
        ("meta nfproto ipv6 drop", {}, "miss"),
        ("meta pkttype host drop", {}, "hit"),
        ("meta skuid 0 drop", {}, "miss"),
        ("ip saddr 10.0.0.1 drop", {}, "hit"),
        ("ip saddr 10.0.0.1 drop", {"source": "10.0.0.3"}, "miss"),
        ("ip saddr != 10.0.0.0/8 drop", {}, "miss"),
        ("ip saddr != 10.0.0.0/8 drop", {"source": "11.0.0.1"}, "hit"),
        ("ip saddr { 10.0.0.1, 10.2.0.0/16 } drop", {}, "hit"),
        ("ip saddr { 10.0.0.1, 10.2.0.0/16 } drop", {"source": "10.2.9.9"}, "hit"),
        ("ip saddr { 10.0.0.1, 10.2.0.0/16 } drop", {"source": "10.3.0.1"}, "miss"),
        ("ip saddr 10.0.0.0-10.0.0.9 drop", {"source": "10.0.0.9"}, "hit"),
        ("ip saddr 10.0.0.0-10.0.0.9 drop", {"source": "10.0.0.10"}, "miss"),
        ("ip saddr @addresses drop", {"source": "10.9.0.7"}, "hit"),
        ("ip saddr @addresses drop", {"source": "10.0.0.4"}, "miss"),
        ("ip saddr @gone drop", {}, "unknown"),
        ("ip saddr . tcp dport @pairs drop", {"dport": 85}, "hit"),
        ("ip saddr . tcp dport @pairs drop", {"dport": 91}, "miss"),
        ("ip saddr . tcp dport @pairs drop", {"dport": 85, "protocol": 17}, "miss"),
        ("ip daddr . tcp dport . ip protocol @triples drop", {}, "hit"),
        ("ip daddr . tcp dport . ip protocol @triples drop", {"dport": 81}, "miss"),
        ("ip daddr vmap @verdicts", {}, "hit"),
        ("ip daddr vmap @verdicts", {"destination": "10.0.0.3"}, "hit"),
        ("ip daddr vmap @verdicts", {"destination": "10.0.0.4"}, "miss"),
        ("ip daddr vmap { 10.0.0.9 : drop }", {}, "miss"),
        ("ip protocol tcp drop", {}, "hit"),
        ("ip protocol 17 drop", UDP, "hit"),
        ("ip ttl 64 drop", {}, "unknown"),
        ("ip6 saddr fd00::1 drop", {}, "miss"),
        ("tcp dport 80 drop", {}, "hit"),
        ("tcp dport 80 drop", {"dport": 81}, "miss"),
        ("tcp dport 80 drop", UDP, "miss"),
        ("udp dport 80 drop", UDP, "hit"),
        ("tcp dport 80-90 drop", {"dport": 90}, "hit"),
        ("tcp dport 80-90 drop", {"dport": 91}, "miss"),
        ("tcp dport { 22, 80 } drop", {}, "hit"),
        ("tcp dport { 22, 80 } drop", {"dport": 23}, "miss"),
        ("tcp dport != 80 drop", {}, "miss"),
        ("tcp dport != 80 drop", {"dport": 81}, "hit"),
        ("tcp dport vmap { 80 : drop, 443 : accept }", {}, "hit"),
        ("tcp dport vmap { 80 : drop, 443 : accept }", {"dport": 443}, "miss"),
        ("tcp dport vmap { 80 : drop, 443 : accept }", UDP, "miss"),
        ("tcp sport > 40000 drop", {}, round(20_999 / 28_232, 3)),
        ("tcp sport >= 40000 drop", {}, round(21_000 / 28_232, 3)),
        ("tcp sport < 1024 drop", {}, "miss"),
        ("tcp sport < 1024 drop", {"sport": 1023}, "hit"),
        ("tcp sport 40000-50000 drop", {}, round(10_001 / 28_232, 3)),
        ("tcp sport { 40000, 50000 } drop", {}, "unknown"),
        ("tcp sport { 40000, 50000 } drop", {"sport": 50000}, "hit"),
        ('iifname "eth0" drop', {}, "hit"),
        ('iifname "eth*" drop', {}, "hit"),
        ('iifname != "eth0" drop', {}, "miss"),
        ('oifname "cni0" drop', {}, "hit"),
        ("iif lo drop", {}, "miss"),
        ("fib daddr type local drop", {"destination": "10.1.0.1"}, "hit"),
        ("fib daddr type local drop", {}, "miss"),
        ("fib saddr type local drop", {"source": "10.0.0.254"}, "hit"),
        ("fib daddr . iif type local drop", {"destination": "10.0.0.254"}, "hit"),
        ("fib daddr . iif type local drop", {"destination": "10.1.0.1"}, "miss"),
        ("fib daddr type multicast drop", {"destination": "224.0.0.1"}, "hit"),
        ("numgen random mod 4 vmap { 0 : drop, 1 : accept }", {}, 0.25),
        ("icmp type echo-request drop", ICMP, "hit"),
        ("icmp type echo-request drop", {}, "miss"),
        ("icmp type { echo-reply, destination-unreachable } drop", ICMP, "miss"),
        ("icmp type { echo-reply, destination-unreachable } drop", ICMP | {"icmp_type": 0}, "hit"),
        ("icmpv6 type echo-request drop", ICMP, "miss"),
        ("ether saddr 02:00:00:00:00:01 drop", {}, "unknown"),
        ("limit rate 5/second drop", {}, "unknown"),
        ("counter packets 3 bytes 180 drop", {}, "hit"),
        ('log prefix "x" drop', {}, "hit"),
        ("add @visited { ip saddr }", {}, "miss"),
        ("meta mark set numgen random mod 2", {}, "miss"),
        ("jump deny", {}, "hit"),
        ("goto deny", {}, "hit"),
        ("jump deny-udp", {}, "miss"),
        ("accept", {}, "miss"),
        ("drop", {}, "hit"),
        ("return", {}, "miss"),
    ],
)
def test_a_rule_decides_as_the_kernel_does(text: str, fields: dict[str, Any], expected: str | float) -> None:
    """Each rule hits, misses, happens by chance, or is UNKNOWN for one packet."""
    place = At(box(text), in_dev="eth0", out_dev="cni0")
    made = packet(**fields)
    if text.endswith("@gone drop"):
        place.box.nft = [t for t in place.box.nft if t.sets.pop("gone", None) or True]  # type: ignore[attr-defined]
    assert says(place, made) == expected


@pytest.mark.parametrize(
    ("text", "state", "entry", "expected"),
    [
        ("ct state new drop", "NEW", {}, "hit"),
        ("ct state new drop", "ESTABLISHED", {}, "miss"),
        ("ct state != new drop", "ESTABLISHED", {}, "hit"),
        ("ct state established,related drop", "RELATED", {}, "hit"),
        ("ct state established,related drop", "NEW", {}, "miss"),
        ("ct state { new, invalid } drop", "NEW", {}, "hit"),
        ("ct state { new, invalid } drop", "ESTABLISHED", {}, "miss"),
        ("ct state new,untracked drop", "UNTRACKED", {}, "hit"),
        ("ct state vmap { established : accept, new : drop }", "NEW", {}, "hit"),
        ("ct state vmap { established : accept, new : drop }", "ESTABLISHED", {}, "miss"),
        ("ct status dnat drop", "NEW", {"destination_nat": True}, "hit"),
        ("ct status dnat drop", "NEW", {"source_nat": True}, "miss"),
        ("ct status snat drop", "NEW", {"source_nat": True}, "hit"),
        ("ct direction reply drop", "NEW", {}, "miss"),
        ("ct original ip daddr 10.0.0.2 drop", "NEW", {}, "hit"),
        ("meta l4proto tcp ct original proto-dst 80 drop", "NEW", {}, "hit"),
        ("ct mark 7 drop", "NEW", {"mark": 7}, "hit"),
        ("ct mark 7 drop", "NEW", {"mark": 8}, "miss"),
    ],
)
def test_conntrack_expressions_see_the_entry(
    text: str, state: str, entry: dict[str, Any], expected: str
) -> None:
    """``ct`` reads state, status, direction, tuple and mark of the packet's entry."""
    assert says(At(box(text), in_dev="eth0"), tracked(packet(), state, **entry)) == expected


def test_the_reply_direction_is_seen() -> None:
    """``ct direction reply`` hits the answer."""
    answer = tracked(packet(flags=Flags.SYN_ACK), "ESTABLISHED", is_reply=True)
    assert says(At(box("ct direction reply drop")), answer) == "hit"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("jump nothing", "drop"), "hit"),
        (("goto nothing", "drop"), "miss"),
        (("return", "drop"), "miss"),
        (("accept", "drop"), "miss"),
        (("jump deny-udp", "tcp dport 80 drop"), "hit"),
        (("ip saddr 10.0.0.1 counter accept", "drop"), "miss"),
        (("ip daddr vmap @verdicts", "accept"), "hit"),
    ],
)
def test_chains_follow_jump_goto_and_return(texts: tuple[str, ...], expected: str) -> None:
    """A jump comes back to the next rule, a goto to the caller's caller, return and the end to the policy."""
    assert says(At(box(*texts)), packet()) == expected


def test_the_policy_decides_in_the_end() -> None:
    """A base chain with policy drop drops what no rule took, and the policy is the evidence."""
    (seen,) = through(At(box("jump nothing", policy="drop")), packet())
    assert seen.word == "DROP"
    assert seen.scene.evidence[-1].kind == "nft-policy"


def test_a_dormant_table_is_asleep() -> None:
    """The chains of a dormant table are not hooked."""
    made = box("drop")
    objects = table(("drop",))
    objects[0]["table"]["flags"] = ["dormant"]
    made.nft = []
    made.nftables(*objects)
    assert says(At(made), packet()) == "miss"


def test_an_unknown_statement_may_do_anything() -> None:
    """A statement outside the model may go on, accept or drop: all three are walked, with the rule named."""
    made = box("drop")
    objects = table(())
    objects.append(
        {
            "rule": {
                "family": "inet",
                "table": "t",
                "chain": "base",
                "handle": 9,
                "expr": [{"xt": {"type": "target", "name": "ODD"}}],
            }
        }
    )
    made.nft = []
    made.nftables(*objects)
    ways = through(At(made), packet())
    assert [way.word for way in ways] == ["ACCEPT", "ACCEPT", "DROP"]
    assert all("nft inet t base rule 1" in way.scene.unknowns[0] for way in ways)


def test_a_chain_that_calls_itself_is_unknown() -> None:
    """A loop, which a kernel would refuse, ends as UNKNOWN and not in a recursion error."""
    made = box()
    objects = table(("jump deny",))
    objects = [o for o in objects if o.get("rule", {}).get("chain") != "deny"]
    objects.append(
        {
            "rule": {
                "family": "inet",
                "table": "t",
                "chain": "deny",
                "handle": 9,
                "expr": CASES["rules"]["jump deny"],
            }
        }
    )
    made.nft = []
    made.nftables(*objects)
    assert says(At(made), packet()) == "unknown"


def test_a_jump_to_a_chain_that_is_not_there_is_unknown() -> None:
    """A chain that the dump does not hold may do anything."""
    made = box()
    made.nft = []
    made.nftables(
        *[
            o
            for o in table(("jump deny",))
            if "deny" not in (o.get("chain", {}).get("name"), o.get("rule", {}).get("chain"))
        ]
    )
    assert says(At(made), packet()) == "unknown"


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("meta mark set meta mark | 0x4000", 0x1, 0x4001),
        ("meta mark set meta mark ^ 0x4000", 0x4001, 0x1),
        ("meta mark set 0x80000001", 0, 0x80000001),
    ],
)
def test_marks_are_set(text: str, before: int, after: int) -> None:
    """``meta mark set`` changes the packet's mark, up to the highest bit."""
    (seen,) = through(At(box(text)), packet(mark=before))
    assert seen.scene.packet.mark == after


def test_connection_marks_are_set() -> None:
    """``ct mark set`` changes the entry's mark."""
    (seen,) = through(At(box("ct mark set 9")), tracked(packet()))
    assert seen.scene.packet.tracking is not None
    assert seen.scene.packet.tracking.entry is not None
    assert seen.scene.packet.tracking.entry.mark == 9


def test_a_split_of_the_answers_ports_narrows_the_destination() -> None:
    """``tcp dport`` of an answer divides the client's ephemeral ports, which are its destination."""
    answer = packet(flags=Flags.SYN_ACK, source_ports=Ports.of(80), destination_ports=Ports(32768, 60999))
    ways = through(At(box("tcp dport 80-90 drop")), answer)
    assert [way.word for way in ways] == ["ACCEPT"]
    answer.destination_ports = Ports(70, 89)
    ways = through(At(box("tcp dport 80-90 drop")), answer)
    assert [
        (way.word, way.scene.packet.destination_ports, way.scene.packet.source_ports) for way in ways
    ] == [
        ("DROP", Ports(80, 89), Ports.of(80)),
        ("ACCEPT", Ports(70, 79), Ports.of(80)),
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("reject", Unreachable.PORT),
        ("reject with icmp type host-unreachable", Unreachable.HOST),
        ("reject with icmp type admin-prohibited", Unreachable.ADMIN_PROHIBITED),
        ("reject with icmpx type no-route", Unreachable.NET),
        ("reject with tcp reset", None),
    ],
)
def test_reject_tells_the_sender(text: str, error: Unreachable | None) -> None:
    """``reject`` carries its ICMP error; ``tcp reset`` carries none."""
    (seen,) = through(At(box(text)), packet())
    assert (seen.word, seen.ruling.error) == ("REJECT", error)


# --- NAT -----------------------------------------------------------------------------------------------------


def nat(text: str, hook: str, item: Any = None, **at: str) -> list[tuple[str, str, float]]:
    """Send a new flow through a NAT chain; return destination, source and weight of each way."""
    made = box(text, hook=hook, chain_type="nat", priority=-100 if hook == "prerouting" else 100)
    place = At(made, Hook[hook.upper()], **at)
    found = item if item is not None else packet()
    if hook == "postrouting":
        tracked(found)
    return [
        (
            f"{ip_address(way.scene.packet.destination)}:{way.scene.packet.destination_ports}",
            f"{ip_address(way.scene.packet.source)}:{way.scene.packet.source_ports}",
            way.weight,
        )
        for way in through(place, found)
    ]


@pytest.mark.parametrize(
    ("text", "destinations"),
    [
        ("dnat to 10.1.1.1", ["10.1.1.1:80"]),
        ("tcp dport 80 dnat to 10.1.1.1:8080", ["10.1.1.1:8080"]),
        (
            "dnat ip addr . port to ip daddr . tcp dport map { 10.0.0.2 . 80 : 10.1.1.1 . 8080 }",
            ["10.1.1.1:8080"],
        ),
        ("dnat ip addr . port to ip daddr . ip protocol . tcp dport map @endpoints", ["10.1.1.1:8080"]),
        ("dnat to numgen random mod 2 map { 0 : 10.1.1.1, 1 : 10.1.1.2 }", ["10.1.1.1:80", "10.1.1.2:80"]),
        (
            (
                "meta l4proto tcp dnat ip addr . port to numgen random mod 2 "
                "map { 0 : 10.1.1.1 . 8080, 1 : 10.1.1.2 . 8080 }"
            ),
            ["10.1.1.1:8080", "10.1.1.2:8080"],
        ),
        ("tcp dport 80 redirect to :99", ["10.0.0.254:99"]),
        ("redirect", ["10.0.0.254:80"]),
    ],
)
def test_dnat_rewrites_the_destination(text: str, destinations: list[str]) -> None:
    """DNAT, its maps and redirect give the new destination; a random map gives one way an endpoint."""
    ways = nat(text, "prerouting", in_dev="eth0")
    assert [destination for destination, _, _ in ways] == destinations
    assert all(weight == 1 / len(destinations) for _, _, weight in ways)


def test_dnat_by_a_map_without_the_key_does_nothing() -> None:
    """A lookup that finds no element ends the rule, and the packet keeps its destination."""
    text = "dnat ip addr . port to ip daddr . tcp dport map { 10.0.0.2 . 80 : 10.1.1.1 . 8080 }"
    ways = nat(text, "prerouting", packet(dport=81), in_dev="eth0")
    assert [destination for destination, _, _ in ways] == ["10.0.0.2:81"]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("snat to 10.9.9.9", "10.9.9.9:32768-60999"),
        ("ip protocol tcp snat to 10.9.9.9:2000-3000", "10.9.9.9:2000-3000"),
        ("masquerade", "10.1.0.1:32768-60999"),
        ("masquerade fully-random", "10.1.0.1:1024-65535"),
    ],
)
def test_snat_rewrites_the_source(text: str, source: str) -> None:
    """SNAT and masquerade give the new source; fully-random forgets the ports."""
    ways = nat(text, "postrouting", out_dev="cni0", next_hop="10.1.0.9")
    assert [found for _, found, _ in ways] == [source]


def _nat_rule(body: dict[str, Any]) -> Box:
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("eth0")
    place = {"family": "inet", "table": "t"}
    base = {"name": "base", "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}
    rule = {"chain": "base", "handle": 1, "expr": [body]}
    made.nftables({"table": {"family": "inet", "name": "t"}}, {"chain": place | base}, {"rule": place | rule})
    return made


@pytest.mark.parametrize(("family", "source"), [(4, "10.9.9.9"), (6, "fd00::7")])
def test_nat_of_one_family_leaves_the_other_alone(family: int, source: str) -> None:
    """``snat ip to`` in an inet table translates IPv4, and IPv6 packets go on with the next rule."""
    made = _nat_rule({"snat": {"family": "ip", "addr": "10.9.9.9"}})
    item = packet() if family == 4 else packet("fd00::7", "fd00::8")
    (way,) = through(At(made, Hook.POSTROUTING, out_dev="eth0"), tracked(item))
    assert way.scene.packet.address(way.scene.packet.source) == source


def test_nat_to_an_address_that_does_not_fit_is_unknown() -> None:
    """A rule that gives an IPv4 packet an IPv6 address is no rule of a kernel: it may do anything."""
    made = _nat_rule({"snat": {"addr": "fd00::9"}})
    assert says(At(made, Hook.POSTROUTING, out_dev="eth0"), tracked(packet())) == "unknown"


def test_masquerade_without_an_address_drops() -> None:
    """A device without an address has nothing to masquerade as: the kernel drops."""
    made = box("masquerade", hook="postrouting", chain_type="nat", priority=100)
    made.link("tun0")
    made.addresses = [a for a in made.addresses if a.ip.is_loopback]
    assert (
        verdict(At(made, Hook.POSTROUTING, out_dev="tun0", next_hop="10.1.0.9"), tracked(packet())) == "DROP"
    )


@pytest.mark.parametrize(
    ("addresses", "destination", "expected"),
    [
        (["fe80::5/64"], "fd00::8", "fe80::5"),
        (["fe80::5/64", "fd00::5/64"], "fd00::8", "fd00::5"),
        (["fe80::5/64", "fd00::5/64"], "fe80::8", "fe80::5"),
        (["fd00::5/64"], "fe80::8", ""),
        ([], "fd00::8", ""),
    ],
)
def test_an_ipv6_redirect_goes_to_an_address_of_the_device(
    addresses: list[str], destination: str, expected: str
) -> None:
    """The widest scope first; for a destination of link scope only such an address; without one: dropped."""
    made = box("redirect", hook="prerouting", chain_type="nat", priority=-100)
    made.link("cali1")
    for address in addresses:
        made.address("cali1", address)
    (way,) = through(At(made, Hook.PREROUTING, in_dev="cali1"), packet("fd00::7", destination))
    found = way.scene.packet.address(way.scene.packet.destination)
    assert (way.word, found if expected else "") == ("ACCEPT" if expected else "DROP", expected)
