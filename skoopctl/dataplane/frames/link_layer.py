"""From an IP next hop to the device at the other end: neighbours, frames, and the network between hosts.

Sources: net/ipv4/ip_output.c (ip_finish_output2), arp.c (arp_process), drivers/net/veth.c.
"""

from __future__ import annotations

from skoopctl.dataplane import mtu
from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.frames.arp import Answerer, neighbour_evidence, resolve, what_stops
from skoopctl.dataplane.frames.segment import Block
from skoopctl.dataplane.frames.stacked import ends_here, send_down, taken
from skoopctl.dataplane.frames.stacking import UNITS, bottom, shares_wire
from skoopctl.dataplane.frames.vlans import membership_text
from skoopctl.dataplane.hooks import pass_device_chains
from skoopctl.dataplane.journey import Ending, Journey, link_evidence, sysctl_evidence
from skoopctl.dataplane.moves import (
    Arrive,
    Ask,
    Cross,
    Encapsulate,
    IntoBridge,
    LeaveHost,
    Move,
    OutOfBridge,
    Output,
    Receive,
    Transmit,
)
from skoopctl.dataplane.opaque import at_device
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.topology import STACKED, Station
from skoopctl.dataplane.trace import Disposition, Evidence, StepKind
from skoopctl.dataplane.tunnels import TUNNELS, unfollowed
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


def output(journey: Journey, move: Output) -> Ending | Move:
    """Send a packet to its next hop on a device."""
    netns, link, packet, next_hop = move.netns, move.link, move.packet, move.next_hop
    if not link.up:
        return _down(journey, netns, link, packet)
    stop = unfollowed(link)
    if stop is not None:
        return journey.end(stop.disposition, netns, packet, stop.reason, link=link, cause=stop.cause)
    ended = ends_here(journey, Station(netns, link), packet)
    if ended is not None:
        return ended
    ended = at_device(journey, netns, link, packet, "out of") or pass_device_chains(
        journey, netns, packet, "netdev", "egress", out_link=link
    )
    if ended is not None:
        return ended
    station = Station(netns, link)
    met = journey.world.met

    def pick(answers: tuple[Answerer, ...]) -> Answerer:
        names = tuple(journey.topology.label(a.station.netns) for a in answers if a.station is not None)
        return answers[_whose_answer(journey, station, packet.address(next_hop), names)]

    found = resolve(journey.topology, station, next_hop, packet.family, packet.source, met, pick)
    if found is None:
        return _unreachable(journey, netns, link, packet, next_hop)
    journey.world.heard.add(link.mac)
    return (Ask if found.asked is not None else Transmit)(netns, link, packet, next_hop, found)


def _whose_answer(journey: Journey, station: Station, address: str, names: tuple[str, ...]) -> int:
    """Return the place of the one whose answer counts, where several answer: a race, walked each way."""
    where = f"{station.link.name} of {journey.topology.label(station.netns)}"
    reason = f"{', '.join(names)} all answer for {address} on {where}: whose answer is heard is a race"
    options = tuple((f"{name} answers", 1.0) for name in names)
    key = ("whose answer", station.key, station.link.index, address)
    return journey.world.choices.pick(ChoiceKind.UNKNOWN, reason, options, key=key)


def transmit(journey: Journey, move: Transmit) -> Ending | Move:
    """Put a packet into a frame for its next hop, and hand that to the device."""
    netns, link, packet, next_hop, found = move.netns, move.link, move.packet, move.next_hop, move.found
    if found.mac or link.kind not in TUNNELS:
        mac = found.mac or "an unseen MAC"
        decision = f"{packet.address(next_hop)} is at {mac}"
        journey.step(StepKind.NEIGHBOUR, netns, link, decision, packet, evidence=found.evidence)
    return _transmit(journey, Station(netns, link), packet, found.mac, next_hop)


