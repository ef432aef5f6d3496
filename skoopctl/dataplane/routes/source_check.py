"""What IPv4 asks of a received packet's addresses: martians, spoofed sources, the reverse path filter.

Sources: net/ipv4/route.c (ip_route_input_slow), fib_frontend.c (fib_validate_source,
__fib_validate_source, fib_info_nh_uses_dev). IPv6 has no such filter of its own (only ``-m rpfilter``).
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.packet import NO_PORTS, Packet
from skoopctl.dataplane.routes.device_conf import conf, conf_path
from skoopctl.dataplane.routes.l3mdev import l3_master_index
from skoopctl.dataplane.routes.policy import Decide
from skoopctl.dataplane.routes.query import Answer, Query
from skoopctl.dataplane.routes.routing import Router
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import NextHop, RouteType

_LOOPBACK_NET = 127
_MULTICAST = 14
_LIMITED_BROADCAST = 0xFFFFFFFF
STRICT, LOOSE = 1, 2


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a packet's addresses are not accepted: the cause, in words, and the sysctl that decided.

    ``doubt`` is set where that is not certain.
    """

    cause: str
    reason: str
    sysctl: str = ""
    back: Answer | None = None
    doubt: str = ""


def is_broadcast(packet: Packet) -> bool:
    """Tell whether a packet goes to everybody without a lookup: 255.255.255.255, or 0.0.0.0 from 0.0.0.0."""
    return packet.destination == _LIMITED_BROADCAST or packet.source == packet.destination == 0


def martian(netns: NetNamespace, link: Link, packet: Packet) -> Refusal | None:
    """Addresses that may not come in from outside, whatever the routes say, in the kernel's order."""
    source, destination = packet.source, packet.destination
    if source >> 28 == _MULTICAST or source == _LIMITED_BROADCAST:
        return Refusal("martian", f"{packet.address(source)} is no address to send from")
    if is_broadcast(packet):
        return None
    for name, address in (("source", source), ("destination", destination)):
        if address >> 24 == 0:
            return Refusal("martian", f"the {name} {packet.address(address)} means no host (0.0.0.0/8)")
    if _LOOPBACK_NET in {source >> 24, destination >> 24} and not conf(netns, "route_localnet", link):
        reason = f"a loopback address arrives on {link.name}, and route_localnet is off there"
        return Refusal("martian", reason, f"net/ipv4/conf/{link.name}/route_localnet")
    return None


def stays_inside(netns: NetNamespace, link: Link | None, packet: Packet) -> Refusal | None:
    """A loopback source may not leave by a device without route_localnet (route.c: __mkroute_output)."""
    if packet.family != 4 or packet.source >> 24 != _LOOPBACK_NET or link is None:
        return None
    if link.loopback or link.kind == "vrf" or conf(netns, "route_localnet", link):
        return None
    reason = (
        f"a packet from {packet.address(packet.source)} may not leave by {link.name}: route_localnet is off"
    )
    return Refusal("martian", reason, f"net/ipv4/conf/{link.name}/route_localnet")


def source_refused(
    router: Router,
    link: Link,
    packet: Packet,
    oif: int,
    decide: Decide | None = None,
    *,
    broadcast: bool = False,
) -> Refusal | None:
    """Say why the kernel takes no packet with this source on this device; None: it does.

    ``oif`` is the device that the packet would leave by, 0 for one that is delivered here. The way back from a
    ``broadcast`` is looked up without the address that it went to.
    """
    netns = router.netns
    mode = conf(netns, "rp_filter", link)
    if not mode and not router.realms.used and not _looks_closer(netns, link, oif):
        if conf(netns, "accept_local", link):
            return None
        if not router.custom_local_routes and not router.custom_rules:
            return _own(link) if router.addresses.holds(packet.source, 4) else None
    return _validate(router, link, packet, _way_back(netns, link, packet, oif, broadcast), mode, decide)


