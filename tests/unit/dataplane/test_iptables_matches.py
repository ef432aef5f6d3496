"""Every match option of iptables that the walk knows decides as iptables-extensions(8) says."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.dataplane.conntrack import CtState, Tracking
from skoopctl.dataplane.packet import Flags, Ports, Tuple5, Unreachable
from skoopctl.dataplane.rules.scene import Hook
from tests.support.worlds import At, Box, filter_table, packet, says, through, tracked

UDP = {"protocol": 17}
ICMP = {"protocol": 1, "icmp_type": 8}
SYN_ACK = {"flags": Flags.SYN_ACK}
EPHEMERAL = 60_999 - 32_768 + 1

# The text of a rule's matches, what is particular about the packet (by default the SYN of
# 10.0.0.1:32768-60999 > 10.0.0.2:80, from eth0 to cni0), and what becomes of it.
PLAIN: list[tuple[str, dict[str, Any], str | float]] = [
    ("-s 10.0.0.1/32", {}, "hit"),
    ("-s 10.0.0.0/24", {"source": "10.0.1.1"}, "miss"),
    ("! -s 10.0.0.0/24", {"source": "10.0.1.1"}, "hit"),
    ("-s 10.0.0.1/255.0.0.255", {"source": "10.9.9.1"}, "hit"),
    ("-s 10.0.0.1/255.0.0.255", {"source": "10.9.9.2"}, "miss"),
    ("-d 10.0.0.2/32", {}, "hit"),
    ("! -d 10.0.0.2/32", {}, "miss"),
    ("-i eth0", {}, "hit"),
    ("-i eth+", {}, "hit"),
    ("! -i eth0", {}, "miss"),
    ("-i +", {}, "hit"),
    ("-i cni0", {}, "miss"),
    ("-o cni0", {}, "hit"),
    ("! -o cni+", {}, "miss"),
    ("-p tcp", {}, "hit"),
    ("-p tcp", UDP, "miss"),
    ("! -p tcp", UDP, "hit"),
    ("-p 6", {}, "hit"),
    ("-p icmp", ICMP, "hit"),
    ("-f", {}, "miss"),
    ("! -f", {}, "hit"),
    ("-p tcp -m tcp --dport 80", {}, "hit"),
    ("-p tcp -m tcp --dport 81", {}, "miss"),
    ("-p tcp -m tcp ! --dport 81", {}, "hit"),
    ("-p tcp -m tcp --dport 80:90", {"dport": 90}, "hit"),
    ("-p tcp -m tcp --dport :79", {}, "miss"),
    ("-p tcp -m tcp --dport 80:", {}, "hit"),
    ("-p tcp -m tcp --sport 1:1023", {}, "miss"),
    ("-p tcp -m tcp --sport 32768:60999", {}, "hit"),
    ("-p tcp -m tcp --sport 40000:50000", {}, round(10_001 / EPHEMERAL, 3)),
    ("-p tcp -m tcp ! --sport 40000:50000", {}, round(1 - 10_001 / EPHEMERAL, 3)),
    ("-p udp -m udp --dport 80", UDP, "hit"),
    ("-p udp -m udp --dport 80", {}, "miss"),
    ("-p udp -m udp --sport 53", UDP, "miss"),
    ("-p sctp -m sctp --dport 80", {"protocol": 132}, "hit"),
    ("-p sctp -m sctp --dport 81", {"protocol": 132}, "miss"),
    ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", {}, "hit"),
    ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", SYN_ACK, "miss"),
    ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", SYN_ACK, "hit"),
    ("-p tcp -m tcp --tcp-flags ALL NONE", {}, "miss"),
    ("-p tcp -m tcp --syn", {}, "hit"),
    ("-p tcp -m tcp --syn", SYN_ACK, "miss"),
    ("-p tcp -m tcp --tcp-option 30", {}, "unknown"),
    ("-p tcp -m multiport --dports 22,80,443", {}, "hit"),
    ("-p tcp -m multiport --dports 22,8000:8010", {}, "miss"),
    ("-p tcp -m multiport --dports 22,8000:8010", {"dport": 8005}, "hit"),
    ("-p tcp -m multiport ! --dports 22,443", {}, "hit"),
    ("-p tcp -m multiport --sports 40000:50000", {}, round(10_001 / EPHEMERAL, 3)),
    ("-p tcp -m multiport --sports 40000:50000,55000", {}, "unknown"),
    ("-p tcp -m multiport --ports 80", {}, "hit"),
    ("-p udp -m multiport --ports 53", UDP, "miss"),
    ("-p icmp -m icmp --icmp-type 8", ICMP, "hit"),
    ("-p icmp -m icmp --icmp-type echo-reply", ICMP, "miss"),
    ("-p icmp -m icmp --icmp-type any", ICMP, "hit"),
    ("-p icmp -m icmp --icmp-type 3/3", ICMP | {"error": Unreachable.PORT}, "hit"),
    ("-p icmp -m icmp --icmp-type 3/1", ICMP | {"error": Unreachable.PORT}, "miss"),
    ("-p icmp -m icmp --icmp-type destination-unreachable", ICMP | {"error": Unreachable.HOST}, "hit"),
    ("-m iprange --src-range 10.0.0.1-10.0.0.9", {}, "hit"),
    ("-m iprange ! --src-range 10.0.0.1-10.0.0.9", {}, "miss"),
    ("-m iprange --dst-range 10.0.0.3-10.0.0.9", {}, "miss"),
    ("-m addrtype --dst-type LOCAL", {"destination": "10.1.0.1"}, "hit"),
    ("-m addrtype --dst-type LOCAL", {}, "miss"),
    ("-m addrtype ! --dst-type LOCAL", {}, "hit"),
    ("-m addrtype --src-type LOCAL", {"source": "10.0.0.254"}, "hit"),
    ("-m addrtype --dst-type LOCAL --limit-iface-in", {"destination": "10.1.0.1"}, "miss"),
    ("-m addrtype --dst-type LOCAL --limit-iface-out", {"destination": "10.1.0.1"}, "hit"),
    ("-m addrtype --dst-type MULTICAST", {"destination": "224.0.0.5"}, "hit"),
    ("-m addrtype --dst-type UNICAST,LOCAL", {}, "hit"),
    ("-m mark --mark 0x4000/0x4000", {"mark": 0xC000}, "hit"),
    ("-m mark --mark 0x4000/0x4000", {"mark": 0x8000}, "miss"),
    ("-m mark ! --mark 0x4000/0x4000", {"mark": 0x8000}, "hit"),
    ("-m mark --mark 0x1", {"mark": 0x3}, "miss"),
    ("-m mark --mark 0x80000000/0x80000000", {"mark": 0x80000001}, "hit"),
    ("-m mark --mark 0xffffffff", {"mark": 0xFFFFFFFF}, "hit"),
    ("-m comment --comment any", {}, "hit"),
    ("-m nfacct --nfacct-name bytes", {}, "hit"),
    ("-m statistic --mode random --probability 0.25", {}, 0.25),
    ("-m statistic --mode random ! --probability 0.25", {}, 0.75),
    ("-m statistic --mode random --probability 1.0", {}, "hit"),
    ("-m statistic --mode random --probability 0.0", {}, "miss"),
    ("-m statistic --mode nth --every 4 --packet 0", {}, 0.25),
    ("-m pkttype --pkt-type unicast", {}, "hit"),
    ("-m pkttype --pkt-type broadcast", {}, "miss"),
    ("-p tcp -m tcpmss --mss 1400:1460", {"mss": 1460}, "hit"),
    ("-p tcp -m tcpmss --mss 1400:1460", {"mss": 1360}, "miss"),
    ("-p tcp -m tcpmss --mss 0:1460", {"flags": Flags.ACK}, "miss"),
    ("-p tcp -m tcpmss --mss 1400:1460", {}, "unknown"),
    ("-m physdev --physdev-is-bridged", {}, "miss"),
    ("-m physdev ! --physdev-is-in", {}, "hit"),
    ("-m mac --mac-source 02:00:00:00:00:01", {}, "unknown"),
    ("-m owner --uid-owner 0", {}, "miss"),
    ("-m recent --rcheck --name gone", {}, "unknown"),
    ("-m recent --set --name seen", {}, "hit"),
    ("-m set --match-set any src", {}, "unknown"),
    ("-m limit --limit 5/sec", {}, "unknown"),
    ("-m set --match-set any src -s 203.0.113.1/32", {}, "miss"),
    ("-m rpfilter", {}, "miss"),
    ("-m icmp6 --icmpv6-type 128", {}, "miss"),
]


def router() -> Box:
    """Make a router from eth0 to cni0."""
    made = Box("n1", "n1", 1000, is_host=True)
    for name, address in (("eth0", "10.0.0.254/24"), ("cni0", "10.1.0.1/16")):
        made.link(name)
        made.address(name, address)
    return made


def at(matches: str, hook: Hook = Hook.FORWARD, **more: str) -> At:
    """Put one DROP rule with these matches at a hook."""
    made = router()
    name = "mangle" if hook in {Hook.PREROUTING, Hook.POSTROUTING} else "filter"
    made.iptables(filter_table(f"-A {hook.value} {matches} -j DROP", table=name))
    return At(made, hook, **{"in_dev": "eth0", "out_dev": "cni0"} | more)


@pytest.mark.parametrize(("matches", "fields", "expected"), PLAIN)
def test_a_match_decides_as_the_kernel_does(
    matches: str, fields: dict[str, Any], expected: str | float
) -> None:
    """Each match hits, misses, happens by chance, or is UNKNOWN for one packet."""
    assert says(at(matches), packet(**fields)) == expected


NATTED = {
    "original": Tuple5(6, 0x0A000001, Ports.of(40000), 0x0A600001, Ports.of(80)),
    "reply": Tuple5(6, 0x0A000002, Ports.of(8080), 0x0A000001, Ports.of(40000)),
    "destination_nat": True,
}

TRACKED: list[tuple[str, str, dict[str, Any], str]] = [
    ("-m conntrack --ctstate NEW", "NEW", {}, "hit"),
    ("-m conntrack --ctstate RELATED,ESTABLISHED", "NEW", {}, "miss"),
    ("-m conntrack --ctstate RELATED,ESTABLISHED", "ESTABLISHED", {}, "hit"),
    ("-m conntrack ! --ctstate NEW", "ESTABLISHED", {}, "hit"),
    ("-m conntrack --ctstate DNAT", "NEW", {"destination_nat": True}, "hit"),
    ("-m conntrack --ctstate DNAT", "NEW", {"source_nat": True}, "miss"),
    ("-m conntrack --ctstate SNAT", "NEW", {"source_nat": True}, "hit"),
    ("-m state --state NEW", "NEW", {}, "hit"),
    ("-m state --state INVALID", "NEW", {}, "miss"),
    ("-m conntrack --ctstatus SEEN_REPLY", "ESTABLISHED", {"seen_reply": True}, "hit"),
    ("-m conntrack --ctstatus CONFIRMED", "NEW", {}, "miss"),
    ("-m conntrack --ctstatus NONE", "NEW", {}, "miss"),
    ("-m conntrack --ctstatus ASSURED", "NEW", {}, "miss"),
    ("-m conntrack --ctdir ORIGINAL", "NEW", {}, "hit"),
    ("-m conntrack --ctdir REPLY", "NEW", {}, "miss"),
    ("-m conntrack --ctproto 6", "NEW", {}, "hit"),
    ("-m conntrack --ctproto 17", "NEW", {}, "miss"),
    ("-m conntrack --ctorigsrc 10.0.0.1", "NEW", NATTED, "hit"),
    ("-m conntrack --ctorigdst 10.96.0.0/16", "NEW", NATTED, "hit"),
    ("-m conntrack ! --ctorigdst 10.96.0.0/16", "NEW", NATTED, "miss"),
    ("-m conntrack --ctreplsrc 10.0.0.2", "NEW", NATTED, "hit"),
    ("-m conntrack --ctrepldst 10.0.0.9", "NEW", NATTED, "miss"),
    ("-m conntrack --ctorigdstport 80", "NEW", NATTED, "hit"),
    ("-m conntrack --ctorigsrcport 40000", "NEW", NATTED, "hit"),
    ("-m conntrack --ctreplsrcport 8080", "NEW", NATTED, "hit"),
    ("-m conntrack --ctrepldstport 1:1023", "NEW", NATTED, "miss"),
    ("-m conntrack --ctexpire 1:10", "NEW", NATTED, "unknown"),
    ("-m connmark --mark 0x1/0x1", "NEW", {"mark": 3}, "hit"),
    ("-m connmark ! --mark 0x1/0x1", "NEW", {"mark": 3}, "miss"),
    ("-m connmark --mark 0x80000000/0x80000000", "NEW", {"mark": 0x80000000}, "hit"),
]


@pytest.mark.parametrize(("matches", "state", "entry", "expected"), TRACKED)
def test_conntrack_matches_see_the_entry(
    matches: str, state: str, entry: dict[str, Any], expected: str
) -> None:
    """State, status, direction, tuples and mark are those of the packet's conntrack entry."""
    assert says(at(matches), tracked(packet(), state, **entry)) == expected