def _down(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Ending:
    """End at a device that is down: it neither sends nor receives."""
    return journey.end(
        Disposition.DROPPED,
        netns,
        packet,
        f"{link.name} is down",
        cause="link-down",
        link=link,
        evidence=(link_evidence(netns, link),),
    )


def _unreachable(journey: Journey, netns: NetNamespace, link: Link, packet: Packet, next_hop: int) -> Ending:
    """Nobody answers ARP: after its retries the kernel tells the sender host unreachable."""
    target = packet.address(next_hop)
    evidence = neighbour_evidence(netns, link, next_hop)
    if not link.carrier:
        evidence = (*evidence, link_evidence(netns, link))
    reason, cause = f"nobody answers for {target} on {link.name}", "neighbour-unreachable"
    block = what_stops(journey.topology, Station(netns, link), next_hop, packet.family, packet.source)
    if block is not None:
        reason, cause = f"{reason}: {block.reason}", block.cause
        evidence = (*evidence, _of_block(block))
    return journey.end(
        Disposition.HOST_UNREACHABLE,
        netns,
        packet,
        reason,
        cause=cause,
        link=link,
        evidence=evidence,
        error=Unreachable.HOST,
        kind=StepKind.NEIGHBOUR,
    )


def _of_block(block: Block) -> Evidence:
    """Return the line that shows what stopped a question for a neighbour."""
    netns, link = block.station.netns, block.station.link
    if block.sysctl:
        return sysctl_evidence(netns, block.sysctl)
    return link_evidence(netns, link, membership_text(link) if block.cause == "vlan-not-allowed" else "")


def _transmit(journey: Journey, station: Station, packet: Packet, mac: str, next_hop: int) -> Ending | Move:
    """Hand a frame to the device."""
    netns, link = station.netns, station.link
    packet.source_mac, packet.destination_mac = link.mac, mac
    if link.kind == "bridge":
        return OutOfBridge(station, packet, mac, next_hop)
    if link.kind in TUNNELS:
        return Encapsulate(netns, link, packet, mac, next_hop)
    if link.kind in STACKED or link.kind in UNITS:
        return send_down(journey, station, packet, mac, next_hop, _transmit_below)
    peer = journey.topology.peer(station)
    if peer is not None:
        return Cross(station, peer, packet, mac)
    return LeaveHost(station, packet, mac, next_hop)


def _transmit_below(
    journey: Journey, station: Station, packet: Packet, mac: str, next_hop: int
) -> Ending | Move:
    """Hand a frame to the device under another one."""
    netns, link = station.netns, station.link
    if not link.up:
        return _down(journey, netns, link, packet)
    ended = at_device(journey, netns, link, packet, "out of")
    return ended if ended is not None else _transmit(journey, station, packet, mac, next_hop)


def cross(journey: Journey, move: Cross) -> Move:
    """Cross a veth pair: conntrack's view ends here, and the mark too when the namespace changes."""
    station, peer, packet, mac = move.station, move.peer, move.packet, move.mac
    there = journey.topology.label(peer.netns)
    decision = f"to {peer.link.name} in {there}"
    journey.step(StepKind.TRANSMIT, station.netns, station.link, decision, packet)
    mtu.at_frame(journey, peer, packet)
    if station.key != peer.key:
        packet.mark, packet.ipvs = 0, False
    return Arrive(peer.netns, peer.link, packet, mac)


def arrive(journey: Journey, move: Arrive) -> Ending | Move:
    """Take a frame in on a device (__netif_receive_skb_core): programs, ingress chains, bridge, IP."""
    netns, link, packet, mac = move.netns, move.link, move.packet, move.mac
    packet.tracking, packet.untracked, packet.bridge_port = None, False, 0
    packet.zone = packet.zone_reply = packet.realms = 0
    if not link.up:
        return _down(journey, netns, link, packet)
    ended = at_device(journey, netns, link, packet, "into") or pass_device_chains(
        journey, netns, packet, "netdev", "ingress", in_link=link
    )
    if ended is not None:
        return ended
    station = Station(netns, link)
    above = taken(journey, station, packet, mac)
    if above is not None:
        return above
    if (
        link.master
        and (bridge := journey.topology.master(station)) is not None
        and bridge.link.kind == "bridge"
    ):
        return IntoBridge(station, bridge, packet, mac)
    if packet.vlan:
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            f"the frame is tagged VLAN {packet.vlan}, and {link.name} has no device for that",
            cause="vlan-not-allowed",
            link=link,
            evidence=(link_evidence(netns, link),),
        )
    # A promiscuous device sees frames for others too, but IP does not take them (ip_rcv_core).
    if mac and link.mac and mac != link.mac:
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            f"the frame is addressed to {mac}, {link.name} is {link.mac}: it is for somebody else",
            cause="wrong-mac",
            link=link,
            evidence=(link_evidence(netns, link, f"{link.name} link/ether {link.mac}"),),
        )
    return Receive(netns, link, packet)


