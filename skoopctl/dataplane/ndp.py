"""Neighbour discovery as packets: a solicitation and an advertisement that firewalls of both ends may drop.

IPv6 asks for a neighbour's MAC address with ICMPv6, which meets ip6tables and nft like any packet: a host that
drops ICMPv6 in INPUT is unreachable for everybody who does not know its MAC address yet. Sources:
net/ipv6/ndisc.c (ndisc_solicit, ndisc_send_skb, ndisc_recv_ns, ndisc_recv_na), nf_conntrack_proto_icmpv6.c
(nf_conntrack_icmpv6_error: these types are untracked).
"""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.arp import Resolution
from skoopctl.dataplane.hooks import pass_device_chains, pass_hook
from skoopctl.dataplane.ip6 import is_link_local
from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.moves import Resend
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.scene import Hook
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Disposition, StepKind

SOLICITATION, ADVERTISEMENT = 135, 136
_SOLICITED_NODES = 0xFF02 << 112 | 0x1FF000000
_LOW_24 = 0xFFFFFF


def solicit(
    journey: Journey, station: Station, packet: Packet, found: Resolution, next_hop: int
) -> Ending | None:
    """Ask for a neighbour that the table does not know; return how the packet ends when a firewall is in the way.

    ``found`` is who answers as far as links and addresses go. A neighbour outside of what was collected is
    asked too: its own firewall is not seen.
    """
    if not found.asked or _has_learned(journey, station, next_hop):
        return None
    source = _source(station, packet)
    if source is None:
        return None
    target = next(
        (o for o in journey.topology.owners(next_hop) if found.mac and o.link.mac == found.mac), None
    )
    solicitation = _packet(source, _SOLICITED_NODES | next_hop & _LOW_24, SOLICITATION)
    ended = _travels(journey, solicitation, station, target)
    if ended is None:
        if target is not None:
            journey.world.learned.add((target.key, target.link.index, source))
        ended = _travels(journey, _packet(next_hop, source, ADVERTISEMENT), target, station)
    return None if ended is None else _unreachable(journey, station, packet, next_hop, ended)


def _has_learned(journey: Journey, station: Station, address: int) -> bool:
    """Tell whether the device heard that neighbour's own solicitation before: that makes an entry (NUD_STALE)."""
    return (station.key, station.link.index, address) in journey.world.learned


def _source(station: Station, packet: Packet) -> int | None:
    """Return the source of a solicitation: the packet's if the device holds it, else its link-local address."""
    own = [int(a.ip) for a in station.netns.addresses if a.index == station.link.index and a.ip.version == 6]
    if packet.source in own:
        return packet.source
    return next((address for address in own if is_link_local(address)), None)


def _packet(source: int, destination: int, kind: int) -> Packet:
    return Packet(6, source, destination, 58, icmp_type=kind, untracked=True)


def _travels(
    journey: Journey, packet: Packet, sender: Station | None, receiver: Station | None
) -> tuple[str, Ending, Journey] | None:
    """Send a discovery packet past the hooks of both ends; return where it ended, or None when it arrives."""
    word = "neighbour solicitation" if packet.icmp_type == SOLICITATION else "neighbour advertisement"
    scratch = Journey(journey.world, word, depth=journey.depth)
    for pass_one in (*_going_out(scratch, packet, sender), *_coming_in(scratch, packet, receiver)):
        ended = pass_one()
        if isinstance(ended, Ending):
            return word, ended, scratch
    return None


_Pass = Callable[[], Ending | Resend | None]


def _going_out(scratch: Journey, packet: Packet, station: Station | None) -> tuple[_Pass, ...]:
    if station is None:
        return ()
    netns, link = station.netns, station.link
    return (
        lambda: pass_hook(scratch, netns, packet, Hook.OUTPUT, out_link=link),
        lambda: pass_hook(scratch, netns, packet, Hook.POSTROUTING, out_link=link),
        lambda: pass_device_chains(scratch, netns, packet, "netdev", "egress", out_link=link),
    )


def _coming_in(scratch: Journey, packet: Packet, station: Station | None) -> tuple[_Pass, ...]:
    if station is None:
        return ()
    netns, link = station.netns, station.link
    return (
        lambda: pass_device_chains(scratch, netns, packet, "netdev", "ingress", in_link=link),
        lambda: pass_hook(scratch, netns, packet, Hook.PREROUTING, in_link=link),
        lambda: pass_hook(scratch, netns, packet, Hook.INPUT, in_link=link),
    )


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
    undecided = ended.disposition is Disposition.UNKNOWN
    return journey.end(
        Disposition.UNKNOWN if undecided else Disposition.HOST_UNREACHABLE,
        station.netns,
        packet,
        f"nobody answers for {target} on {station.link.name}: the {word} is {ended.reason} on {place}",
        cause=step.cause if undecided else "ndp-filtered",
        link=station.link,
        evidence=step.evidence,
        error=Unreachable.HOST,
        kind=StepKind.NEIGHBOUR,
        unknown=step.unknown,
    )
