"""Route lookups of the IP layer: what is asked, what an answer without a way means, and how it is shown.

Sources: net/ipv4/route.c (ip_route_output_key_hash, ip_error), fib_rules.c (fib4_rule_action), net/ipv6/route.c.
"""

from __future__ import annotations

from skoopctl.dataplane.journey import Ending, Journey, gap
from skoopctl.dataplane.packet import NO_PORTS, Packet, Unreachable
from skoopctl.dataplane.routes.fib import REFUSING
from skoopctl.dataplane.routes.l3mdev import l3_master
from skoopctl.dataplane.routes.multipath import pick_hop
from skoopctl.dataplane.routes.query import Answer, Query
from skoopctl.dataplane.routes.rule_choice import deciding
from skoopctl.dataplane.trace import Disposition, Evidence, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import NextHop, RouteType

# What a lookup that ends without a way means: disposition, the words, and the ICMP error that a router sends.
NO_WAY: dict[RouteType | None, tuple[Disposition, str, Unreachable | None]] = {
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


def ask(
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


def look_up(
    journey: Journey,
    netns: NetNamespace,
    packet: Packet,
    *,
    oif: int = 0,
    iif: Link | None = None,
    without_port: bool = False,
) -> Answer | Ending:
    """Look the destination up; a lookup without a way is an ending."""
    answer = ask(journey, netns, packet, oif=oif, iif=iif, without_port=without_port)
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
    if answer.type in NO_WAY:
        disposition, words, error = NO_WAY[answer.type]
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
            evidence=route_evidence(netns, answer),
            error=error,
            kind=StepKind.ROUTE,
        )
    return answer


def choose_hop(
    journey: Journey, netns: NetNamespace, answer: Answer, packet: Packet, *, born_here: bool = False
) -> NextHop:
    """Pick a next hop; several are a branch with their weights (multipath hashes the flow)."""
    host = journey.topology.hosts.get(netns.host)
    kernel = host.kernel if host is not None else ""
    router = journey.topology.router(netns)
    return pick_hop(router, journey.world.choices, answer, packet, born_here=born_here, kernel=kernel)


def out_device(netns: NetNamespace, answer: Answer, hop: NextHop) -> Link | None:
    """Return the device that a route sends on; local routes use loopback, or the VRF that stands for it."""
    if answer.type is RouteType.LOCAL:
        vrf = l3_master(netns, hop.index)
        if vrf is not None:
            return vrf
        return next((link for link in netns.links.values() if link.loopback), None)
    return netns.links.get(hop.index)


def route_evidence(netns: NetNamespace, answer: Answer) -> tuple[Evidence, ...]:
    """Return the policy rule and the route of an answer."""
    lines = []
    if answer.rule is not None and answer.rule.priority not in {0, 32766, 32767}:
        lines.append(Evidence("policy-rule", answer.rule.text, "ip rule", node=netns.host, netns=netns.inode))
    if answer.route is not None:
        table = {255: "local", 254: "main", 253: "default"}.get(answer.route.table, str(answer.route.table))
        lines.append(
            Evidence("route", answer.route.text, f"table {table}", node=netns.host, netns=netns.inode)
        )
    return tuple(lines)


def record_route(
    journey: Journey,
    netns: NetNamespace,
    answer: Answer,
    hop: NextHop | None,
    out_link: Link | None,
    packet: Packet,
) -> None:
    """Write down where a lookup led."""
    if answer.type is RouteType.LOCAL:
        decision = "for this host itself"
    elif hop is not None and out_link is not None:
        via = f"via {hop.gateway} " if hop.gateway is not None else ""
        decision = f"{via}dev {out_link.name}"
    else:
        decision = answer.type.value if answer.type else "no route"
    evidence = journey.topology.router(netns).remembered(answer, route_evidence)
    journey.step(StepKind.ROUTE, netns, out_link, decision, packet, evidence=evidence)


def give_realms(
    journey: Journey, netns: NetNamespace, packet: Packet, answer: Answer, hop: NextHop, sender: int = 0
) -> None:
    """Give the packet the realms of its route; ``sender`` are those of the way back, where it is forwarded."""
    if packet.family == 4:
        packet.realms = journey.topology.router(netns).realms.going(answer, hop, sender)