def leave_host(journey: Journey, move: LeaveHost) -> Ending | Move:
    """Cross the network between the hosts, which nobody can see: it is taken to deliver."""
    station, packet, mac, next_hop = move.station, move.packet, move.mac, move.next_hop
    netns, link = station.netns, station.link
    beside = [o for o in journey.topology.owners(next_hop) if shares_wire(journey.topology, station, o)]
    if beside:
        return _same_wire(journey, station, beside[0], packet)
    owners = _owners(journey, station, packet, next_hop)
    if isinstance(owners, str):
        return journey.end(Disposition.UNKNOWN, netns, packet, owners, link=link, cause="node-not-collected")
    if not owners:
        return _exit(journey, station, packet, mac, next_hop)
    options = tuple((f"{o.netns.host} {o.link.name}", 1.0) for o in owners)
    index = 0
    if len(owners) > 1:
        reason = f"{packet.address(next_hop)} is held by several hosts"
        key = ("owner", next_hop)
        index = journey.world.choices.pick(ChoiceKind.UNKNOWN, reason, options, key=key)
    owner = owners[index]
    journey.step(StepKind.TRANSMIT, netns, link, f"over the underlay to {owner.netns.host}", packet)
    journey.world.assume("the network between the hosts delivers what is sent on it (it was not looked at)")
    mtu.at_underlay(journey, owner, packet)
    packet.mark, packet.ipvs = 0, False
    mac = mac or owner.link.mac
    if owner.link.kind not in STACKED:
        packet.vlan = 0
        return Arrive(owner.netns, owner.link, packet, mac)
    lowest, packet.vlan = bottom(journey.topology, owner)
    return Arrive(lowest.netns, lowest.link, packet, mac)


def _owners(journey: Journey, station: Station, packet: Packet, next_hop: int) -> list[Station] | str:
    """Return the devices that a frame may be for, on other hosts, or why they are not known."""
    topology, missing = journey.topology, journey.world.uncollected
    owners = topology.underlay_owners(next_hop, station.key)
    if owners:
        return owners
    if next_hop in missing:
        return f"{missing[next_hop]} ({packet.address(next_hop)}) was not collected"
    if packet.destination != next_hop:
        owners = topology.underlay_owners(packet.destination, station.key)
        if owners:
            gateway = packet.address(next_hop)
            journey.world.assume(f"the gateway {gateway} was not collected; it is taken to forward")
            return owners
        if packet.destination in missing:
            return f"{missing[packet.destination]} was not collected"
    lacking = topology.deviceless_owner(packet.destination)
    if lacking is not None:
        target = packet.address(packet.destination)
        return f"{lacking.host} has {target}, but the device that holds it could not be read"
    if packet.inner is not None:
        # A tunnel ends at a node: this one is not among the collected, and what it does is not known.
        remote = packet.address(packet.destination)
        return f"the tunnel ends at {remote}, and no host with that address was collected"
    return []


def _exit(journey: Journey, station: Station, packet: Packet, mac: str, next_hop: int) -> Ending:
    """Leave what was collected."""
    netns, link = station.netns, station.link
    target = packet.address(packet.destination)
    ending = journey.end(
        Disposition.EXITS_CLUSTER,
        netns,
        packet,
        f"leaves what was collected on {link.name}, for {target}",
        link=link,
        kind=StepKind.TRANSMIT,
    )
    if not mac:
        target = packet.address(next_hop)
        ending.doubt = f"whether anybody has {target} on {link.name} of {netns.host} is not known"
    return ending


def _same_wire(journey: Journey, station: Station, owner: Station, packet: Packet) -> Ending:
    """A macvlan and its lower device, or two that are not in bridge mode, meet only in a switch that reflects."""
    names = f"{station.link.name} and {owner.link.name}"
    return journey.end(
        Disposition.DROPPED,
        station.netns,
        packet,
        f"{names} leave by the same device: a switch does not send a frame back to where it came from",
        cause="same-wire",
        link=station.link,
        evidence=(link_evidence(owner.netns, owner.link),),
        kind=StepKind.TRANSMIT,
    )