@pytest.mark.parametrize("state", ["INVALID", "UNTRACKED"])
def test_a_packet_without_an_entry_has_only_a_state(state: str) -> None:
    """INVALID and UNTRACKED packets match their state, and nothing that needs an entry."""
    made = packet()
    made.tracking = Tracking(CtState(state))
    made.untracked = state == "UNTRACKED"
    assert says(at(f"-m conntrack --ctstate {state}"), made) == "hit"
    for matches in (
        "--ctorigsrc 10.0.0.1",
        "--ctproto 6",
        "--ctdir ORIGINAL",
        "--ctorigdstport 80",
        "--ctstatus NONE",
    ):
        assert says(at(f"-m conntrack {matches}"), made) == "miss"
    assert says(at("-m connmark --mark 0x0"), made) == "miss"


@pytest.mark.parametrize(
    ("matches", "hook", "more", "expected"),
    [
        ("-m physdev --physdev-in veth+", Hook.FORWARD, {"in_port": "eth0"}, "miss"),
        ("-m physdev --physdev-in eth0", Hook.FORWARD, {"in_port": "eth0"}, "hit"),
        ("-m physdev --physdev-out cni0", Hook.FORWARD, {"out_port": "cni0"}, "hit"),
        ("-m physdev --physdev-is-out", Hook.FORWARD, {"out_port": "cni0"}, "hit"),
        ("-m physdev --physdev-is-bridged", Hook.FORWARD, {"in_port": "eth0", "out_port": "cni0"}, "hit"),
        ("-m owner --uid-owner 0", Hook.OUTPUT, {"in_dev": ""}, "miss"),
        ("-m mac --mac-source 02:00:00:00:00:01", Hook.OUTPUT, {"in_dev": ""}, "miss"),
        ("-m rpfilter", Hook.PREROUTING, {"out_dev": ""}, "hit"),
        ("-m rpfilter --invert", Hook.PREROUTING, {"out_dev": ""}, "miss"),
        ("-m rpfilter", Hook.PREROUTING, {"in_dev": "lo", "out_dev": ""}, "hit"),
        ("-m rpfilter --invert", Hook.PREROUTING, {"in_dev": "lo", "out_dev": ""}, "miss"),
        ("-i eth0", Hook.OUTPUT, {"in_dev": ""}, "miss"),
        ("! -i eth0", Hook.OUTPUT, {"in_dev": ""}, "hit"),
    ],
)
def test_a_match_sees_the_hook_and_its_devices(
    matches: str, hook: Hook, more: dict[str, str], expected: str
) -> None:
    """Bridge ports, owners and the reverse path depend on where the packet is."""
    assert says(at(matches, hook, **more), packet()) == expected


