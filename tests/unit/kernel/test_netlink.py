"""The decoders of rtnetlink dumps, on dumps that a real kernel (Linux 6.18) gave."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel import netlink
from skoopctl.kernel.netlink.nexthop import NextHopObject
from skoopctl.kernel.route import NextHop, Route, RouteType
from tests.support.as_json import expect
from tests.support.netlink_items import decode

CASES = Path(__file__).parent / "cases" / "netlink"
RAW = {path.stem: path.read_bytes() for path in sorted(CASES.glob("*.bin"))}
DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def message(kind: int, body: bytes) -> bytes:
    """Frame one message."""
    padded = body + bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + padded


def attribute(kind: int, data: bytes) -> bytes:
    """Frame one attribute."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


@pytest.mark.parametrize("name", RAW)
def test_case(name: str) -> None:
    """A recorded dump gives the entries in the file beside it."""
    found = decode(name, RAW)
    assert found.problem == ""
    assert found.entries
    expect(CASES / name, found)


def routes() -> dict[str, Route]:
    """Return the recorded routes by destination."""
    return {str(r.destination): r for r in decode("route", RAW).entries}


def test_multipath_routes_keep_their_weights() -> None:
    """A multipath route has its hops with weights, which the kernel sends less one."""
    hops = routes()["10.3.0.0/24"].next_hops
    assert [(str(h.gateway), h.weight) for h in hops] == [("10.1.0.9", 3), ("192.168.3.7", 1)]


def test_next_hop_objects_are_resolved() -> None:
    """A route that refers to a group of next hop objects has their hops, and a blackhole's has none."""
    assert [(str(h.gateway), h.weight) for h in routes()["10.13.0.0/16"].next_hops] == [
        ("10.1.0.77", 5),
        ("10.1.0.78", 1),
    ]
    assert routes()["10.14.0.0/16"].type is RouteType.BLACKHOLE
    assert routes()["10.14.0.0/16"].next_hops == ()


def test_gateway_of_the_other_family() -> None:
    """RTA_VIA gives an IPv4 route an IPv6 gateway."""
    assert routes()["10.8.0.0/16"].next_hops[0].gateway == ip_address("fd00::9")


def test_tables_above_255_and_metrics() -> None:
    """The table comes from RTA_TABLE where eight bits do not hold it, and the MTU from the metrics."""
    default = next(r for r in decode("route", RAW).entries if r.table == 4000)
    assert default.destination == ip_network("0.0.0.0/0")
    assert default.mtu == 1400
    assert default.text == "default via 10.1.0.254 dev br0 table 4000 mtu lock 1400 advmss 1300"


def test_routes_without_compat_mode_need_the_objects() -> None:
    """With ``nexthop_compat_mode`` off a route holds only a number; an unknown number is a problem."""
    header = struct.pack("=BBBBBBBBI", 2, 16, 0, 0, 254, 3, 0, 1, 0)
    body = header + attribute(1, bytes([10, 1, 0, 0])) + attribute(30, struct.pack("=I", 7))
    raw = message(24, body) + DONE
    known = NextHopObject(7, NextHop(3, ip_address("10.0.0.1")))
    (route,) = netlink.decode_routes(raw, nexthops=[known]).entries
    assert route.next_hops == (NextHop(3, ip_address("10.0.0.1")),)
    lost = netlink.decode_routes(raw)
    assert lost.entries == ()
    assert "next hop object 7" in lost.problem


def test_devices_and_their_kinds() -> None:
    """Veth peers, bridge ports and VXLAN devices are told as ``ip -d link`` tells them."""
    links = {link.name: link for link in decode("link", RAW).entries}
    assert (links["v0"].peer_nsid, links["v0"].master) == (0, links["br0"].index)
    port = links["v0"].port
    assert port is not None
    assert (port.hairpin, port.isolated, port.learning) == (True, True, False)
    vxlan = links["vx"].vxlan
    assert vxlan is not None
    assert (vxlan.vni, vxlan.port, vxlan.local, vxlan.learning) == (7, 8472, "192.168.3.1", False)
    assert links["vx"].peer == vxlan.lower == links["d0"].index
    assert links["d0"].promiscuous


