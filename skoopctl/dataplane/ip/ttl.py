"""The TTL, or hop limit, of a packet that is forwarded (ip_forward.c: ip_forward, ip6_output.c: ip6_forward)."""

from __future__ import annotations

from skoopctl.dataplane.journey import MAX_HOPS, Ending, Journey
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.trace import Disposition
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


def count_down(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Ending | None:
    """Take one off before FORWARD sees the packet; at the last one it is dropped, before any rule of FORWARD.

    Senders start with 64 or more, so one that is used up early was set so by a rule, or by the sender.
    """
    if packet.ttl == 0:
        return None
    if packet.ttl > 1:
        packet.ttl -= 1
        return None
    loops = journey.hops >= MAX_HOPS // 2
    reason = f"received {journey.hops} times: a routing loop" if loops else "the TTL is used up here"
    return journey.end(
        Disposition.LOOP if loops else Disposition.DROPPED,
        netns,
        packet,
        reason,
        link=link,
        cause="routing-loop" if loops else "ttl-exceeded",
        error=Unreachable.TIME_EXCEEDED,
    )
