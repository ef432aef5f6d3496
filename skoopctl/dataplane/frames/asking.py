"""The question for a neighbour's MAC address, and its answer, as frames that rules on their way may drop.

IPv6 asks with ICMPv6, which meets ip6tables and nft like any packet: a host that drops ICMPv6 in INPUT is
unreachable for everybody who does not know its MAC address yet, and so is one behind a bridge that drops it. ARP
meets only nft's chains of the families netdev and bridge. Where either is lost, the one who asked hears that the
host is unreachable, whatever rule would have met the packet itself.

Sources: net/ipv6/ndisc.c (ndisc_solicit, ndisc_send_skb, ndisc_recv_ns, ndisc_recv_na), net/ipv4/arp.c
(arp_solicit, arp_process), net/bridge/br_netfilter_hooks.c (br_nf_pre_routing, br_nf_forward_ip: ARP is let
through), net/netfilter/nft_chain_filter.c (nft_do_chain_bridge; nft_do_chain_inet_ingress: IP only).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from skoopctl.dataplane.frames.arp import Resolution
from skoopctl.dataplane.frames.bridging import calls_netfilter
from skoopctl.dataplane.frames.segment import Crossing, Place, Way
from skoopctl.dataplane.hooks import pass_device_chains, pass_hook
from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.moves import Ask, Move, Resend, Transmit
from skoopctl.dataplane.packet import ArpOperation, Packet, Unreachable
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.dataplane.tunnels.far_ends import outer_to

SOLICITATION, ADVERTISEMENT = 135, 136
_SOLICITED_NODES = 0xFF02 << 112 | 0x1FF000000
_LOW_24 = 0xFFFFFF
_ND_HOP_LIMIT = 255
_BROADCAST = "ff:ff:ff:ff:ff:ff"

Carry = Callable[[Journey, Move], Ending | None]
"""Takes an outer packet to where its tunnel ends, and returns how it ended before that, if it did."""
_Pass = Callable[[], Ending | Resend | None]


@dataclass(frozen=True, slots=True)
class _Leg:
    """A question or an answer: its name for people, the packet, who sends and gets it, and the way between.

    ``mac`` is the MAC address that it is sent to ('' for all).
    """

    word: str
    packet: Packet
    sender: Station | None
    receiver: Station | None
    way: Way
    mac: str = ""


def ask(journey: Journey, move: Ask, carry: Carry) -> Ending | Move:
    """Ask for a neighbour that the table does not know; the packet ends when the question or its answer is lost.

    A neighbour outside of what was collected is asked too: its own firewall is not seen. Once the question has
    arrived, the neighbour knows who asked (neigh_event_ns, ndisc_recv_ns).
    """
    found, packet, next_hop = move.found, move.packet, move.next_hop
    station, answerer = Station(move.netns, move.link), found.asked
    assert answerer is not None  # noqa: S101 - else there is nothing to ask
    journey.world.heard.add(found.mac)
    there, back = _legs(packet.family, station, found, next_hop)
    stopped = _travels(journey, there, carry) if found.sender or packet.family == 4 else None
    if stopped is None:
        if answerer.station is not None:
            other = answerer.station
            journey.world.met[other.key, other.link.index, found.sender] = station.link.mac
        stopped = _travels(journey, back, carry)
    if stopped is None:
        return Transmit(move.netns, move.link, packet, next_hop, found)
    return _unreachable(journey, station, packet, next_hop, stopped)


def _legs(family: int, station: Station, found: Resolution, target: int) -> tuple[_Leg, _Leg]:
    assert found.asked is not None  # noqa: S101 - the caller looked
    other, there, back = found.asked.station, found.asked.there, found.asked.back
    if family == 4:
        request = _arp(found.sender, target, ArpOperation.REQUEST, (station.link.mac, _BROADCAST))
        reply = _arp(target, found.sender, ArpOperation.REPLY, (found.mac, station.link.mac))
        return (
            _Leg("ARP request", request, station, other, there),
            _Leg("ARP reply", reply, other, station, back, station.link.mac),
        )
    group = _SOLICITED_NODES | target & _LOW_24
    asks, answers = (station.link.mac, _multicast(group)), (found.mac, station.link.mac)
    solicitation = _icmp6(found.sender, group, SOLICITATION, asks)
    advertisement = _icmp6(target, found.sender, ADVERTISEMENT, answers)
    return (
        _Leg("neighbour solicitation", solicitation, station, other, there),
        _Leg("neighbour advertisement", advertisement, other, station, back, station.link.mac),
    )


def _multicast(group: int) -> str:
    """Return the MAC address of a multicast group (RFC 2464, 7: 33:33 and its last four bytes)."""
    return ":".join(("33", "33", *(f"{byte:02x}" for byte in (group & 0xFFFFFFFF).to_bytes(4, "big"))))


def _arp(source: int, destination: int, operation: ArpOperation, macs: tuple[str, str]) -> Packet:
    packet = Packet(4, source, destination, 0, arp=operation)
    packet.source_mac, packet.destination_mac = macs
    return packet


def _icmp6(source: int, destination: int, kind: int, macs: tuple[str, str]) -> Packet:
    packet = Packet(6, source, destination, 58, icmp_type=kind, ttl=_ND_HOP_LIMIT)
    packet.source_mac, packet.destination_mac = macs
    return packet


def _travels(journey: Journey, leg: _Leg, carry: Carry) -> tuple[str, Ending, Journey] | None:
    """Send a question or an answer past all rules; return where it ended, or None when it arrives."""
    scratch = Journey(journey.world, leg.word, depth=journey.depth)
    for pass_one in (*_born(scratch, leg), *_crossings(scratch, leg, carry), *_received(scratch, leg)):
        ended = pass_one()
        if isinstance(ended, Ending):
            return leg.word, ended, scratch
    return None


def _born(scratch: Journey, leg: _Leg) -> Iterator[_Pass]:
    """IPv6's packets are sent like any other (ndisc_send_skb); ARP goes to the device at once."""
    packet, sender = leg.packet, leg.sender
    if sender is None or packet.family != 6:
        return
    netns, link = sender.netns, sender.link
    packet.birthplace = sender.key
    yield lambda: pass_hook(scratch, netns, packet, Hook.OUTPUT, out_link=link)
    yield lambda: pass_hook(scratch, netns, packet, Hook.POSTROUTING, out_link=link)


