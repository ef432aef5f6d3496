"""Frames through devices on top of others: VLAN, macvlan, ipvlan, bond and team.

Sources: net/core/dev.c (__netif_receive_skb_core), net/8021q/vlan_dev.c, drivers/net/macvlan.c
(macvlan_handle_frame, macvlan_queue_xmit), drivers/net/ipvlan/ipvlan_core.c (ipvlan_xmit_mode_l2,
ipvlan_xmit_mode_l3, ipvlan_handle_mode_l3), drivers/net/bonding/bond_main.c.
"""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.frames.stacking import UNITS, ipvlans, macvlans, siblings, uppers, vlan_device
from skoopctl.dataplane.journey import Ending, Journey, link_evidence
from skoopctl.dataplane.moves import Arrive, LeaveHost, Move, Send
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.topology import IPVLANS, MACVLANS, Station
from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.kernel.link import SharedMode

Transmit = Callable[[Journey, Station, Packet, str, int], Ending | Move]
"""Hands a frame for a MAC and a next hop to a device."""


def send_down(
    journey: Journey, station: Station, packet: Packet, mac: str, next_hop: int, transmit: Transmit
) -> Ending | Move:
    """Send a frame by the device below."""
    link = station.link
    if link.kind in UNITS:
        return _by_member(journey, station, packet, mac, next_hop, transmit)
    if link.kind in IPVLANS:
        near = _ipvlan_near(journey, station, packet, mac)
        if near is not None:
            return near
    if link.vlan is not None:
        if packet.vlan:
            return _undecided(journey, station, packet, f"{link.name} tags a frame that has a tag already")
        packet.vlan = link.vlan.id
    elif link.kind in MACVLANS:
        for other in siblings(journey.topology, station):
            if other.link.mac == mac:
                journey.step(
                    StepKind.TRANSMIT, station.netns, link, f"to {other.link.name} beside it", packet
                )
                _enter(station, other, packet)
                return Arrive(other.netns, other.link, packet, mac)
    below = journey.topology.lower(station)
    if below is None:
        return LeaveHost(station, packet, mac, next_hop)
    tagged = f", as VLAN {packet.vlan}" if link.vlan is not None else ""
    journey.step(StepKind.TRANSMIT, station.netns, link, f"by {below.link.name}{tagged}", packet)
    _enter(station, below, packet)
    return transmit(journey, below, packet, mac, next_hop)


def _to_sibling(journey: Journey, station: Station, other: Station, packet: Packet, mac: str) -> Move:
    decision = f"to {other.link.name} beside it"
    journey.step(StepKind.TRANSMIT, station.netns, station.link, decision, packet)
    _enter(station, other, packet)
    return Arrive(other.netns, other.link, packet, mac)


def _enter(here: Station, there: Station, packet: Packet) -> None:
    """Forget what belongs to a namespace when a frame goes into another (skb_scrub_packet)."""
    if here.key != there.key:
        packet.mark, packet.tracking, packet.untracked, packet.zone = 0, None, False, 0


def _by_member(
    journey: Journey, station: Station, packet: Packet, mac: str, next_hop: int, transmit: Transmit
) -> Ending | Move:
    """A bond is one device to the network: which of its members sends matters only if they are joined here."""
    members = [m for m in journey.topology.ports(station) if m.link.up]
    active = station.link.bond.active if station.link.bond is not None else 0
    chosen = [m for m in members if m.link.index == active] or members
    if not members:
        name = station.link.name
        return journey.end(
            Disposition.DROPPED,
            station.netns,
            packet,
            f"no member of {name} is up",
            cause="link-down",
            link=station.link,
            evidence=(link_evidence(station.netns, station.link),),
        )
    if journey.topology.peer(chosen[0]) is None:
        return LeaveHost(station, packet, mac, next_hop)
    return transmit(journey, chosen[0], packet, mac, next_hop)


