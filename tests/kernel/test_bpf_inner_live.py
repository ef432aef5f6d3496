"""What dropped packets of tunnels carry, on this kernel: a real VXLAN, and what other machines would send."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from skoopctl.bpf.events import BpfEvent
from skoopctl.bpf.inner import Inner
from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_pair import ADDRESSES, Pair, pair
from tests.kernel.bpf_watch import Watch
from tests.kernel.tunnel_packets import (
    ETHERTYPES,
    FRAME,
    INSIDE,
    PORTS,
    SYN,
    frame,
    geneve,
    gre,
    packet,
    segment,
    vxlan,
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

ENOUGH_S = 900.0
"""One watch is for all tests here."""
VNI = 0x010203
UDP, IPIP, IPV6, GRE = 17, 4, 41, 47
TUNNELS = {4: ("10.99.0.1", "10.99.0.2"), 6: ("fd99::1", "fd99::2")}


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("i") as made:
        yield made


@pytest.fixture(scope="module")
def watch(wire: Pair) -> Iterator[Watch]:
    """Return the probe at work on the receiver, where every packet of a tunnel is dropped."""
    with contextlib.ExitStack() as rules:
        for family in (4, 6):
            for match in (("udp", "-m", "multiport", "--dports", "8472,4789,6081"), ("4",), ("41",), ("47",)):
                rules.enter_context(wire.server.rule(family, "INPUT", "-p", *match, "-j", "DROP"))
        request = BpfRequest(("packetloss",), ENOUGH_S, (wire.server.inode,))
        yield rules.enter_context(Watch(request))


@dataclass(frozen=True)
class Sent:
    """What is sent, and as what its inside must be told."""

    name: str
    protocol: int
    payload: bytes
    tunnel: str
    id: int | None = VNI
    family: int = 4
    port: int = 0


WHOLE = (
    Sent("vxlan", UDP, vxlan(frame(4)), "VXLAN", port=8472),
    Sent("vxlan, IPv6", UDP, vxlan(frame(6)), "VXLAN", family=6, port=8472),
    Sent("vxlan, RFC port", UDP, vxlan(frame(4)), "VXLAN", port=4789),
    Sent("vxlan, group policy", UDP, vxlan(frame(4), flags=0x88), "VXLAN", port=4789),
    Sent("vxlan, VLAN", UDP, vxlan(frame(4, vlan=True)), "VXLAN", port=8472),
    Sent("vxlan, VNI 0", UDP, vxlan(frame(4), vni=0), "VXLAN", id=0, port=8472),
    Sent("geneve", UDP, geneve(frame(4), FRAME), "GENEVE", port=6081),
    Sent("geneve, options", UDP, geneve(frame(6), FRAME, bytes(12)), "GENEVE", family=6, port=6081),
    Sent("geneve, IP", UDP, geneve(packet(4), ETHERTYPES[4], bytes(8)), "GENEVE", port=6081),
    Sent("geneve, IPv6", UDP, geneve(packet(6), ETHERTYPES[6]), "GENEVE", family=6, port=6081),
    Sent("ipip", IPIP, packet(4), "IPIP", id=None),
    Sent("sit", IPV6, packet(6), "IPIP", id=None, family=6),
    Sent("gre", GRE, gre(packet(4), ETHERTYPES[4]), "GRE", id=None),
    Sent("gre, IPv6", GRE, gre(packet(6), ETHERTYPES[6]), "GRE", id=None, family=6),
    Sent("gre, key", GRE, gre(packet(4), ETHERTYPES[4], 0x2000, bytes((254, 1, 2, 3))), "GRE", 0xFE010203),
    Sent("gre, frame", GRE, gre(frame(4), FRAME, 0x2000, bytes((0, 1, 2, 3))), "GRE"),
    Sent(
        "gre, everything",
        GRE,
        gre(packet(6), ETHERTYPES[6], 0xB000, bytes(4) + bytes((0, 1, 2, 3)) + bytes(4)),
        "GRE",
        family=6,
    ),
)
NOTHING = (
    Sent("another port", UDP, vxlan(frame(4)), "", port=8473),
    Sent("vxlan without a VNI", UDP, vxlan(frame(4), flags=0), "", port=8472),
    Sent("vxlan without a frame", UDP, vxlan(frame(4), flags=0x0C), "", port=4789),
    Sent("vxlan, ARP", UDP, vxlan(b"\xff" * 12 + b"\x08\x06" + bytes(28)), "", port=8472),
    Sent("vxlan, another version of IP", UDP, vxlan(frame(4)[:14] + packet(6)), "", port=8472),
    Sent("vxlan, no header", UDP, b"\x08", "", port=8472),
    Sent("vxlan, cut", UDP, vxlan(frame(4)[:33]), "", port=8472),
    Sent("vxlan, IPv6 cut", UDP, vxlan(frame(6)[:53]), "", port=8472),
    Sent("vxlan, VLAN cut", UDP, vxlan(frame(4, vlan=True)[:16]), "", port=8472),
    Sent("geneve, control", UDP, geneve(frame(4), FRAME, flags=0x80), "", port=6081),
    Sent("geneve, version", UDP, b"\x40" + geneve(frame(4), FRAME)[1:], "", port=6081),
    Sent("geneve, longer options than there are", UDP, b"\x3f" + geneve(frame(4), FRAME)[1:], "", port=6081),
    Sent("gre, routes", GRE, gre(packet(4), ETHERTYPES[4], 0x4000, bytes(4)), ""),
    Sent("gre, version", GRE, gre(packet(4), ETHERTYPES[4], 1), ""),
    Sent("gre, key cut", GRE, gre(b"", ETHERTYPES[4], 0x2000), ""),
    Sent("gre, something else", GRE, gre(packet(4), 0x88BE), ""),
    Sent("ipip, cut", IPIP, packet(4)[:19], ""),
)


def send(wire: Pair, sent: Sent, outer: int) -> None:
    """Send it over IPv4 or IPv6."""
    to = (ADDRESSES[outer][1], sent.port)
    kind = socket.SOCK_DGRAM if sent.protocol == UDP else socket.SOCK_RAW
    with contextlib.closing(
        wire.client.socket(outer, kind, 0 if sent.protocol == UDP else sent.protocol)
    ) as raw:
        raw.sendto(sent.payload, to)


def only_loss(watch: Watch, since_ns: int) -> BpfEvent:
    """Return the only loss since then; a device of an earlier test has sent reports that are told late."""

    def found() -> list[BpfEvent]:
        return [event for event in watch.events if event.mono_ns > since_ns]

    watch.until(lambda: bool(found()), "the loss")
    (event,) = found()
    return event


def lost(watch: Watch, wire: Pair, sent: Sent, outer: int) -> BpfEvent:
    """Send it, and return the loss of it; nothing else is lost meanwhile."""
    before = time.monotonic_ns()
    send(wire, sent, outer)
    event = only_loss(watch, before)
    assert (event.protocol, event.destination_port) == (sent.protocol, sent.port)
    assert (event.source, event.destination) == ADDRESSES[outer]
    return event


def ends(inner: Inner) -> tuple[object, ...]:
    """Return between whom a packet is."""
    return (inner.source, inner.source_port, inner.destination, inner.destination_port)


@pytest.mark.parametrize("outer", [4, 6], ids=["over v4", "over v6"])
@pytest.mark.parametrize("sent", WHOLE, ids=lambda sent: sent.name)
def test_a_whole_packet_inside_is_told(wire: Pair, watch: Watch, sent: Sent, outer: int) -> None:
    """Tunnel, number, both ends, protocol and flags are those of the packet inside; outside, those of the tunnel."""
    inner = lost(watch, wire, sent, outer).inner
    assert inner is not None
    assert (inner.tunnel, inner.id, inner.family) == (sent.tunnel, sent.id, sent.family)
    source, destination = INSIDE[sent.family]
    assert ends(inner) == (source, PORTS[0], destination, PORTS[1])
    assert (inner.protocol, inner.tcp_flags, inner.fragment) == (6, SYN, False)


@pytest.mark.parametrize("sent", NOTHING, ids=lambda sent: sent.name)
def test_what_is_no_whole_packet_is_not_told(wire: Pair, watch: Watch, sent: Sent) -> None:
    """What is cut, another version or no tunnel at all has no inside: nothing is read that is not the packet's."""
    with contextlib.ExitStack() as rules:
        if sent.port == 8473:
            rules.enter_context(wire.server.rule(4, "INPUT", "-p", "udp", "--dport", "8473", "-j", "DROP"))
        assert lost(watch, wire, sent, 4).inner is None


