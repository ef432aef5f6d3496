"""Targets that the case files do not show: proxies, zones, kinds of REJECT, arguments that cannot be read."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.conntrack import Table
from skoopctl.dataplane.packet import Flags, Ports, Unreachable
from skoopctl.dataplane.rules.ruling import Action
from skoopctl.dataplane.rules.scene import Hook
from tests.support.worlds import At, Box, filter_table, packet, says, through, tracked


def at(rules: str, hook: Hook = Hook.FORWARD, table: str = "mangle", **more: str) -> At:
    """Put rules at a hook of a router."""
    box = Box("n1", "n1", 1000, is_host=True)
    for device, address in (("eth0", "10.0.0.254/24"), ("cni0", "10.1.0.1/16")):
        box.link(device)
        box.address(device, address)
    lines = [f"-A {hook.value} {rule}" for rule in rules.splitlines()]
    box.iptables(filter_table(*lines, table=table))
    return At(box, hook, **{"in_dev": "eth0", "out_dev": "cni0"} | more)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", Unreachable.PORT),
        (" --reject-with icmp-net-unreachable", Unreachable.NET),
        (" --reject-with icmp-host-unreachable", Unreachable.HOST),
        (" --reject-with icmp-proto-unreachable", Unreachable.PROTO),
        (" --reject-with icmp-net-prohibited", Unreachable.NET_PROHIBITED),
        (" --reject-with icmp-host-prohibited", Unreachable.HOST_PROHIBITED),
        (" --reject-with icmp-admin-prohibited", Unreachable.ADMIN_PROHIBITED),
        (" --reject-with icmp6-no-route", Unreachable.NET),
        (" --reject-with icmp6-adm-prohibited", Unreachable.ADMIN_PROHIBITED),
        (" --reject-with icmp6-addr-unreachable", Unreachable.HOST),
        (" --reject-with icmp6-port-unreachable", Unreachable.PORT),
        (" --reject-with tcp-reset", None),
    ],
)
def test_reject_answers_as_it_is_told(name: str, error: Unreachable | None) -> None:
    """Each ``--reject-with`` is an ICMP error, or a reset."""
    (way,) = through(at(f"-j REJECT{name}", table="filter"), packet())
    assert (way.ruling.action, way.ruling.error) == (Action.REJECT, error)


def test_a_reject_that_is_not_known_is_no_reset() -> None:
    """An unknown ``--reject-with`` drops, and says that its answer is not known."""
    (way,) = through(at("-j REJECT --reject-with icmp-future", table="filter"), packet())
    assert way.word == "DROP"
    assert "icmp-future" in way.scene.unknowns[0]


@pytest.mark.parametrize("target", ["NFQUEUE --queue-num 1 --queue-bypass", "QUEUE", "SYNPROXY --mss 1460"])
def test_what_others_decide_is_unknown(target: str) -> None:
    """A program, or a proxy in the kernel, decides: both ways are walked."""
    assert says(at(f"-j {target}"), packet()) == "unknown"


def test_tproxy_needs_a_local_socket() -> None:
    """Without a socket on its port TPROXY drops; with one the mark is set, and what the proxy does is unknown."""
    place = at("-p tcp -j TPROXY --on-port 15001 --on-ip 0.0.0.0 --tproxy-mark 0x1/0xff", Hook.PREROUTING)
    (way,) = through(place, packet(mark=0x100))
    assert (way.word, way.scene.notes) == (
        "DROP",
        ["TPROXY: nothing listens on tcp port 15001, the kernel drops"],
    )
    place.box.listen(15001)
    ways = through(place, packet(mark=0x100))
    assert {way.word for way in ways} == {"ACCEPT", "DROP"}
    assert {way.scene.packet.mark for way in ways} == {0x101}
    unread = at("-p tcp -j TPROXY --on-port 15001", Hook.PREROUTING)
    unread.box.gaps["proc-net-tcp"] = "denied"
    assert says(unread, packet()) == "unknown"


@pytest.mark.parametrize(
    ("hook", "field", "expected"),
    [(Hook.PREROUTING, "destination", 0x0AFF0002), (Hook.POSTROUTING, "source", 0x0AFF0001)],
)
def test_netmap_changes_the_network_only(hook: Hook, field: str, expected: int) -> None:
    """The host part stays; before routing it is the destination's, after it the source's."""
    place = at("-j NETMAP --to 10.255.0.0/16", hook, table="nat", next_hop="10.1.0.9")
    item = packet() if hook is Hook.PREROUTING else tracked(packet())
    (way,) = through(place, item)
    assert getattr(way.scene.packet, field) == expected


def test_dnat_shifts_a_range_of_ports() -> None:
    """``--to-destination :8000-8009/80`` sends port 80 to 8000 and port 83 to 8003."""
    place = at("-p tcp -j DNAT --to-destination 10.1.0.9:8000-8009/80", Hook.PREROUTING, table="nat")
    (way,) = through(place, packet(dport=83))
    assert way.scene.packet.destination_ports == Ports.of(8003)


@pytest.mark.parametrize(
    ("rule", "marked"),
    [
        ("-j CONNMARK --set-xmark 0x10/0xff", 0x12310),
        ("-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf", 0x12345),
        ("-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xffffffff --left-shift-mark 8", 0x500),
        ("-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xffffffff --right-shift-mark 2", 0x1),
    ],
)
def test_connmark_masks_and_shifts(rule: str, marked: int) -> None:
    """The connection's mark is what xt_connmark.c computes."""
    item = tracked(packet(mark=5), mark=0x12345)
    (way,) = through(at(rule), item)
    assert way.scene.packet.tracking is not None
    assert way.scene.packet.tracking.entry is not None
    assert way.scene.packet.tracking.entry.mark == marked