@pytest.mark.parametrize(
    ("options", "ages", "expected"),
    [
        ("--rcheck", {0x0A000001: (1.0, 2.0)}, "hit"),
        ("--rcheck", {}, "miss"),
        ("--rcheck --seconds 10", {0x0A000001: (1.0, 2.0)}, "hit"),
        ("--rcheck --seconds 10", {0x0A000001: (11.0, 12.0)}, "miss"),
        ("--rcheck --seconds 10", {0x0A000001: (9.0, 11.0)}, "unknown"),
        ("--rcheck --seconds 10 --hitcount 3", {0x0A000001: (1.0, 2.0)}, "unknown"),
        ("--update --rdest", {0x0A000002: (1.0, 2.0)}, "hit"),
        ("! --rcheck", {0x0A000001: (1.0, 2.0)}, "miss"),
    ],
)
def test_recent_looks_into_the_list(
    options: str, ages: dict[int, tuple[float, float]], expected: str
) -> None:
    """``-m recent`` is decided by the list that was read, and unknown where its clock is too coarse."""
    place = at(f"-m recent {options} --name seen")
    place.box.more["recent"] = {"seen": ages}
    assert says(place, packet()) == expected


def test_address_types_without_routes_are_unknown() -> None:
    """``-m addrtype`` asks the routing tables; when they were not read, both ways are walked."""
    place = at("-m addrtype --dst-type LOCAL")
    place.box.gaps["route"] = "denied"
    assert says(place, packet()) == "unknown"


