"""MTU: at each place that a walk comes by, how large a packet would pass, and what happens to a larger one.

Sources: include/net/ip.h (ip_dst_mtu_maybe_forward), net/ipv4/ip_forward.c (ip_exceeds_mtu), ip_output.c
(ip_fragment), include/linux/netdevice.h (__is_skb_forwardable), net/core/skbuff.c and net/ipv4/ip_tunnel_core.c
(skb_tunnel_check_pmtu), net/ipv4/ip_tunnel.c (tnl_update_pmtu), route.c (ipv4_default_advmss).
"""

from __future__ import annotations

from skoopctl.dataplane.journey import Journey
from skoopctl.dataplane.packet import Flags, Packet
from skoopctl.dataplane.passage import UNLIMITED, Narrow, TooBig
from skoopctl.dataplane.routes.size import HEADERS, LARGEST, of_route
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.tunnels.registry import Remote
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import Route

_VLAN_HEADER = 4
_IPV6_LEAST = 1280
_CUT_UNDERWAY = frozenset({"VXLAN", "Geneve", "WireGuard"})


def at_birth(journey: Journey, packet: Packet, route: Route | None, link: Link | None) -> None:
    """A packet is made: no larger than its route takes; a SYN tells the other end so (MSS)."""
    passage = journey.passage
    if journey.depth or passage.born:
        return
    passage.born = min(of_route(route, link), LARGEST)
    passage.largest = passage.born
    if packet.protocol == 6 and packet.flags in {Flags.SYN, Flags.SYN_ACK}:
        packet.mss = max(passage.born - HEADERS[packet.family], 1)


def at_forwarding(
    journey: Journey, netns: NetNamespace, packet: Packet, route: Route | None, link: Link | None
) -> None:
    """A router sends an error for what does not fit the way on, before FORWARD sees it.

    So does ip_fragment() for a packet that took another route after OUTPUT had changed it: to its own host.
    """
    if link is None:
        return
    size = of_route(route, link)
    if packet.family == 6:
        size = max(size, _IPV6_LEAST)
    too_big = TooBig.ERROR
    if packet.wrapping is not None:
        cut = packet.family == 4 and packet.wrapping.tunnel in _CUT_UNDERWAY
        too_big = TooBig.FRAGMENTS if cut else TooBig.UNSEEN
    what = "the route's mtu" if route is not None and route.mtu else f"the mtu of {link.name}"
    _narrow(journey, netns, link, packet, size, too_big, what)


def at_frame(journey: Journey, into: Station, packet: Packet) -> None:
    """A veth's other end, and a bridge's port, drop what is longer than their MTU and a VLAN header."""
    size = into.link.mtu + _VLAN_HEADER if into.link.mtu else UNLIMITED
    what = f"the mtu of {into.link.name}"
    _narrow(journey, into.netns, into.link, packet, size, TooBig.SILENT, what)


def at_underlay(journey: Journey, into: Station, packet: Packet) -> None:
    """What a network card receives beyond its MTU is up to its driver, and the way to it was not seen."""
    size = into.link.mtu or UNLIMITED
    what = f"the mtu of {into.link.name}"
    _narrow(journey, into.netns, into.link, packet, size, TooBig.UNSEEN, what)


def at_tunnel(journey: Journey, station: Station, packet: Packet, remote: Remote, mtu: int) -> None:
    """A packet is wrapped: the outer one must fit the route to the tunnel's remote."""
    passage = journey.passage
    too_big = remote.too_big
    if too_big is TooBig.SILENT and not journey.hops and not journey.depth:
        # The sender is in this namespace: skb_tunnel_check_pmtu() puts the size into its own route.
        too_big = TooBig.TOLD
    if too_big is TooBig.SILENT and station.link.master:
        # On a bridge's port the tunnel answers itself (iptunnel_pmtud_build_icmp), back into the bridge.
        too_big = TooBig.TOLD
    where = remote.words.partition(" to ")[2]
    what = f"the mtu {mtu} of the route to {where} less {remote.overhead} for the tunnel"
    _narrow(journey, station.netns, station.link, packet, mtu - remote.overhead, too_big, what)
    passage.overhead += remote.overhead


def out_of_tunnel(journey: Journey, overhead: int) -> None:
    """The cargo is out again, and whole."""
    journey.passage.overhead -= overhead
    if not journey.depth:
        journey.passage.fragment = 0


def _narrow(
    journey: Journey,
    netns: NetNamespace,
    link: Link,
    packet: Packet,
    mtu: int,
    too_big: TooBig,
    what: str,
) -> None:
    """Keep a place if it is narrower than all before it."""
    passage = journey.passage
    size = mtu - passage.overhead
    if size >= passage.largest or (passage.fragment and size >= passage.fragment):
        return
    passage.narrows.append(Narrow(size, too_big, netns, link, packet.copy(), len(journey.steps), what))
    if too_big is TooBig.FRAGMENTS:
        passage.fragment = size
    elif too_big is not TooBig.UNSEEN:
        passage.largest = size
