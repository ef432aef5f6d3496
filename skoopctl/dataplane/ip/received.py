"""Packets that a namespace receives: PREROUTING, routing, then INPUT or FORWARD.

Sources: net/ipv4/ip_input.c (ip_rcv_finish), route.c (ip_route_input_slow, ip_error), ip_forward.c, fib_frontend.c
(fib_validate_source).
"""

from __future__ import annotations

from skoopctl.dataplane import mtu
from skoopctl.dataplane.hooks import pass_hook
from skoopctl.dataplane.ip.checks6 import refuse_to_forward, refuse_to_receive
from skoopctl.dataplane.ip.forwarding import forwarding_path, forwards
from skoopctl.dataplane.ip.leaving import leave, refuse_source
from skoopctl.dataplane.ip.lookup import (
    NO_WAY,
    ask,
    choose_hop,
    give_realms,
    look_up,
    out_device,
    record_route,
)
from skoopctl.dataplane.ip.ttl import count_down
from skoopctl.dataplane.ip.vrf import into_vrf, refused_by_sockets
from skoopctl.dataplane.journey import MAX_HOPS, NO_END, Ending, Journey, sysctl_evidence
from skoopctl.dataplane.moves import Deliver, Move, Receive, Resend
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.routes.query import Answer
from skoopctl.dataplane.routes.rule_choice import deciding
from skoopctl.dataplane.routes.source_check import (
    Refusal,
    is_broadcast,
    martian,
    sender_realms,
    source_refused,
)
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType


def receive(journey: Journey, move: Receive) -> Ending | Move:
    """Take a packet in from a device: PREROUTING, routing, then INPUT or FORWARD."""
    netns, link, packet = move.netns, move.link, move.packet
    journey.hops += 1
    if journey.hops > (NO_END if packet.ttl else MAX_HOPS):
        return journey.end(
            Disposition.LOOP,
            netns,
            packet,
            f"received {journey.hops - 1} times: a routing loop",
            link=link,
            cause="routing-loop",
        )
    if not move.looped:
        journey.step(StepKind.RECEIVE, netns, link, f"received on {link.name}", packet)
    if packet.family == 6 and (refused := refuse_to_receive(journey, netns, link, packet)) is not None:
        return refused
    if not move.prerouted:
        ended = pass_hook(journey, netns, packet, Hook.PREROUTING, in_link=link, in_port=move.in_port)
        if ended is not None:
            return ended
    if move.looped:
        return Deliver(netns, link, packet)
    device = into_vrf(journey, netns, link, packet)
    return device if isinstance(device, Ending | Resend) else _route_in(journey, netns, device, packet)


def _route_in(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Ending | Move:
    """Decide between local delivery and forwarding (ip_route_input_slow)."""
    if packet.family == 4 and not link.loopback:
        refused = martian(netns, link, packet)
        if refused is not None:
            return refuse_source(journey, netns, link, packet, refused)
    answer = ask(journey, netns, packet, iif=link)
    if answer.type is RouteType.LOCAL or _is_broadcast(answer, packet):
        broadcast = answer.type is not RouteType.LOCAL
        ended = _validate_source(journey, netns, link, packet, 0, broadcast=broadcast)
        if ended is not None:
            return ended
        record_route(journey, netns, answer, None, None, packet)
        ended = refused_by_sockets(journey, netns, link, packet)
        return Deliver(netns, link, packet) if ended is None else ended
    if packet.family == 6 and answer.type in NO_WAY:
        # ip6_route_input finds a route that discards and answers; ip6_forward, which asks, is never reached.
        return _forward(journey, netns, link, packet)
    forwarding = forwards(netns, link, packet.family)
    if forwarding is None:
        reason = f"whether {netns.host} forwards from {link.name} was not read"
        if not journey.world.choices.unknown(reason, key=("forwarding", netns.host, netns.inode, link.index)):
            return journey.end(
                Disposition.UNKNOWN, netns, packet, reason, link=link, cause="evidence-incomplete"
            )
    elif not forwarding:
        path = forwarding_path(link, packet.family)
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            f"not for this host, and forwarding is off on {link.name}",
            cause="forwarding-off",
            link=link,
            evidence=(sysctl_evidence(netns, path),),
        )
    return _forward(journey, netns, link, packet)


def _forward(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Ending | Move:
    """Route the packet on: source check, FORWARD, POSTROUTING, device."""
    answer = look_up(journey, netns, packet, iif=link)
    if isinstance(answer, Ending):
        return answer
    if answer.type is not RouteType.UNICAST:
        words = answer.type.value if answer.type is not None else "unknown"
        martian_route = Refusal("martian", f"a packet for a {words} address is not forwarded")
        return refuse_source(journey, netns, link, packet, martian_route)
    if packet.family == 6 and (refused := refuse_to_forward(journey, netns, link, packet)) is not None:
        return refused
    hop = choose_hop(journey, netns, answer, packet)
    out_link = out_device(netns, answer, hop)
    spoofed = _validate_source(journey, netns, link, packet, out_link.index if out_link else 0)
    if spoofed is not None:
        return spoofed
    record_route(journey, netns, answer, hop, out_link, packet)
    give_realms(journey, netns, packet, answer, hop, packet.realms or 0)
    expired = count_down(journey, netns, link, packet)
    if expired is not None:
        return expired
    if not packet.ttl and journey.hops >= MAX_HOPS:
        return journey.end(
            Disposition.LOOP,
            netns,
            packet,
            f"received {MAX_HOPS} times: a routing loop, and the TTL is used up",
            link=link,
            cause="routing-loop",
            error=Unreachable.TIME_EXCEEDED,
        )
    mtu.at_forwarding(journey, netns, packet, answer.route, out_link)
    ended = pass_hook(journey, netns, packet, Hook.FORWARD, in_link=link, out_link=out_link)
    if ended is not None:
        return ended
    return leave(journey, netns, packet, answer, hop, out_link, link)


def _is_broadcast(answer: Answer, packet: Packet) -> bool:
    return answer.type is RouteType.BROADCAST or (packet.family == 4 and is_broadcast(packet))


def _validate_source(
    journey: Journey, netns: NetNamespace, link: Link, packet: Packet, oif: int, *, broadcast: bool = False
) -> Ending | None:
    """Reverse path filter, and packets that claim to come from this host itself (fib_validate_source).

    A packet that passes has the realms of its sender from here on.
    """
    if packet.family != 4 or link.loopback or packet.source == 0:
        return None
    decide = deciding(journey.world.choices, netns, packet, backwards=True)
    router = journey.topology.router(netns)
    refused = source_refused(router, link, packet, oif, decide, broadcast=broadcast)
    if refused is not None and refused.doubt:
        key = ("source", netns.host, netns.inode, link.index, packet.source)
        if journey.world.choices.unknown(refused.reason, key=key):
            refused = None
    if refused is not None:
        return refuse_source(journey, netns, link, packet, refused)
    packet.realms = sender_realms(router, link, packet, oif, decide, broadcast=broadcast)
    return None
