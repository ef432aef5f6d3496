"""A packet in the sets of ipset: what the kernel of the tests lacks, what was not read, and ranges of ports."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.dataplane.packet import Flags
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.rules.sets import SetIndex, lookup
from skoopctl.dataplane.truth import Split, Unknown
from skoopctl.kernel.ipset import IpSet, Member, Net
from skoopctl.kernel.ipset_save import decode_ipset_save
from tests.support.worlds import At, Box, filter_table, packet, says, through

SETS = """
create pairs hash:net,net family inet
add pairs 10.0.0.0/8,10.0.0.0/8
add pairs 10.0.0.0/24,10.0.0.0/16 nomatch
add pairs 10.0.0.0/16,10.0.0.0/24
create triples hash:net,port,net family inet
add triples 10.0.0.0/24,tcp:80,10.0.0.0/24
add triples 10.0.0.0/24,tcp:80,10.0.0.1/32 nomatch
create marked hash:ip,mark family inet markmask 0xff
add marked 10.0.0.1,0x5
create macs hash:mac
add macs 02:00:00:00:00:01
create known hash:ip,mac family inet
add known 10.0.0.1,02:00:00:00:00:01
create nobody hash:ip,mac family inet
create ports bitmap:port range 0-65535
add ports 80
add ports 40000-49999
create odd hash:ip,port family inet
add odd 10.0.0.1,tcp:40000
add odd 10.0.0.1,tcp:40002
add odd 10.0.0.1,udp:40001
create one hash:ip,port family inet
add one 10.0.0.1,tcp:40000
create exceptions hash:net,port family inet
add exceptions 10.0.0.0/8,tcp:40000-40009
add exceptions 10.0.0.0/24,tcp:40005-40009 nomatch
create all list:set
add all nobody
add all gone
add all macs
create loop list:set
add loop loop
create ones list:set
add ones one
add ones ports
create counted hash:ip family inet counters
add counted 10.0.0.1 packets 5 bytes 10
create stale hash:ip family inet timeout 100
add stale 10.0.0.1 timeout 1
create future hash:ip,future family inet
"""
MAC = {"source_mac": "02:00:00:00:00:01"}
EPHEMERAL = 60_999 - 32_768 + 1


def at(matches: str, hook: Hook = Hook.FORWARD, **gaps: str) -> At:
    """Put one rule that drops at a router between eth0 and cni0."""
    box = Box("n1", "n1", 1000, is_host=True)
    for device in ("eth0", "cni0"):
        box.link(device)
    box.iptables(filter_table(f"-A {hook.value} {matches} -j DROP"))
    box.more["ipsets"] = decode_ipset_save(SETS).sets
    box.gaps |= gaps
    return At(box, hook, in_dev="eth0", out_dev="cni0")


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        # hash:net,net: the longest first network wins, then the longest second (mtype_test_cidrs).
        ("pairs src,dst", {}, "miss"),
        ("pairs src,dst --return-nomatch", {}, "hit"),
        ("pairs src,dst", {"source": "10.0.1.1"}, "hit"),
        ("pairs src,dst", {"source": "10.9.0.1", "destination": "10.8.0.1"}, "hit"),
        ("pairs src,dst", {"source": "11.0.0.1"}, "miss"),
        ("triples src,dst,dst", {}, "hit"),
        ("triples dst,dst,src", {}, "miss"),
        ("triples dst,dst,src", {"source": "10.0.0.3"}, "hit"),
        ("triples src,dst", {}, "miss"),
        ("marked src,src", {"mark": 0xF05}, "hit"),
        ("marked src,src", {"mark": 0x6}, "miss"),
        ("macs src", MAC, "hit"),
        ("macs src", {"source_mac": "02:00:00:00:00:02"}, "miss"),
        ("macs src", {}, "unknown"),
        ("known src,src", MAC, "hit"),
        ("known src,src", {}, "unknown"),
        ("nobody src,src", {}, "miss"),
        ("stale src", {}, "hit"),
        # Sets that are missing, of types that are not known, or that hold themselves.
        ("gone src", {}, "unknown"),
        ("future src,src", {}, "unknown"),
        ("all src,src", {}, "unknown"),
        ("all src,src", MAC, "hit"),
        ("loop src", {}, "unknown"),
        # Extensions that depend on how often an entry was used.
        ("counted src --packets-gt 3", {}, "unknown"),
        ("counted dst --packets-gt 3", {}, "miss"),
        # The client's port is a range.
        ("ports dst", {}, "hit"),
        ("ports src", {}, round(10_000 / EPHEMERAL, 3)),
        ("ports src", {"sport": 41000}, "hit"),
        ("one src,src", {}, round(1 / EPHEMERAL, 3)),
        ("one dst,src", {}, "miss"),
        ("one src,src", {"protocol": 17}, "miss"),
        ("odd src,src", {}, "unknown"),
        ("odd src,src", {"sport": 40002}, "hit"),
        ("ones src,src", {"sport": 40000}, "hit"),
        ("ones src,src", {}, "unknown"),
        ("exceptions src,src", {}, round(5 / EPHEMERAL, 3)),
        ("exceptions src,src --return-nomatch", {}, round(5 / EPHEMERAL, 3)),
        ("exceptions src,src", {"source": "10.1.0.1"}, round(10 / EPHEMERAL, 3)),
        # SCTP has ports, other protocols have port 0, and bitmap:port is for TCP and UDP.
        ("ports dst", {"protocol": 132}, "miss"),
        ("ports dst", {"protocol": 47}, "miss"),
    ],
)
def test_a_packet_is_in_a_set(options: str, fields: dict[str, Any], expected: str | float) -> None:
    """Each lookup hits, misses, splits the range of ports, or is unknown; ``!`` says the opposite."""
    assert says(at(f"-m set --match-set {options}"), packet(**fields)) == expected
    opposite = {"hit": "miss", "miss": "hit", "unknown": "unknown"}
    inverted = opposite[expected] if isinstance(expected, str) else pytest.approx(1 - expected, abs=0.002)
    assert says(at(f"-m set ! --match-set {options}"), packet(**fields)) == inverted


def test_an_unread_set_names_its_gap() -> None:
    """A set that is missing from a dump that was cut is unknown with the reason of the cut."""
    ways = through(at("-m set --match-set gone src", ipset="truncated: more than 48 MB"), packet())
    assert {way.word for way in ways} == {"DROP", "ACCEPT"}
    reason = "the set gone was not read: truncated: more than 48 MB"
    assert ways[0].scene.unknowns == [f"filter FORWARD rule 1 on n1: {reason}"]


@pytest.mark.parametrize(
    ("kind", "member", "expected"),
    [
        ("hash:ip", "10.0.0.1", "hit"),  # a member that is there is there, and nothing beats it
        ("hash:ip", "10.0.0.9", "unknown"),
        ("hash:net", "10.0.0.0/8", "unknown"),  # an exception within it may be missing
    ],
)
def test_a_set_that_was_cut_never_widens(kind: str, member: str, expected: str) -> None:
    """What was lost may have held the packet, or an exception for it."""
    place = at("-m set --match-set cut src")
    found = decode_ipset_save(f"create cut {kind} family inet\nadd cut {member}\nadd cut 10.")
    assert found.sets["cut"].problem
    place.box.more["ipsets"] = found.sets
    assert says(place, packet()) == expected


def test_what_cannot_be_read_of_the_rule_is_unknown() -> None:
    """A flag, an option or an argument that is not known makes the match unknown, not true or false."""
    for options in ("one src,sideways", "one", "one src --future"):
        assert says(at(f"-m set --match-set {options}"), packet()) == "unknown"


def test_lookup_can_be_used_by_itself() -> None:
    """``lookup`` gives a truth for a scene, so that IPVS and nft can ask too."""
    place = at("-m comment --comment x")
    assert lookup(place.scene(packet()), "macs", ("src",)) == Unknown(
        "the frame's source MAC address is not known"
    )
    assert lookup(place.scene(packet(**MAC)), "macs", ("src",)) is True
    split = lookup(place.scene(packet()), "ports", ("src",))
    assert isinstance(split, Split)
    assert tuple(split.inside) == (40000, 49999)


def test_lookups_do_not_grow_with_the_set() -> None:
    """An index asks as many times as a set has prefix lengths, however many members it has."""
    members = [Member((Net(n << 8, 24),)) for n in range(100_000)]
    members += [Member((Net(10 << 24, 8),), nomatch=True), Member((Net(0, 1),))]
    index = SetIndex(IpSet("large", "hash:net", 4, tuple(members)))
    asked = 0

    class Counting(dict[Any, Any]):
        def get(self, key: Any, default: Any = None) -> Any:
            nonlocal asked
            asked += 1
            return super().get(key, default)

    index.members = Counting(index.members)
    found = index.find((Net(10 << 24 | 5, 32),))
    assert found is not None
    assert found.nomatch
    assert index.find((Net(99_999 << 8 | 7, 32),)) is not None
    assert asked == 3


def test_changes_by_a_target_are_seen_by_later_rules() -> None:
    """``-j SET`` adds and deletes for the rest of the walk; where it cannot be told what, the set is unknown."""
    place = at("-m comment --comment x")
    place.box.tables = []
    place.box.iptables(
        filter_table(
            "-A FORWARD -j SET --add-set marked dst,dst",
            "-A FORWARD -j SET --del-set stale src",
            "-A FORWARD -j SET --add-set odd src,src --exist",
            "-A FORWARD -m set ! --match-set marked dst,dst -j DROP",
            "-A FORWARD -m set --match-set stale src -j DROP",
        )
    )
    (way,) = through(place, packet(mark=7))
    assert way.word == "ACCEPT"
    place.box.iptables(filter_table("-A FORWARD -m set --match-set odd src,src -j DROP", table="mangle"))
    assert says(place, packet(sport=40002)) == "hit"
    place.box.iptables(filter_table("-A FORWARD -m set --match-set one src,src -j DROP", table="mangle"))
    assert says(place, packet(flags=Flags.ACK, sport=1)) == "miss"
