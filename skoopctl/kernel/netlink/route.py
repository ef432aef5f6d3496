"""Decode RTM_NEWROUTE (include/uapi/linux/rtnetlink.h) of all tables and both families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from struct import Struct

from skoopctl.kernel.netlink.dump import (
    AF_INET,
    AF_INET6,
    Dump,
    address,
    attributes,
    decode_dump,
    network,
    number32,
    s32,
)
from skoopctl.kernel.netlink.nexthop import NextHopObject, make_hop, resolve
from skoopctl.kernel.route import NextHop, Route, RouteType
from skoopctl.kernel.route_text import RouteDetails, render_route

_RTMSG = Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_RTNEXTHOP = Struct("=HBBi")  # length, flags, weight - 1, index
_RTM_NEWROUTE = 24
_CLONED = 0x200
_DST, _SRC, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _MULTIPATH = 1, 2, 4, 5, 6, 7, 8, 9
_FLOW, _CACHEINFO, _TABLE, _VIA, _PREF, _NH_ID = 11, 12, 15, 18, 20, 30
_METRIC_LOCK, _METRIC_MTU, _METRIC_ADVMSS = 1, 2, 8
_PREFERENCES = {1: 1, 3: -1}  # ICMPV6_ROUTER_PREF_HIGH and _LOW; everything else is medium
_METRIC_NAMES = {
    2: "mtu",
    3: "window",
    4: "rtt",
    5: "rttvar",
    6: "ssthresh",
    7: "cwnd",
    8: "advmss",
    9: "reordering",
    10: "hoplimit",
    11: "initcwnd",
    13: "rto_min",
    14: "initrwnd",
    15: "quickack",
}
_TYPES = {
    1: RouteType.UNICAST,
    2: RouteType.LOCAL,
    3: RouteType.BROADCAST,
    4: RouteType.ANYCAST,
    5: RouteType.MULTICAST,
    6: RouteType.BLACKHOLE,
    7: RouteType.UNREACHABLE,
    8: RouteType.PROHIBIT,
    9: RouteType.THROW,
    10: RouteType.NAT,
}
_NOWHERE = frozenset({RouteType.BLACKHOLE, RouteType.UNREACHABLE, RouteType.PROHIBIT, RouteType.THROW})


def decode_routes(
    raw: bytes, *, devices: Mapping[int, str] | None = None, nexthops: Iterable[NextHopObject] = ()
) -> Dump[Route]:
    """Decode a dump of RTM_GETROUTE.

    ``devices`` names the interfaces in the lines for people; ``nexthops`` are the objects that routes may
    refer to. A route that refers to an object not among them is a problem of the dump.
    """
    objects = {found.id: found for found in nexthops}
    return decode_dump(raw, _RTM_NEWROUTE, partial(_route, devices=devices or {}, objects=objects))


def _route(body: bytes, *, devices: Mapping[int, str], objects: Mapping[int, NextHopObject]) -> Route | None:
    family, dst_len, src_len, tos, table, protocol, scope, kind, flags = _RTMSG.unpack_from(body)
    # Multicast routes (families 128, 129) and MPLS decide nothing here; clones are the route cache.
    if family not in {AF_INET, AF_INET6} or flags & _CLONED:
        return None
    found = attributes(body, 12)
    if kind not in _TYPES:
        raise ValueError(f"route type {kind}")
    hops, blackhole = _hops(found, flags, objects)
    metrics = attributes(found[_METRICS]) if _METRICS in found else {}
    route = Route(
        number32(found, _TABLE, table),
        network(found.get(_DST), dst_len, family),
        RouteType.BLACKHOLE if blackhole else _TYPES[kind],
        hops,
        address(found[_PREFSRC]) if _PREFSRC in found else None,
        scope,
        number32(found, _PRIORITY),
        tos,
        protocol,
        number32(metrics, _METRIC_MTU),
        mtu_locked=bool(number32(metrics, _METRIC_LOCK) & 1 << _METRIC_MTU),
        advmss=number32(metrics, _METRIC_ADVMSS),
        source=network(found[_SRC], src_len, family) if _SRC in found else None,
        preference=_PREFERENCES.get(found[_PREF][0], 0) if _PREF in found else 0,
        nexthop_id=number32(found, _NH_ID),
    )
    details = RouteDetails(
        number32(found, _PRIORITY) if _PRIORITY in found else None,
        route.nexthop_id,
        _MULTIPATH in found or len(hops) > 1,
        found[_PREF][0] if _PREF in found else None,
        route.source,
        _shown_metrics(found, metrics, family),
    )
    text = render_route(route, devices, details)
    # IPv6 gives unreachable routes the device lo, which is no next hop.
    return replace(route, text=text, next_hops=() if route.type in _NOWHERE else hops)


def _hops(
    found: dict[int, bytes], flags: int, objects: Mapping[int, NextHopObject]
) -> tuple[tuple[NextHop, ...], bool]:
    if _NH_ID in found:
        number = number32(found, _NH_ID)
        resolved = resolve(number, objects)
        if resolved is not None:
            return resolved
        if _OIF not in found and _MULTIPATH not in found:
            raise ValueError(f"next hop object {number} is not known")
    if _MULTIPATH in found:
        return tuple(_multipath(found[_MULTIPATH])), False
    gateway = _gateway(found)
    if _OIF not in found and gateway is None:
        return (), False
    return (make_hop(number32(found, _OIF), gateway, flags, realms=number32(found, _FLOW)),), False


def _gateway(found: dict[int, bytes]) -> bytes | None:
    """Return the gateway's bytes; RTA_VIA carries one of another family behind two bytes of family."""
    via = found.get(_VIA)
    return via[2:] if via is not None else found.get(_GATEWAY)


def _multipath(raw: bytes) -> Iterable[NextHop]:
    offset = 0
    while offset + 8 <= len(raw):
        length, flags, weight, index = _RTNEXTHOP.unpack_from(raw, offset)
        if length < 8 or offset + length > len(raw):
            raise ValueError(f"a next hop of {length} bytes")
        found = attributes(raw[offset : offset + length], 8)
        yield make_hop(index, _gateway(found), flags, weight + 1, number32(found, _FLOW))
        offset += (length + 3) & ~3


def _shown_metrics(
    found: dict[int, bytes], metrics: dict[int, bytes], family: int
) -> tuple[tuple[str, str], ...]:
    shown: list[tuple[str, str]] = []
    if family == AF_INET6 and len(found.get(_CACHEINFO, b"")) >= 16:
        error = s32.unpack_from(found[_CACHEINFO], 12)[0]
        shown += [("error", str(error))] if error else []
    locked = number32(metrics, _METRIC_LOCK)
    for key, raw in sorted(metrics.items()):
        if key in _METRIC_NAMES:
            lock = "lock " if locked & (1 << key) else ""
            value = number32({key: raw}, key)
            shown.append((_METRIC_NAMES[key], f"{lock}{value}"))
    return tuple(shown)
