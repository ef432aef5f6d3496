"""The end of the IP layer: POSTROUTING and the device; and packets whose addresses are not accepted."""

from __future__ import annotations

from skoopctl.dataplane.hooks import pass_hook
from skoopctl.dataplane.ip.lookup import (
    route_evidence,
)
from skoopctl.dataplane.journey import Ending, Journey, sysctl_evidence
from skoopctl.dataplane.moves import Move, Output, Receive
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.routes.query import Answer
from skoopctl.dataplane.routes.source_check import (
    Refusal,
)
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Disposition
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import NextHop, RouteType


def leave(
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


def refuse_source(
    journey: Journey, netns: NetNamespace, link: Link | None, packet: Packet, refused: Refusal
) -> Ending:
    """End at a packet whose addresses are not accepted: nobody is told."""
    evidence = (sysctl_evidence(netns, refused.sysctl),) if refused.sysctl else ()
    back = route_evidence(netns, refused.back) if refused.back is not None else ()
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
