"""Packets that are born in a namespace: route, source, OUTPUT.

Sources: net/ipv4/ip_output.c (__ip_queue_xmit, ip_output), route.c (ip_route_output_key_hash).
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from skoopctl.dataplane import mtu
from skoopctl.dataplane.birth import give_birth
from skoopctl.dataplane.hooks import pass_hook
from skoopctl.dataplane.ip.ipvs_tunnel import wrap
from skoopctl.dataplane.ip.leaving import leave, refuse_source
from skoopctl.dataplane.ip.lookup import (
    choose_hop,
    give_realms,
    look_up,
    out_device,
    record_route,
    route_evidence,
)
from skoopctl.dataplane.ip.vrf import answering_vrf, out_of_vrf
from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.moves import Move, Resend, Send
from skoopctl.dataplane.packet import Packet, describe
from skoopctl.dataplane.routes.query import Answer, Query
from skoopctl.dataplane.routes.source_check import (
    stays_inside,
)
from skoopctl.dataplane.rules.netfilter import has_nat
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import NextHop


def send(journey: Journey, move: Send) -> Ending | Move:
    """Send a packet that is born in the namespace: route, OUTPUT, POSTROUTING, device."""
    netns, packet = move.netns, move.packet
    oif = move.oif or answering_vrf(journey, netns, packet)
    routed = _route_out(journey, netns, packet, oif)
    if isinstance(routed, Ending):
        return routed
    answer, hop = routed
    if journey.depth == 0 and journey.origin is None:
        journey.origin = packet.tuple5
    out_link = out_device(netns, answer, hop)
    mtu.at_birth(journey, packet, answer.route, out_link)
    journey.step(StepKind.SEND, netns, None, f"sends {describe(packet)}", packet)
    record_route(journey, netns, answer, hop, out_link, packet)
    give_realms(journey, netns, packet, answer, hop)
    if (kept := stays_inside(netns, out_link, packet)) is not None:
        return refuse_source(journey, netns, out_link, packet, kept)
    give_birth(netns, packet, out_link)
    before = (packet.destination, packet.mark)
    ended = out_of_vrf(journey, netns, out_link, packet) or pass_hook(
        journey, netns, packet, Hook.OUTPUT, out_link=out_link
    )
    if ended is not None:
        return ended
    if (packet.destination, packet.mark) != before:
        again = look_up(journey, netns, packet, oif=oif)
        if isinstance(again, Ending):
            again.rerouted = True
            return again
        answer, hop = again, choose_hop(journey, netns, again, packet, born_here=True)
        out_link = out_device(netns, answer, hop)
        record_route(journey, netns, answer, hop, out_link, packet)
        give_realms(journey, netns, packet, answer, hop)
        if (kept := stays_inside(netns, out_link, packet)) is not None:
            return replace(refuse_source(journey, netns, out_link, packet, kept), rerouted=True)
        mtu.at_forwarding(journey, netns, packet, answer.route, out_link)
    return leave(journey, netns, packet, answer, hop, out_link)


def resend(journey: Journey, move: Resend) -> Ending | Move:
    """Send a packet that IPVS took: route, OUTPUT from its first table on, POSTROUTING, device.

    ip_vs_xmit.c (do_output_route4) looks only at the real server's address. Then NAT's hook at OUTPUT looks
    again, with mark and source, where conntrack knows the packet as translated (nf_nat_ipv4_local_fn); and
    mangle does where it changes the mark. A packet for direct routing keeps the service's address and goes to the
    server's MAC address.
    """
    if move.tunnelled:
        return wrap(journey, move)
    netns, packet, towards = move.netns, move.packet, move.towards
    answer = look_up(journey, netns, Packet(packet.family, 0, towards, packet.protocol))
    if isinstance(answer, Ending):
        return answer
    hop = choose_hop(journey, netns, answer, packet)
    out_link = out_device(netns, answer, hop)
    direct = packet.destination != towards
    if direct and hop.gateway is None:
        hop = replace(hop, gateway=IPv4Address(towards) if packet.family == 4 else IPv6Address(towards))
    record_route(journey, netns, answer, hop, out_link, packet)
    give_realms(journey, netns, packet, answer, hop)
    mark = packet.mark
    ended = pass_hook(journey, netns, packet, Hook.OUTPUT, out_link=out_link)
    if ended is not None:
        return ended
    translated = packet.tracking is not None and packet.tracking.entry is not None
    if packet.mark != mark or (not direct and translated and has_nat(journey.topology, netns, packet.family)):
        again = look_up(journey, netns, packet)
        if isinstance(again, Ending):
            again.rerouted = True
            return again
        if again.route is not answer.route:
            answer, hop = again, choose_hop(journey, netns, again, packet)
            out_link = out_device(netns, answer, hop)
            record_route(journey, netns, answer, hop, out_link, packet)
            give_realms(journey, netns, packet, answer, hop)
    return leave(journey, netns, packet, answer, hop, out_link)


def _route_out(
    journey: Journey, netns: NetNamespace, packet: Packet, oif: int
) -> tuple[Answer, NextHop] | Ending:
    """Route a packet that is born here, and give it its source.

    A connecting IPv4 socket asks twice (ip_route_connect): the first answer gives the source, before TCP has
    a port, and the second goes by that source, where a rule or a route may lead elsewhere. IPv6 asks again
    only if the first answer was no way (ip6_dst_lookup_tail).
    """
    connects = packet.family == 4 and packet.source == 0 and packet.protocol in {6, 17}
    answer = look_up(journey, netns, packet, oif=oif, without_port=connects and packet.protocol == 6)
    if isinstance(answer, Ending):
        return answer
    hop = choose_hop(journey, netns, answer, packet, born_here=True)
    if packet.source != 0:
        return answer, hop
    query = Query(packet.destination, packet.family)
    source = journey.topology.router(netns).source_for(answer, hop, query)
    if source is None:
        return journey.end(
            Disposition.NO_ROUTE,
            netns,
            packet,
            "no address to send from",
            cause="no-route",
            evidence=route_evidence(netns, answer),
        )
    packet.source = source
    if connects:
        again = look_up(journey, netns, packet, oif=oif)
        if isinstance(again, Ending):
            return again
        if again != answer or len(again.hops) > 1:
            return again, choose_hop(journey, netns, again, packet, born_here=True)
    return answer, hop