def test_an_unknown_match_names_its_rule() -> None:
    """The reason of an unknown names table, chain, rule, host and module."""
    ways = through(at("-m set --match-set any src"), packet())
    assert {way.word for way in ways} == {"ACCEPT", "DROP"}
    assert ways[0].scene.unknowns == ["filter FORWARD rule 1 on n1: the set any is not in the dump"]


def test_a_split_narrows_the_packet_to_every_part() -> None:
    """A range in the middle of the ephemeral ports leaves two others, each walked with its own weight."""
    ways = through(at("-p tcp -m tcp --sport 40000:50000"), packet())
    assert [(way.word, tuple(way.scene.packet.source_ports), way.weight) for way in ways] == [
        ("DROP", (40000, 50000), pytest.approx(10_001 / EPHEMERAL)),
        ("ACCEPT", (32768, 39999), pytest.approx(7_232 / EPHEMERAL)),
        ("ACCEPT", (50001, 60999), pytest.approx(10_999 / EPHEMERAL)),
    ]


def test_two_splits_cover_all_ports() -> None:
    """What one rule leaves over is what the next one sees: two rules divide the ports into three shares."""
    made = router()
    rules = (
        "-A FORWARD -p tcp -m tcp --sport 40000:50000 -j ACCEPT",
        "-A FORWARD -p tcp -m tcp --sport 0:45000 -j DROP",
    )
    made.iptables(filter_table(*rules))
    assert says(At(made), packet()) == round(7_232 / EPHEMERAL, 3)


def test_connection_ports_do_not_narrow_the_packet() -> None:
    """Ports that conntrack keeps divide the ways, and the packet's own ports stay as they are."""
    ways = through(at("-m conntrack --ctorigsrcport 40000:50000"), tracked(packet()))
    assert [way.word for way in ways] == ["DROP", "ACCEPT", "ACCEPT"]
    assert {way.scene.packet.source_ports for way in ways} == {Ports(32768, 60999)}
    assert {way.scene.packet.destination_ports for way in ways} == {Ports.of(80)}
