"""Write routes as ``ip route show table all`` prints them (iproute2: ip/iproute.c, print_route)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skoopctl.kernel.address import IPAddress, IPNetwork
from skoopctl.kernel.route import NextHop, Route, RouteType

TABLE_NAMES = {255: "local", 254: "main", 253: "default"}
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
PROTOCOLS = {
    0: "unspec",
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    8: "gated",
    9: "ra",
    10: "mrt",
    11: "zebra",
    12: "bird",
    13: "dnrouted",
    14: "xorp",
    15: "ntk",
    16: "dhcp",
    18: "keepalived",
    42: "babel",
    99: "openr",
    186: "bgp",
    187: "isis",
    188: "ospf",
    189: "rip",
    192: "eigrp",
}
_PREFERENCES = {0: "medium", 1: "high", 3: "low"}
_MAIN = 254
_BOOT = 3


@dataclass(frozen=True, slots=True)
class RouteDetails:
    """What a route's line shows beside the model: the metric as sent (IPv6 prints 0), and more."""

    metric: int | None = None
    nexthop_id: int = 0
    multipath: bool = False
    preference: int | None = None
    source: IPNetwork | None = None
    metrics: tuple[tuple[str, str], ...] = ()


def render_route(route: Route, devices: Mapping[int, str], details: RouteDetails) -> str:
    """Return the line of one route; the hops of a multipath route follow on the same line."""
    single = route.next_hops[0] if len(route.next_hops) == 1 and not details.multipath else None
    version = route.destination.version
    words = _selector(route, details)
    words += _hop(single, version, devices) if single else []
    words += _attributes(route, details)
    words += [*_flags(single), *_realms(single)] if single else []
    words += [word for pair in details.metrics for word in pair]
    if details.preference is not None:
        words += ["pref", _PREFERENCES.get(details.preference, str(details.preference))]
    for hop in route.next_hops if details.multipath else ():
        words += [
            "nexthop",
            *_hop(hop, version, devices, inside=True),
            "weight",
            str(hop.weight),
            *_flags(hop),
        ]
    return " ".join(words)


def _selector(route: Route, details: RouteDetails) -> list[str]:
    words = [] if route.type is RouteType.UNICAST else [route.type.value]
    words.append(_network(route.destination))
    if details.source is not None:
        words += ["from", _network(details.source)]
    if details.nexthop_id:
        words += ["nhid", str(details.nexthop_id)]
    if route.tos:
        words += ["tos", f"0x{route.tos:02x}"]
    return words


def _attributes(route: Route, details: RouteDetails) -> list[str]:
    words: list[str] = []
    if route.table != _MAIN:
        words += ["table", TABLE_NAMES.get(route.table, str(route.table))]
    if route.protocol != _BOOT:
        words += ["proto", PROTOCOLS.get(route.protocol, str(route.protocol))]
    if route.scope:
        words += ["scope", SCOPES.get(route.scope, str(route.scope))]
    if route.prefsrc is not None:
        words += ["src", str(route.prefsrc)]
    if details.metric is not None:
        words += ["metric", str(details.metric)]
    return words


def _network(network: IPNetwork) -> str:
    if network.prefixlen == 0:
        return "default"
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def realms_text(realms: int) -> str:
    """Write realms as ip(8) does: ``FROM/TO``, or ``TO`` alone."""
    origin, towards = realms >> 16, realms & 0xFFFF
    return f"{origin}/{towards}" if origin else str(towards)


def _realms(hop: NextHop) -> list[str]:
    name = "realms" if hop.realms >> 16 else "realm"
    return [name, realms_text(hop.realms)] if hop.realms else []


def _hop(hop: NextHop, version: int, devices: Mapping[int, str], *, inside: bool = False) -> list[str]:
    """Write gateway and device; a hop ``inside`` a multipath route has its realms between them."""
    words = _gateway(hop.gateway, version) + (_realms(hop) if inside else [])
    if hop.index:
        words += ["dev", devices.get(hop.index, f"if{hop.index}")]
    return words


def _gateway(gateway: IPAddress | None, version: int) -> list[str]:
    if gateway is None:
        return []
    if gateway.version == version:
        return ["via", str(gateway)]
    return ["via", "inet6" if gateway.version == 6 else "inet", str(gateway)]


def _flags(hop: NextHop) -> list[str]:
    return [
        name
        for name, is_set in (("dead", hop.dead), ("onlink", hop.onlink), ("linkdown", hop.linkdown))
        if is_set
    ]