def sender_realms(
    router: Router,
    link: Link,
    packet: Packet,
    oif: int,
    decide: Decide | None = None,
    *,
    broadcast: bool = False,
) -> int:
    """Return the realms that the way back gives to a packet whose source was accepted (fib_combine_itag)."""
    if not router.realms.used:
        return 0
    back = router.lookup(_way_back(router.netns, link, packet, oif, broadcast), decide)
    hops = back.route.next_hops if back.route is not None else ()
    if not _leads_to(router.netns, hops, link) and not router.addresses.has_any(link.index, 4):
        return 0
    return router.realms.coming(back)


def _leads_to(netns: NetNamespace, hops: tuple[NextHop, ...], link: Link) -> bool:
    """Tell whether a way back is by the device, or by one of the VRF that it is (fib_info_nh_uses_dev)."""
    return any(hop.index == link.index or l3_master_index(netns, hop.index) == link.index for hop in hops)


def _looks_closer(netns: NetNamespace, link: Link, oif: int) -> bool:
    """A packet that would leave by its own device is checked without rp_filter too, if redirects are sent."""
    if link.index != oif:
        return False
    own = netns.sysctls.integer(f"net/ipv4/conf/{link.name}/send_redirects")
    everywhere = netns.sysctls.integer("net/ipv4/conf/all/send_redirects")
    return own != 0 or everywhere != 0


def _own(link: Link) -> Refusal:
    path = f"net/ipv4/conf/{link.name}/accept_local"
    return Refusal("own-source", "the source is an address of this host itself", path)


def _validate(
    router: Router, link: Link, packet: Packet, way_back: Query, mode: int, decide: Decide | None
) -> Refusal | None:
    """Look the way back up, as if the answer had come in by the device that the packet leaves by."""
    netns = router.netns
    back = router.lookup(way_back, decide)
    source = packet.address(packet.source)
    path = conf_path(netns, "rp_filter", link)
    if back.doubt:
        words = f"whether the way back to {source} passes the reverse path filter is uncertain: {back.doubt}"
        return Refusal("evidence-incomplete", words, path, back, doubt=back.doubt)
    if back.type is None or back.type in {RouteType.BLACKHOLE, RouteType.UNREACHABLE, RouteType.PROHIBIT}:
        return Refusal("rp-filter", f"there is no route back to {source}", path, back) if mode else None
    if back.type is RouteType.LOCAL and not conf(netns, "accept_local", link):
        return _own(link)
    if back.type not in {RouteType.UNICAST, RouteType.LOCAL}:
        return Refusal("martian", f"the source {source} is a {back.type.value} address", path, back)
    hops = back.route.next_hops if back.route is not None else back.hops
    if _leads_to(netns, hops, link):
        return None
    names = ", ".join(netns.links[hop.index].name for hop in hops if hop.index in netns.links)
    if not router.addresses.has_any(link.index, 4):
        # fib_validate_source: last_resort. Loose mode too gives no credit to a device without an address.
        words = f"the way back to {source} is {names}, and {link.name} has no IPv4 address of its own"
        return Refusal("rp-filter", words, path, back) if mode else None
    if mode != STRICT:
        return None
    words = f"strict rp_filter: the way back to {source} is {names}, not {link.name}"
    return Refusal("rp-filter", words, path, back)


def _way_back(netns: NetNamespace, link: Link, packet: Packet, oif: int, broadcast: bool) -> Query:
    ported = packet.protocol in {6, 17, 132}
    return Query(
        packet.source,
        4,
        0 if broadcast else packet.destination,
        iif=netns.links[oif].name if oif in netns.links else "lo",
        mark=packet.mark if conf(netns, "src_valid_mark", link) else 0,
        tos=packet.tos,
        protocol=packet.protocol,
        source_ports=packet.destination_ports if ported else NO_PORTS,
        destination_ports=packet.source_ports if ported else NO_PORTS,
        l3mdev=l3_master_index(netns, link.index),
    )
