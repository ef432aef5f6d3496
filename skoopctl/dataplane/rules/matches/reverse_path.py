"""The reverse path test of its own: ``-m rpfilter`` (net/ipv4/netfilter/ipt_rpfilter.c, ip6t_rpfilter.c)."""

from __future__ import annotations

from skoopctl.dataplane.routes.routing import Query
from skoopctl.dataplane.rules.matches.registry import Predicate, whole
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.truth import Truth, Unknown, negate
from skoopctl.kernel.iptables import Match
from skoopctl.kernel.link import Link
from skoopctl.kernel.route import RouteType


@whole("rpfilter", "loose", "validmark", "accept-local", "invert")
def rpfilter(match: Match) -> Predicate:
    """``[--loose] [--validmark] [--accept-local] [--invert]``: an answer would leave by this device."""
    names = {opt.name for opt in match.options}
    loose, accept_local = "loose" in names, "accept-local" in names

    def predicate(scene: Scene) -> Truth:
        if scene.hook is not Hook.PREROUTING or scene.in_link is None:
            return False
        mark = scene.packet.mark if "validmark" in names else 0
        truth: Truth
        if scene.in_link.loopback or scene.packet.source == 0:
            truth = True
        elif scene.packet.family == 4:
            truth = _reverse4(scene, scene.in_link, mark, loose=loose, accept_local=accept_local)
        else:
            truth = _reverse6(scene, scene.in_link, mark, loose=loose, accept_local=accept_local)
        return negate(truth, "invert" in names)

    return predicate


def _reverse4(scene: Scene, link: Link, mark: int, *, loose: bool, accept_local: bool) -> Truth:
    packet = scene.packet
    towards = packet.destination
    if (towards >> 28) == 14 or towards in {0, 0xFFFFFFFF}:
        towards = 0
    answer = scene.router.lookup(Query(packet.source, 4, towards, iif="lo", mark=mark, tos=packet.tos))
    if answer.doubt:
        return Unknown(f"-m rpfilter: routing on {scene.netns.host} is uncertain: {answer.doubt}")
    if answer.type is RouteType.LOCAL:
        if not accept_local:
            return False
    elif answer.type is not RouteType.UNICAST:
        return False
    # FIB_LOOKUP_IGNORE_LINKSTATE: every next hop of the route counts, the dead ones too.
    hops = answer.route.next_hops if answer.route is not None else answer.hops
    return loose or any(hop.index == link.index for hop in hops)


def _reverse6(scene: Scene, link: Link, mark: int, *, loose: bool, accept_local: bool) -> Truth:
    packet = scene.packet
    link_local = (packet.source >> 118) == 0x3FA
    oif = link.index if link_local or not loose else 0
    query = Query(packet.source, 6, packet.destination, iif="lo", oif=oif, mark=mark)
    answer = scene.router.lookup(query)
    if answer.doubt:
        return Unknown(f"-m rpfilter: routing on {scene.netns.host} is uncertain: {answer.doubt}")
    if answer.type is RouteType.LOCAL:
        return accept_local
    if answer.type is not RouteType.UNICAST:
        return False
    return loose or any(hop.index == link.index for hop in answer.hops)