@pytest.mark.parametrize(
    ("payload", "protocol", "told"),
    [
        (segment()[:13], 6, (0, 0, 0)),
        (segment()[:3], 6, (0, 0, 0)),
        (struct.pack("!HHHH", *PORTS, 8, 0), 17, (*PORTS, 0)),
        (b"\x08\0\0\0", 1, (0, 0, 0)),
    ],
    ids=["TCP without flags", "TCP without ports", "UDP", "ICMP"],
)
def test_ports_and_flags_are_told_where_they_are_there(
    wire: Pair, watch: Watch, payload: bytes, protocol: int, told: tuple[int, int, int]
) -> None:
    """Addresses are told without ports where those are cut, or where the protocol has none."""
    inner = lost(watch, wire, Sent("ipip", IPIP, packet(4, payload, protocol), "IPIP"), 4).inner
    assert inner is not None
    assert (inner.source, inner.destination, inner.protocol) == (*INSIDE[4], protocol)
    assert (inner.source_port, inner.destination_port, inner.tcp_flags) == told


def test_a_fragment_inside_has_no_ports(wire: Pair, watch: Watch) -> None:
    """A fragment behind the first is said to be one."""
    whole = packet(4)
    piece = whole[:6] + struct.pack("!H", 185) + whole[8:]
    inner = lost(watch, wire, Sent("fragment", IPIP, piece, "IPIP"), 4).inner
    assert inner is not None
    assert (inner.fragment, inner.source_port, inner.tcp_flags) == (True, 0, 0)