@pytest.mark.parametrize(
    ("options", "zones"),
    [
        ("--zone 5", (5, 5)),
        ("--zone-orig 5", (5, 0)),
        ("--zone-reply 5", (0, 5)),
        ("--zone mark", (7, 7)),
        ("--helper ftp", (0, 0)),
    ],
)
def test_zones_are_for_one_direction_or_both(options: str, zones: tuple[int, int]) -> None:
    """``-j CT`` puts each direction of the connection into its zone."""
    (way,) = through(at(f"-j CT {options}", Hook.PREROUTING, table="raw"), packet(mark=7))
    assert (way.scene.packet.zone, way.scene.packet.zone_reply) == zones


def test_an_answer_is_found_in_the_zone_of_its_direction() -> None:
    """With ``--zone-orig``, answers are looked up in zone 0; with ``--zone``, they need the zone as well."""
    for zones, found in (((5, 0), True), ((5, 5), False)):
        table = Table()
        request = packet(sport=40000)
        request.zone, request.zone_reply = zones
        table.confirm(table.track(request))
        answer = packet("10.0.0.2", "10.0.0.1", 40000, sport=80, flags=Flags.SYN_ACK)
        assert (table.track(answer).entry is not None) == found


@pytest.mark.parametrize(
    "rule", ["TOS --set-tos many", "TTL --ttl-set x", "DNAT --to-destination nowhere", "MARK --set-xmark no"]
)
def test_a_target_that_cannot_be_read_is_unknown(rule: str) -> None:
    """An argument that makes no sense is no exception: the rule may do anything."""
    table = "nat" if rule.startswith("DNAT") else "mangle"
    assert says(at(f"-j {rule}", Hook.PREROUTING, table=table), packet()) == "unknown"


def test_the_ttl_is_the_senders() -> None:
    """Without a sender that was collected, nobody knows the TTL; a rule may set it, and then it is known."""
    assert says(at("-m ttl --ttl-eq 64 -j DROP"), packet()) == "unknown"
    assert says(at("-j TTL --ttl-set 3\n-m ttl --ttl-lt 4 -j DROP"), packet()) == "hit"
    assert says(at("-j TTL --ttl-dec 3\n-m ttl ! --ttl-eq 61 -j DROP"), packet(ttl=64)) == "miss"
