"""IPVS's own IP in IP: a packet for a server behind a tunnel, which leaves without any tunnel device.

ip_vs_xmit.c (ip_vs_tunnel_xmit): conntrack's entry of the cargo is confirmed, then forgotten; the outer packet is
born here (ip_local_out) with the mark and the note that IPVS has dealt with it.
"""

from __future__ import annotations

from skoopctl.dataplane import mtu
from skoopctl.dataplane.journey import Journey
from skoopctl.dataplane.moves import Resend, Send
from skoopctl.dataplane.packet import Packet, Wrapping
from skoopctl.dataplane.passage import TooBig
from skoopctl.dataplane.routes.routing import Query
from skoopctl.dataplane.routes.size import of_answer
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import StepKind
from skoopctl.dataplane.tunnels.registry import Remote

_IPIP, _OVERHEAD = 4, 20


def wrap(journey: Journey, move: Resend) -> Send:
    """Put the packet into an outer one for the server, and send that."""
    netns, packet = move.netns, move.packet
    journey.world.table(netns).confirm(packet.tracking)
    words = f"IPVS's IPIP to {packet.address(move.towards)}"
    outer = Packet(
        family=4,
        source=0,
        destination=move.towards,
        protocol=_IPIP,
        mark=packet.mark,
        ipvs=True,
        inner=packet,
        wrapping=Wrapping("IPIP", "ipip", overhead=_OVERHEAD),
    )
    router = journey.topology.router(netns)
    answer = router.lookup(Query(move.towards, 4, mark=packet.mark))
    link = netns.links.get(answer.hops[0].index) if answer.hops else None
    if link is not None:
        # ensure_mtu_is_adequate tells a sender that forbids fragments.
        remote = Remote(move.towards, 4, words, _OVERHEAD, protocol=_IPIP, too_big=TooBig.TOLD)
        mtu.at_tunnel(journey, Station(netns, link), packet, remote, of_answer(netns, answer))
    else:
        journey.passage.overhead += _OVERHEAD
    journey.depth += 1
    journey.step(StepKind.ENCAPSULATE, netns, link, words, outer)
    return Send(netns, outer)