def _received(scratch: Journey, leg: _Leg) -> Iterator[_Pass]:
    packet, receiver = leg.packet, leg.receiver
    if receiver is None or packet.family != 6:
        return
    netns, link = receiver.netns, receiver.link
    up = next((c for c in reversed(leg.way) if c.place is Place.UP), None)
    here = up is not None and up.bridge is not None and up.bridge == receiver
    if not (here and _filtered(up, packet)):
        yield lambda: pass_hook(scratch, netns, packet, Hook.PREROUTING, in_link=link)
    yield lambda: pass_hook(scratch, netns, packet, Hook.INPUT, in_link=link)
    yield lambda: _hop_limit(scratch, packet, receiver)


def _hop_limit(scratch: Journey, packet: Packet, receiver: Station) -> Ending | None:
    """What a rule has given another hop limit is taken to come from another network (ndisc_rcv)."""
    if packet.ttl == _ND_HOP_LIMIT:
        return None
    reason = f"ignored, because a rule has set its hop limit to {packet.ttl}"
    return scratch.end(Disposition.DROPPED, receiver.netns, packet, reason, link=receiver.link)


def _filtered(crossing: Crossing | None, packet: Packet) -> bool:
    """Tell whether br_netfilter shows a frame to ip6tables; arptables, which sees ARP, is not read."""
    if crossing is None or crossing.bridge is None or packet.family != 6 or packet.arp:
        return False
    return calls_netfilter(crossing.bridge.netns, crossing.bridge, packet.family, crossing.tag)


def _crossings(scratch: Journey, leg: _Leg, carry: Carry) -> Iterator[_Pass]:
    """Yield the hooks of netdev and bridge, and of IPv6 in bridges, in the order in which a frame meets them."""
    before = leg.sender
    for crossing in leg.way:
        if before is not None and crossing.station.key != before.key:
            _forget(leg.packet)
        before = crossing.station
        if crossing.place is Place.TUNNEL:
            yield partial(_over_tunnel, scratch, leg, crossing, carry)
        else:
            yield from _ON[crossing.place](scratch, leg.packet, crossing)


def _forget(packet: Packet) -> None:
    """A frame that goes into another namespace loses what the old one noted on it (skb_scrub_packet)."""
    packet.mark, packet.tracking, packet.untracked, packet.zone, packet.bridge_port = 0, None, False, 0, 0


def _out(scratch: Journey, packet: Packet, at: Crossing) -> Iterator[_Pass]:
    netns, link = at.station.netns, at.station.link
    yield lambda: pass_device_chains(scratch, netns, packet, "netdev", "egress", out_link=link)