def test_what_lies_in_pages_is_not_guessed(wire: Pair, watch: Watch) -> None:
    """Of a packet whose inside is not in one piece with its head, only the outside is told."""
    inside = vxlan(frame(4))
    before = time.monotonic_ns()
    with contextlib.closing(wire.client.socket(4, socket.SOCK_DGRAM)) as made:
        made.connect((ADDRESSES[4][1], 8472))
        made.send(inside[:8], socket.MSG_MORE)
        made.send(inside[8:])
    event = only_loss(watch, before)
    assert event.length >= 28 + len(inside)
    assert event.inner is None


@pytest.mark.parametrize("family", [4, 6])
def test_a_real_vxlan_that_a_rule_drops_is_told_with_whom_it_carries(
    wire: Pair, watch: Watch, family: int
) -> None:
    """A connection through the kernel's own VXLAN: its SYN is what the dropped packet carries."""
    near, far = TUNNELS[family]
    wire.client.run(
        *("ip", "link", "add", "vx0", "type", "vxlan", "id", "77", "dstport", "8472"),
        *("local", ADDRESSES[4][0], "remote", ADDRESSES[4][1], "dev", wire.client.device),
    )
    try:
        wire.client.sysctl("net/ipv6/conf/vx0/router_solicitations", "0")
        wire.client.run("ip", "link", "set", "vx0", "up")
        wire.client.run(
            "ip",
            "addr",
            "add",
            f"{near}/{24 if family == 4 else 64}",
            "dev",
            "vx0",
            *(("nodad",) * (family == 6)),
        )
        wire.client.run("ip", "neigh", "add", far, "lladdr", "02:00:00:00:00:07", "dev", "vx0")
        with contextlib.closing(wire.client.socket(family)) as client:
            client.setblocking(False)
            client.connect_ex((far, 8080))
            port = client.getsockname()[1]
            event = watch.first(
                lambda event: event.inner is not None and event.inner.destination == far, "the SYN inside"
            )
    finally:
        wire.client.run("ip", "link", "del", "vx0")
    assert event.inner is not None
    assert (event.source, event.destination, event.destination_port) == (*ADDRESSES[4], 8472)
    assert ends(event.inner) == (near, port, far, 8080)
    assert (event.inner.tunnel, event.inner.id, event.inner.tcp_flags) == ("VXLAN", 77, SYN)
