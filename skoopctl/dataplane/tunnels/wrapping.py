"""Making and opening outer packets, for every kind of tunnel alike.

Sources: net/ipv4/ip_tunnel_core.c (iptunnel_xmit), net/ipv4/udp_tunnel_core.c (udp_tunnel_dst_lookup),
net/core/skbuff.c (skb_scrub_packet: the mark stays unless the packet changes its namespace).
"""

from __future__ import annotations

from skoopctl.dataplane import mtu
from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.moves import Arrive, Decapsulate, Encapsulate, Move, Send
from skoopctl.dataplane.packet import Packet, Unreachable, Wrapping
from skoopctl.dataplane.routes.routing import Answer
from skoopctl.dataplane.routes.size import of_answer
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.dataplane.tunnels import TUNNELS
from skoopctl.dataplane.tunnels.far_ends import holder, make_outer
from skoopctl.dataplane.tunnels.registry import Sending, Stop, taker, underlay
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType

MAX_DEPTH = 8
"""A packet inside of more tunnels than this is dropped (net/core/dev.h: XMIT_RECURSION_LIMIT)."""


def encapsulate(journey: Journey, move: Encapsulate) -> Ending | Move:
    """Wrap the packet for the remote that its tunnel names, and send the outer one."""
    netns, link, packet = move.netns, move.link, move.packet
    topology = journey.topology
    station = Station(netns, link)
    below = underlay(topology, station)
    if below is None:
        reason = f"the outer packets of {link.name} are sent in a namespace that was not collected"
        return _stopped(
            journey, netns, link, packet, Stop(Disposition.UNKNOWN, reason, "evidence-incomplete")
        )
    found = TUNNELS[link.kind].remotes(
        Sending(topology, netns, link, packet, move.mac, move.next_hop, journey.world.endpoints)
    )
    if isinstance(found, Stop):
        return _stopped(journey, netns, link, packet, found)
    remote = found[0] if len(found) == 1 else holder(topology, station, below, found, packet, move.mac)
    outer, answer = make_outer(topology, station, below, remote, packet, move.mac)
    if journey.depth >= MAX_DEPTH or _leads_into(answer, below, station):
        return _circular(journey, netns, link, packet, outer)
    mtu.at_tunnel(journey, station, packet, remote, of_answer(below, answer))
    journey.depth += 1
    journey.step(StepKind.ENCAPSULATE, netns, link, remote.words, outer, evidence=remote.evidence)
    return Send(below, outer, remote.oif)


def _leads_into(answer: Answer, below: NetNamespace, station: Station) -> bool:
    """Tell whether the way to the remote leads over the tunnel itself (-ELOOP in every tunnel's xmit)."""
    if below.inode != station.netns.inode or answer.type is not RouteType.UNICAST or not answer.hops:
        return False
    return all(hop.index == station.link.index for hop in answer.hops)


def _circular(journey: Journey, netns: NetNamespace, link: Link, packet: Packet, outer: Packet) -> Ending:
    remote = outer.address(outer.destination)
    reason = f"the route to {remote}, where {link.name} sends to, leads over {link.name} itself"
    if journey.depth >= MAX_DEPTH:
        reason = f"the packet is inside of {journey.depth} tunnels already: the tunnels lead over each other"
    stop = Stop(Disposition.LOOP, reason, "tunnel-loop")
    return _stopped(journey, netns, link, packet, stop)


def _stopped(journey: Journey, netns: NetNamespace, link: Link, packet: Packet, stop: Stop) -> Ending:
    return journey.end(
        stop.disposition,
        netns,
        packet,
        stop.reason,
        cause=stop.cause,
        link=link,
        evidence=stop.evidence,
        error=stop.error,
        kind=StepKind.ENCAPSULATE,
    )


def decapsulate(journey: Journey, move: Decapsulate) -> Ending | Move:
    """Take the cargo out at the device that takes it, and receive it there."""
    netns, outer = move.netns, move.packet
    inner, wrapping = outer.inner, outer.wrapping
    assert inner is not None  # noqa: S101 - the caller looked
    assert wrapping is not None  # noqa: S101 - who has an inner packet has been wrapped
    tunnel = TUNNELS[wrapping.kind]
    device = taker(journey.topology, netns, tunnel, outer)
    if device is None:
        return _nobody(journey, move, wrapping)
    refused = tunnel.admits(device, outer, inner)
    if refused is not None:
        return journey.end(
            refused.disposition,
            netns,
            outer,
            refused.reason,
            cause=refused.cause,
            link=device.link,
            evidence=refused.evidence,
            kind=StepKind.DECAPSULATE,
        )
    if wrapping.sender:
        place = device.key, device.link.index, wrapping.sender
        journey.world.endpoints[place] = outer.family, outer.source, outer.source_ports.low
    journey.depth -= 1
    mtu.out_of_tunnel(journey, wrapping.overhead)
    cargo = inner.copy()
    keeps = tunnel.keeps_mark and device.netns.inode == netns.inode
    cargo.mark = outer.mark if keeps else 0
    cargo.realms = 0
    cargo.tracking, cargo.untracked, cargo.zone, cargo.ipvs = None, False, 0, outer.ipvs
    number = f" {wrapping.number}" if wrapping.number >= 0 else ""
    journey.step(
        StepKind.DECAPSULATE, device.netns, device.link, f"{wrapping.tunnel}{number} unwrapped", cargo
    )
    return Arrive(device.netns, device.link, cargo, wrapping.mac)


def _nobody(journey: Journey, move: Decapsulate, wrapping: Wrapping) -> Ending:
    """Nothing takes the outer packet: an error goes to the tunnel's sender, and nobody else hears of it."""
    outer = move.packet
    what = f"{wrapping.tunnel} device"
    if outer.protocol == 17:
        what += f" for VNI {wrapping.number}" if wrapping.number >= 0 else ""
        reason = f"no {what} listens on UDP port {outer.destination_ports.low}"
    else:
        key = f" with key {wrapping.number}" if wrapping.number >= 0 else ""
        reason = f"no {what}{key} takes packets from {outer.address(outer.source)}"
    return journey.end(
        Disposition.REFUSED,
        move.netns,
        outer,
        reason,
        cause="tunnel-not-listening",
        link=move.link,
        error=Unreachable.PORT,
        kind=StepKind.DECAPSULATE,
    )