def _in(scratch: Journey, packet: Packet, at: Crossing) -> Iterator[_Pass]:
    netns, link = at.station.netns, at.station.link
    yield lambda: pass_device_chains(scratch, netns, packet, "netdev", "ingress", in_link=link)


def _by_port(scratch: Journey, packet: Packet, at: Crossing) -> Iterator[_Pass]:
    netns, port, bridge = at.station.netns, at.station.link, at.bridge
    assert bridge is not None  # noqa: S101 - a port has its bridge
    yield lambda: pass_device_chains(scratch, netns, packet, "bridge", "prerouting", in_link=port)
    if _filtered(at, packet):
        packet.bridge_port = port.index
        yield lambda: pass_hook(scratch, netns, packet, Hook.PREROUTING, in_link=bridge.link, in_port=port)


def _up(scratch: Journey, packet: Packet, at: Crossing) -> Iterator[_Pass]:
    netns, port = at.station.netns, at.station.link
    yield lambda: pass_device_chains(scratch, netns, packet, "bridge", "input", in_link=port)


def _from_port_to_port(scratch: Journey, packet: Packet, at: Crossing) -> Iterator[_Pass]:
    netns, out, bridge, port = at.station.netns, at.station.link, at.bridge, at.other
    assert bridge is not None  # noqa: S101 - a port has its bridge
    assert port is not None  # noqa: S101 - a frame that is forwarded came in by a port
    into, over = port.link, bridge.link
    yield lambda: pass_device_chains(scratch, netns, packet, "bridge", "forward", in_link=into, out_link=out)
    if _filtered(at, packet):
        yield lambda: pass_hook(
            scratch, netns, packet, Hook.FORWARD, in_link=over, out_link=over, in_port=into, out_port=out
        )
    yield lambda: pass_device_chains(scratch, netns, packet, "bridge", "postrouting", out_link=out)
    if _filtered(at, packet):
        yield lambda: pass_hook(
            scratch, netns, packet, Hook.POSTROUTING, out_link=over, in_port=into, out_port=out
        )


def _out_of_bridge(scratch: Journey, packet: Packet, at: Crossing) -> Iterator[_Pass]:
    netns, out = at.station.netns, at.station.link
    yield lambda: pass_device_chains(scratch, netns, packet, "bridge", "output", out_link=out)
    yield lambda: pass_device_chains(scratch, netns, packet, "bridge", "postrouting", out_link=out)


def _over_tunnel(scratch: Journey, leg: _Leg, at: Crossing, carry: Carry) -> Ending | None:
    """Wrap the frame, and send the outer packet through all that it meets; outside, nobody sees it lost."""
    assert at.other is not None  # noqa: S101 - a tunnel's crossing has its far end
    outer = outer_to(scratch.topology, at.station, at.other, leg.packet, leg.mac)
    if outer is None:
        return None
    scratch.depth += 1
    ended = carry(scratch, outer)
    lost = ended is not None and ended.disposition is not Disposition.EXITS_CLUSTER
    return ended if lost else None


_ON: dict[Place, Callable[[Journey, Packet, Crossing], Iterator[_Pass]]] = {
    Place.OUT: _out,
    Place.IN: _in,
    Place.PORT: _by_port,
    Place.UP: _up,
    Place.FORWARD: _from_port_to_port,
    Place.OUTPUT: _out_of_bridge,
}


def _unreachable(
    journey: Journey,
    station: Station,
    packet: Packet,
    next_hop: int,
    stopped: tuple[str, Ending, Journey],
) -> Ending:
    word, ended, scratch = stopped
    step = scratch.steps[-1]
    place = f"{ended.netns.host} ({journey.topology.label(ended.netns)})"
    target = packet.address(next_hop)
    undecided = ended.disposition in {Disposition.UNKNOWN, Disposition.OPAQUE}
    filtered = "ndp-filtered" if packet.family == 6 else "arp-filtered"
    # What stops an outer packet stops more than questions: it is the cause by its own name.
    own = undecided or scratch.depth > journey.depth
    return journey.end(
        Disposition.UNKNOWN if undecided else Disposition.HOST_UNREACHABLE,
        station.netns,
        packet,
        f"nobody answers for {target} on {station.link.name}: the {word} is {ended.reason} on {place}",
        cause=step.cause if own else filtered,
        link=station.link,
        evidence=step.evidence,
        error=Unreachable.HOST,
        kind=StepKind.NEIGHBOUR,
        unknown=step.unknown,
    )
