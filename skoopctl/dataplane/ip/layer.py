"""The IP layer: packets born in a namespace, packets received by it, forwarding between its devices.

Sources: net/ipv4/ip_output.c (__ip_queue_xmit, ip_output), ip_input.c (ip_rcv_finish), route.c
(ip_route_input_slow, ip_error), ip_forward.c, fib_frontend.c (fib_validate_source).
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from skoopctl.dataplane import mtu
from skoopctl.dataplane.birth import give_birth
from skoopctl.dataplane.hooks import pass_hook
from skoopctl.dataplane.ip.checks6 import refuse_to_forward, refuse_to_receive
from skoopctl.dataplane.ip.forwarding import forwarding_path, forwards
from skoopctl.dataplane.ip.ipvs_tunnel import wrap
from skoopctl.dataplane.ip.ttl import count_down
from skoopctl.dataplane.ip.vrf import answering_vrf, into_vrf, out_of_vrf, refused_by_sockets
from skoopctl.dataplane.journey import MAX_HOPS, Ending, Journey, gap, sysctl_evidence
from skoopctl.dataplane.moves import Deliver, Move, Output, Receive, Resend, Send
from skoopctl.dataplane.packet import NO_PORTS, Packet, Unreachable, describe
from skoopctl.dataplane.routes.fib import REFUSING
from skoopctl.dataplane.routes.l3mdev import l3_master
from skoopctl.dataplane.routes.multipath import pick_hop
from skoopctl.dataplane.routes.query import Answer, Query
from skoopctl.dataplane.routes.rule_choice import deciding
from skoopctl.dataplane.routes.source_check import (
    Refusal,
    is_broadcast,
    martian,
    source_refused,
    stays_inside,
)
from skoopctl.dataplane.rules.netfilter import has_nat
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Disposition, Evidence, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import NextHop, RouteType

# What a lookup that ends without a way means: disposition, the words, and the ICMP error that a router sends.
_NO_WAY: dict[RouteType | None, tuple[Disposition, str, Unreachable | None]] = {
    None: (Disposition.NO_ROUTE, "no route to {dst}", Unreachable.NET),
    RouteType.BLACKHOLE: (Disposition.BLACKHOLE, "a blackhole route swallows {dst}", None),
    RouteType.UNREACHABLE: (
        Disposition.HOST_UNREACHABLE,
        "an unreachable route refuses {dst}",
        Unreachable.HOST,
    ),
    RouteType.PROHIBIT: (
        Disposition.REJECTED,
        "a prohibit route refuses {dst}",
        Unreachable.ADMIN_PROHIBITED,
    ),
}


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
    out_link = _out_link(netns, answer, hop)
    mtu.at_birth(journey, packet, answer.route, out_link)
    journey.step(StepKind.SEND, netns, None, f"sends {describe(packet)}", packet)
    _record_route(journey, netns, answer, hop, out_link, packet)
    if (kept := stays_inside(netns, out_link, packet)) is not None:
        return _refuse(journey, netns, out_link, packet, kept)
    give_birth(netns, packet, out_link)
    before = (packet.destination, packet.mark)
    ended = out_of_vrf(journey, netns, out_link, packet) or pass_hook(
        journey, netns, packet, Hook.OUTPUT, out_link=out_link
    )
    if ended is not None:
        return ended
    if (packet.destination, packet.mark) != before:
        again = _lookup(journey, netns, packet, oif=oif)
        if isinstance(again, Ending):
            again.rerouted = True
            return again
        answer, hop = again, _pick_hop(journey, netns, again, packet, born_here=True)
        out_link = _out_link(netns, answer, hop)
        _record_route(journey, netns, answer, hop, out_link, packet)
        if (kept := stays_inside(netns, out_link, packet)) is not None:
            return replace(_refuse(journey, netns, out_link, packet, kept), rerouted=True)
        mtu.at_forwarding(journey, netns, packet, answer.route, out_link)
    return _leave(journey, netns, packet, answer, hop, out_link)


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
    answer = _lookup(journey, netns, Packet(packet.family, 0, towards, packet.protocol))
    if isinstance(answer, Ending):
        return answer
    hop = _pick_hop(journey, netns, answer, packet)
    out_link = _out_link(netns, answer, hop)
    direct = packet.destination != towards
    if direct and hop.gateway is None:
        hop = replace(hop, gateway=IPv4Address(towards) if packet.family == 4 else IPv6Address(towards))
    _record_route(journey, netns, answer, hop, out_link, packet)
    mark = packet.mark
    ended = pass_hook(journey, netns, packet, Hook.OUTPUT, out_link=out_link)
    if ended is not None:
        return ended
    translated = packet.tracking is not None and packet.tracking.entry is not None
    if packet.mark != mark or (not direct and translated and has_nat(journey.topology, netns, packet.family)):
        again = _lookup(journey, netns, packet)
        if isinstance(again, Ending):
            again.rerouted = True
            return again
        if again.route is not answer.route:
            answer, hop = again, _pick_hop(journey, netns, again, packet)
            out_link = _out_link(netns, answer, hop)
            _record_route(journey, netns, answer, hop, out_link, packet)
    return _leave(journey, netns, packet, answer, hop, out_link)


def _route_out(
    journey: Journey, netns: NetNamespace, packet: Packet, oif: int
) -> tuple[Answer, NextHop] | Ending:
    """Route a packet that is born here, and give it its source.

    A connecting IPv4 socket asks twice (ip_route_connect): the first answer gives the source, before TCP has
    a port, and the second goes by that source, where a rule or a route may lead elsewhere. IPv6 asks again
    only if the first answer was no way (ip6_dst_lookup_tail).
    """
    connects = packet.family == 4 and packet.source == 0 and packet.protocol in {6, 17}
    answer = _lookup(journey, netns, packet, oif=oif, without_port=connects and packet.protocol == 6)
    if isinstance(answer, Ending):
        return answer
    hop = _pick_hop(journey, netns, answer, packet, born_here=True)
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
            evidence=_route_evidence(netns, answer),
        )
    packet.source = source
    if connects:
        again = _lookup(journey, netns, packet, oif=oif)
        if isinstance(again, Ending):
            return again
        if again != answer or len(again.hops) > 1:
            return again, _pick_hop(journey, netns, again, packet, born_here=True)
    return answer, hop


def _leave(
    journey: Journey,
    netns: NetNamespace,
    packet: Packet,
    answer: Answer,
    hop: NextHop,
    out_link: Link | None,
    in_link: Link | None = None,
) -> Ending | Move:
    """POSTROUTING, then the device."""
    if out_link is None:
        return journey.end(
            Disposition.UNKNOWN,
            netns,
            packet,
            "the route's device is not in the dump of links",
            cause="evidence-incomplete",
        )
    next_hop = int(hop.gateway) if hop.gateway is not None else packet.destination
    ended = pass_hook(
        journey, netns, packet, Hook.POSTROUTING, in_link=in_link, out_link=out_link, next_hop=next_hop
    )
    if ended is not None:
        return ended
    if answer.type is RouteType.LOCAL or out_link.loopback:
        return Receive(netns, out_link, packet, looped=True)
    return Output(netns, out_link, packet, next_hop)


def receive(journey: Journey, move: Receive) -> Ending | Move:
    """Take a packet in from a device: PREROUTING, routing, then INPUT or FORWARD."""
    netns, link, packet = move.netns, move.link, move.packet
    journey.hops += 1
    if journey.hops > MAX_HOPS:
        return journey.end(
            Disposition.LOOP,
            netns,
            packet,
            f"received {MAX_HOPS} times: a routing loop",
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
            return _refuse(journey, netns, link, packet, refused)
    answer = _answer(journey, netns, packet, iif=link)
    if answer.type is RouteType.LOCAL or _is_broadcast(answer, packet):
        broadcast = answer.type is not RouteType.LOCAL
        ended = _validate_source(journey, netns, link, packet, 0, broadcast=broadcast)
        if ended is not None:
            return ended
        _record_route(journey, netns, answer, None, None, packet)
        ended = refused_by_sockets(journey, netns, link, packet)
        return Deliver(netns, link, packet) if ended is None else ended
    if packet.family == 6 and answer.type in _NO_WAY:
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
    answer = _lookup(journey, netns, packet, iif=link)
    if isinstance(answer, Ending):
        return answer
    if answer.type is not RouteType.UNICAST:
        words = answer.type.value if answer.type is not None else "unknown"
        martian_route = Refusal("martian", f"a packet for a {words} address is not forwarded")
        return _refuse(journey, netns, link, packet, martian_route)
    if packet.family == 6 and (refused := refuse_to_forward(journey, netns, link, packet)) is not None:
        return refused
    hop = _pick_hop(journey, netns, answer, packet)
    out_link = _out_link(netns, answer, hop)
    spoofed = _validate_source(journey, netns, link, packet, out_link.index if out_link else 0)
    if spoofed is not None:
        return spoofed
    _record_route(journey, netns, answer, hop, out_link, packet)
    expired = count_down(journey, netns, link, packet)
    if expired is not None:
        return expired
    if journey.hops >= MAX_HOPS:
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
    return _leave(journey, netns, packet, answer, hop, out_link, link)


def _is_broadcast(answer: Answer, packet: Packet) -> bool:
    return answer.type is RouteType.BROADCAST or (packet.family == 4 and is_broadcast(packet))


def _answer(
    journey: Journey,
    netns: NetNamespace,
    packet: Packet,
    *,
    oif: int = 0,
    iif: Link | None = None,
    without_port: bool = False,
) -> Answer:
    """Look the destination up; what policy rules leave open is asked of the walk."""
    query = Query(
        packet.destination,
        packet.family,
        packet.source,
        iif=iif.name if iif else "lo",
        oif=oif,
        mark=packet.mark,
        tos=packet.tos,
        protocol=packet.protocol,
        source_ports=NO_PORTS if without_port else packet.source_ports,
        destination_ports=packet.destination_ports,
    )
    router = journey.topology.router(netns)
    answer = router.recall(query)
    if answer is None:
        answer = router.look_up_anew(query, deciding(journey.world.choices, netns, packet))
    nowhere = answer.type is None or answer.type in REFUSING
    if packet.family == 4 and oif and nowhere and not answer.doubt and l3_master(netns, oif) is None:
        # A packet bound to a device needs no route: whatever the tables say, its destination is on the link.
        return Answer(RouteType.UNICAST, None, (NextHop(oif),))
    return answer


def _lookup(
    journey: Journey,
    netns: NetNamespace,
    packet: Packet,
    *,
    oif: int = 0,
    iif: Link | None = None,
    without_port: bool = False,
) -> Answer | Ending:
    """Look the destination up; a lookup without a way is an ending."""
    answer = _answer(journey, netns, packet, oif=oif, iif=iif, without_port=without_port)
    if answer.doubt:
        where = f"{netns.host} ({journey.topology.label(netns)})"
        reason = f"routing on {where} is uncertain: {answer.doubt}"
        key = ("route", netns.host, netns.inode, packet.destination)
        certain = answer.type is not None and journey.world.choices.unknown(reason, key=key)
        if not certain:
            return journey.end(
                Disposition.UNKNOWN,
                netns,
                packet,
                reason,
                link=iif,
                evidence=(gap(netns, "route", answer.doubt),),
                cause="evidence-incomplete",
                kind=StepKind.ROUTE,
            )
    if answer.type in _NO_WAY:
        disposition, words, error = _NO_WAY[answer.type]
        if answer.type is RouteType.UNREACHABLE and (answer.route is None or (packet.family == 6 and iif)):
            # fib4_rule_action: a policy rule is -ENETUNREACH; ip6_pkt_discard: IPv6 has "no route" for both.
            error = Unreachable.NET
        return journey.end(
            disposition,
            netns,
            packet,
            words.format(dst=packet.address(packet.destination)),
            cause="no-route" if answer.type is None else "blackhole-route",
            link=iif,
            evidence=_route_evidence(netns, answer),
            error=error,
            kind=StepKind.ROUTE,
        )
    return answer


def _pick_hop(
    journey: Journey, netns: NetNamespace, answer: Answer, packet: Packet, *, born_here: bool = False
) -> NextHop:
    """Pick a next hop; several are a branch with their weights (multipath hashes the flow)."""
    host = journey.topology.hosts.get(netns.host)
    kernel = host.kernel if host is not None else ""
    router = journey.topology.router(netns)
    return pick_hop(router, journey.world.choices, answer, packet, born_here=born_here, kernel=kernel)


def _out_link(netns: NetNamespace, answer: Answer, hop: NextHop) -> Link | None:
    """Return the device that a route sends on; local routes use loopback, or the VRF that stands for it."""
    if answer.type is RouteType.LOCAL:
        vrf = l3_master(netns, hop.index)
        if vrf is not None:
            return vrf
        return next((link for link in netns.links.values() if link.loopback), None)
    return netns.links.get(hop.index)


def _route_evidence(netns: NetNamespace, answer: Answer) -> tuple[Evidence, ...]:
    lines = []
    if answer.rule is not None and answer.rule.priority not in {0, 32766, 32767}:
        lines.append(Evidence("policy-rule", answer.rule.text, "ip rule", node=netns.host, netns=netns.inode))
    if answer.route is not None:
        table = {255: "local", 254: "main", 253: "default"}.get(answer.route.table, str(answer.route.table))
        lines.append(
            Evidence("route", answer.route.text, f"table {table}", node=netns.host, netns=netns.inode)
        )
    return tuple(lines)


def _record_route(
    journey: Journey,
    netns: NetNamespace,
    answer: Answer,
    hop: NextHop | None,
    out_link: Link | None,
    packet: Packet,
) -> None:
    if answer.type is RouteType.LOCAL:
        decision = "for this host itself"
    elif hop is not None and out_link is not None:
        via = f"via {hop.gateway} " if hop.gateway is not None else ""
        decision = f"{via}dev {out_link.name}"
    else:
        decision = answer.type.value if answer.type else "no route"
    evidence = journey.topology.router(netns).remembered(answer, _route_evidence)
    journey.step(StepKind.ROUTE, netns, out_link, decision, packet, evidence=evidence)


# --- source checks ---------------------------------------------------------------------------------------


def _validate_source(
    journey: Journey, netns: NetNamespace, link: Link, packet: Packet, oif: int, *, broadcast: bool = False
) -> Ending | None:
    """Reverse path filter, and packets that claim to come from this host itself (fib_validate_source)."""
    if packet.family != 4 or link.loopback or packet.source == 0:
        return None
    decide = deciding(journey.world.choices, netns, packet, backwards=True)
    router = journey.topology.router(netns)
    refused = source_refused(router, link, packet, oif, decide, broadcast=broadcast)
    if refused is not None and refused.doubt:
        key = ("source", netns.host, netns.inode, link.index, packet.source)
        if journey.world.choices.unknown(refused.reason, key=key):
            return None
    return None if refused is None else _refuse(journey, netns, link, packet, refused)


def _refuse(
    journey: Journey, netns: NetNamespace, link: Link | None, packet: Packet, refused: Refusal
) -> Ending:
    """End at a packet whose addresses are not accepted: nobody is told."""
    evidence = (sysctl_evidence(netns, refused.sysctl),) if refused.sysctl else ()
    back = _route_evidence(netns, refused.back) if refused.back is not None else ()
    disposition = Disposition.DROPPED if refused.cause == "martian" else Disposition.RP_FILTER
    return journey.end(
        Disposition.UNKNOWN if refused.doubt else disposition,
        netns,
        packet,
        refused.reason,
        cause=refused.cause,
        link=link,
        evidence=evidence + back,
    )
