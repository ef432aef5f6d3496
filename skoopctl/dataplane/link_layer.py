"""From an IP next hop to the device at the other end: neighbours, frames, and the network between hosts.

Sources: net/ipv4/ip_output.c (ip_finish_output2), arp.c (arp_process), drivers/net/veth.c.
"""

from __future__ import annotations

from skoopctl.dataplane.arp import Resolution, neighbour_evidence, resolve
from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.hooks import pass_device_chains
from skoopctl.dataplane.journey import Ending, Journey, link_evidence
from skoopctl.dataplane.moves import (
    Arrive,
    Cross,
    Encapsulate,
    IntoBridge,
    LeaveHost,
    Move,
    OutOfBridge,
    Output,
    Receive,
)
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.topology import INVISIBLE_TUNNELS, Station
from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


def output(journey: Journey, move: Output) -> Ending | Move:
    """Send a packet to its next hop on a device."""
    netns, link, packet, next_hop = move.netns, move.link, move.packet, move.next_hop
    if not link.up:
        return _down(journey, netns, link, packet)
    if link.kind in INVISIBLE_TUNNELS:
        reason = f"{link.name} is a {link.kind} device, which the walk does not follow"
        return journey.end(Disposition.UNKNOWN, netns, packet, reason, link=link, cause="not-decided")
    ended = _opaque(journey, netns, link, packet, "out of") or pass_device_chains(
        journey, netns, packet, "netdev", "egress", out_link=link
    )
    if ended is not None:
        return ended
    station = Station(netns, link)
    found = resolve(journey.topology, station, next_hop, packet.family)
    if found is None:
        return _unreachable(journey, netns, link, packet, next_hop)
    mac = found.mac or "an unseen MAC"
    decision = f"{packet.address(next_hop)} is at {mac}"
    journey.step(StepKind.NEIGHBOUR, netns, link, decision, packet, evidence=found.evidence)
    return _transmit(journey, station, packet, found, next_hop)


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
    return journey.end(
        Disposition.HOST_UNREACHABLE,
        netns,
        packet,
        f"nobody answers for {target} on {link.name}",
        cause="neighbour-unreachable",
        link=link,
        evidence=evidence,
        error=Unreachable.HOST,
        kind=StepKind.NEIGHBOUR,
    )


def _transmit(journey: Journey, station: Station, packet: Packet, found: Resolution, next_hop: int) -> Move:
    """Hand a frame to the device."""
    netns, link = station.netns, station.link
    if link.kind == "bridge":
        return OutOfBridge(station, packet, found.mac, next_hop)
    if link.vxlan is not None:
        return Encapsulate(netns, link, packet, found.mac)
    peer = journey.topology.peer(station)
    if peer is not None:
        return Cross(station, peer, packet, found.mac)
    return LeaveHost(station, packet, found.mac, next_hop)


def cross(journey: Journey, move: Cross) -> Move:
    """Cross a veth pair: conntrack's view ends here, and the mark too when the namespace changes."""
    station, peer, packet, mac = move.station, move.peer, move.packet, move.mac
    there = journey.topology.label(peer.netns)
    decision = f"to {peer.link.name} in {there}"
    journey.step(StepKind.TRANSMIT, station.netns, station.link, decision, packet)
    if station.key != peer.key:
        packet.mark = 0
    return Arrive(peer.netns, peer.link, packet, mac)


def arrive(journey: Journey, move: Arrive) -> Ending | Move:
    """Take a frame in on a device (__netif_receive_skb_core): programs, ingress chains, bridge, IP."""
    netns, link, packet, mac = move.netns, move.link, move.packet, move.mac
    packet.tracking, packet.untracked, packet.zone, packet.bridge_port = None, False, 0, 0
    if not link.up:
        return _down(journey, netns, link, packet)
    ended = _opaque(journey, netns, link, packet, "into") or pass_device_chains(
        journey, netns, packet, "netdev", "ingress", in_link=link
    )
    if ended is not None:
        return ended
    station = Station(netns, link)
    if (
        link.master
        and (bridge := journey.topology.master(station)) is not None
        and bridge.link.kind == "bridge"
    ):
        return IntoBridge(station, bridge, packet, mac)
    if mac and link.mac and mac != link.mac and not link.promiscuous:
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
    owners = journey.topology.underlay_owners(next_hop, station.key)
    if not owners and next_hop in journey.world.uncollected:
        name = journey.world.uncollected[next_hop]
        reason = f"{name} ({packet.address(next_hop)}) was not collected"
        return journey.end(Disposition.UNKNOWN, netns, packet, reason, link=link, cause="node-not-collected")
    if not owners and packet.destination != next_hop:
        owners = journey.topology.underlay_owners(packet.destination, station.key)
        if owners:
            gateway = packet.address(next_hop)
            journey.world.assume(f"the gateway {gateway} was not collected; it is taken to forward")
        elif packet.destination in journey.world.uncollected:
            name = journey.world.uncollected[packet.destination]
            reason = f"{name} was not collected"
            return journey.end(
                Disposition.UNKNOWN, netns, packet, reason, link=link, cause="node-not-collected"
            )
    lacking = journey.topology.deviceless_owner(packet.destination) if not owners else None
    if lacking is not None:
        target = packet.address(packet.destination)
        reason = f"{lacking.host} has {target}, but the device that holds it could not be read"
        return journey.end(Disposition.UNKNOWN, netns, packet, reason, link=link, cause="evidence-incomplete")
    if not owners and packet.inner is not None:
        # A tunnel ends at a node: this one is not among the collected, and what it does is not known.
        remote = packet.address(packet.destination)
        reason = f"the tunnel ends at {remote}, and no host with that address was collected"
        return journey.end(Disposition.UNKNOWN, netns, packet, reason, link=link, cause="node-not-collected")
    if not owners:
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
            ending.doubt = (
                f"whether anybody has {packet.address(next_hop)} on {link.name} of {netns.host} is not known"
            )
        return ending
    options = tuple((f"{o.netns.host} {o.link.name}", 1.0) for o in owners)
    index = 0
    if len(owners) > 1:
        reason = f"{packet.address(next_hop)} is held by several hosts"
        key = ("owner", next_hop)
        index = journey.world.choices.pick(ChoiceKind.UNKNOWN, reason, options, key=key)
    owner = owners[index]
    journey.step(StepKind.TRANSMIT, netns, link, f"over the underlay to {owner.netns.host}", packet)
    journey.world.assume("the network between the hosts delivers what is sent on it (it was not looked at)")
    packet.mark = 0
    return Arrive(owner.netns, owner.link, packet, mac or owner.link.mac)


def _opaque(
    journey: Journey, netns: NetNamespace, link: Link, packet: Packet, direction: str
) -> Ending | None:
    """A tc or XDP program on the device may do anything: said by name, never guessed."""
    programs = []
    if link.xdp and direction == "into":
        programs.append("an XDP program")
    if link.index in netns.tc_devices:
        programs.append("a tc filter or program")
    if not programs:
        return None
    reason = f"{' and '.join(programs)} on {link.name} of {netns.host} decides, and was not read"
    if journey.world.choices.unknown(reason, key=("opaque", netns.host, netns.inode, link.index, direction)):
        return None
    return journey.end(Disposition.OPAQUE, netns, packet, reason, link=link, cause="opaque-program")