def _ipvlan_near(journey: Journey, station: Station, packet: Packet, mac: str) -> Ending | Move | None:
    """Deliver to another ipvlan on the same device, by its IP address; route the rest of l3 in the host."""
    link = station.link
    below = journey.topology.lower(station)
    if link.shared is None or link.ipvlan_flags or below is None:
        return _undecided(
            journey, station, packet, f"{link.name} is an ipvlan whose mode was not read or is private"
        )
    for other in ipvlans(journey.topology, below):
        holds = journey.topology.router(other.netns).addresses.holds(
            packet.destination, packet.family, other.link.index
        )
        if holds and other != station:
            journey.step(StepKind.TRANSMIT, station.netns, link, f"to {other.link.name} beside it", packet)
            _enter(station, other, packet)
            return Arrive(other.netns, other.link, packet, other.link.mac)
    if link.shared is SharedMode.L2:
        if mac == link.mac:  # all of them share one MAC: what is for it and no ipvlan's is the host's own
            _enter(station, below, packet)
            return Arrive(below.netns, below.link, packet, mac)
        return None
    journey.step(StepKind.TRANSMIT, station.netns, link, f"routed by {below.link.name}'s namespace", packet)
    _enter(station, below, packet)
    return Send(below.netns, packet, below.link.index)


def _holds(journey: Journey, station: Station, packet: Packet) -> bool:
    """Tell whether an ipvlan has the packet's destination, by which frames are given out."""
    addresses = journey.topology.router(station.netns).addresses
    return addresses.holds(packet.destination, packet.family, station.link.index)


def taken(journey: Journey, station: Station, packet: Packet, mac: str) -> Ending | Move | None:
    """Give a received frame to the device on top that takes it; None: it goes on in this one."""
    topology, link = journey.topology, station.link
    if packet.vlan:
        above = vlan_device(topology, station, packet.vlan)
        if above is not None:
            packet.vlan = 0
            return Arrive(above.netns, above.link, packet, above.link.mac if mac == link.mac else mac)
    found = _by_upper(journey, station, packet, mac) if uppers(topology, station) else None
    if found is not None or not link.master:
        return found
    master = topology.master(station)
    if master is not None and master.link.kind in UNITS:
        return Arrive(master.netns, master.link, packet, mac)
    return None


def _by_upper(journey: Journey, station: Station, packet: Packet, mac: str) -> Ending | Move | None:
    """Give a frame to the macvlan that has its address, or the ipvlan that has the packet's."""
    topology = journey.topology
    for upper in macvlans(topology, station):
        if upper.link.shared is SharedMode.SOURCE:
            return _undecided(journey, station, packet, f"{upper.link.name} picks frames by their source MAC")
        if upper.link.shared is SharedMode.PASSTHRU or (mac and upper.link.mac == mac):
            return Arrive(upper.netns, upper.link, packet, mac)
    for upper in ipvlans(topology, station):
        if _holds(journey, upper, packet):
            if upper.link.shared is SharedMode.L3S:
                return _undecided(journey, station, packet, f"{upper.link.name} is an ipvlan in mode l3s")
            return Arrive(upper.netns, upper.link, packet, upper.link.mac)
    return None


def _undecided(journey: Journey, station: Station, packet: Packet, reason: str) -> Ending:
    text = f"{reason}, which the walk does not follow"
    return journey.end(
        Disposition.UNKNOWN, station.netns, packet, text, link=station.link, cause="not-decided"
    )


# --- devices where a packet ends ----------------------------------------------------------------------------

_UNSEEN = {
    "netkit": "is a netkit device, whose BPF program decides",
    "ifb": "is an ifb device, which tc programs feed and empty",
    "nlmon": "is an nlmon device",
}


def ends_here(journey: Journey, station: Station, packet: Packet) -> Ending | None:
    """End at a device that leads nowhere, or to a place that nobody can see."""
    link = station.link
    if link.kind == "dummy":
        return journey.end(
            Disposition.DROPPED,
            station.netns,
            packet,
            f"{link.name} is a dummy device: it swallows what is sent out of it",
            cause="dummy-device",
            link=link,
            evidence=(link_evidence(station.netns, link),),
        )
    if link.kind in _UNSEEN:
        return _undecided(journey, station, packet, f"{link.name} {_UNSEEN[link.kind]}")
    return None