def test_rules_keep_what_they_select_by() -> None:
    """Marks, ports, devices and inversion are decoded, and what is not is named."""
    rules = {r.priority: r for r in decode("rule", RAW).entries if r.family == 4}
    assert (rules[1001].fwmark, rules[1001].fwmask, rules[1001].invert) == (0x10, 0xF0, True)
    assert (rules[1002].iif, rules[1002].destination_ports, rules[1002].ip_protocol) == ("br0", (80, 90), 6)
    assert rules[1003].goto == 2000
    assert rules[1500].suppress_prefixlength == 0
    assert rules[1600].uids == (5, 10)
    assert rules[1700].l3mdev
    assert {p: r.undecoded for p, r in rules.items() if r.undecoded} == {}


def test_vxlan_forwarding_entries_name_the_remote() -> None:
    """A VXLAN entry has its remote, and a bridge port's own address is local."""
    fdb = decode("fdb", RAW).entries
    remote = next(e for e in fdb if e.mac == "0e:00:00:00:00:02")
    assert (str(remote.remote), remote.is_self, remote.text) == (
        "192.168.3.87",
        True,
        "0e:00:00:00:00:02 dev vx dst 192.168.3.87 self permanent",
    )
    assert any(e.local and e.master for e in fdb)
    other = next(e for e in fdb if str(e.remote) == "192.168.3.88")
    assert (other.port, other.vni) == (99, 12)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "no end"),
        (RAW["route"][:-20], "no end"),
        (RAW["route"][:100], "cut or damaged"),
        (message(2, struct.pack("=i", -1)), "EPERM"),
        (struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -4), "EINTR"),
        (struct.pack("=IHHIIi", 20, 3, 0x12, 1, 0, 0), "changed"),
        (message(24, b"\x02") + DONE, "malformed"),
    ],
    ids=["empty", "no-done", "cut", "error", "done-with-error", "interrupted", "short-body"],
)
def test_a_dump_that_is_not_whole_says_so(raw: bytes, words: str) -> None:
    """A dump that was cut, aborted or damaged has a problem, so that it is not taken for all there is."""
    assert words in netlink.decode_routes(raw).problem


def test_a_damaged_message_costs_only_itself() -> None:
    """Entries beside a malformed message stay."""
    whole = netlink.decode_routes(RAW["route"])
    found = netlink.decode_routes(message(24, b"\x02") + RAW["route"])
    assert found.entries == whole.entries
    assert found.problem


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a real dump with bytes overwritten, cut out, or cut off."""
    name = draw(st.sampled_from(sorted(RAW)))
    data = bytearray(RAW[name])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        data = data or bytearray(1)
    return name, bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@given(damaged() | st.tuples(st.sampled_from(sorted(RAW)), st.binary()))
def test_garbage_never_raises(case: tuple[str, bytes]) -> None:
    """Whatever bytes a node sends become entries and a problem."""
    name, data = case
    assert isinstance(decode(name, {**RAW, name: data}), netlink.Dump)


def test_nested_groups_end() -> None:
    """A group of next hop objects that names itself is not followed for ever."""
    group = attribute(1, struct.pack("=I", 1)) + attribute(2, struct.pack("=IBxH", 1, 0, 0))
    raw = message(104, struct.pack("=BBBxI", 2, 0, 0, 0) + group) + DONE
    objects = netlink.decode_nexthops(raw).entries
    route = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + attribute(30, struct.pack("=I", 1))
    assert netlink.decode_routes(message(24, route) + DONE, nexthops=objects).entries == ()


def test_names_that_are_not_text_are_shown_escaped() -> None:
    """A device's name may hold any byte."""
    body = struct.pack("=BxHiII", 0, 1, 5, 1, 0) + attribute(3, b"\xffx\0")
    (link,) = netlink.decode_links(message(16, body) + DONE).entries
    assert (link.index, link.name) == (5, "\\xffx")
