"""What only IPv6 asks of a packet that is received or forwarded.

Sources: net/ipv6/ip6_input.c (ip6_rcv_core), ip6_output.c (ip6_forward).
"""

from __future__ import annotations

from skoopctl.dataplane.journey import Ending, Journey, sysctl_evidence
from skoopctl.dataplane.packet import Packet, Unreachable, is_link_local
from skoopctl.dataplane.trace import Disposition
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

LOOPBACK = 1


def refuse_to_receive(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Ending | None:
    """A device with IPv6 disabled takes nothing; ``::1`` may not come in from outside."""
    path = f"net/ipv6/conf/{link.name}/disable_ipv6"
    if netns.sysctls.integer(path) == 1:
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            f"IPv6 is disabled on {link.name}",
            cause="ipv6-disabled",
            link=link,
            evidence=(sysctl_evidence(netns, path),),
        )
    if not link.loopback and LOOPBACK in {packet.source, packet.destination}:
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            f"the loopback address arrives on {link.name}, which IPv6 never takes",
            cause="martian",
            link=link,
        )
    return None


def refuse_to_forward(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Ending | None:
    """A source of link scope is not forwarded: its sender is told 'beyond scope of source address'."""
    if not is_link_local(packet.source):
        return None
    return journey.end(
        Disposition.REJECTED,
        netns,
        packet,
        f"the source {packet.address(packet.source)} is of link scope, and is not forwarded",
        cause="link-local-source",
        link=link,
        error=Unreachable.BEYOND_SCOPE,
    )
