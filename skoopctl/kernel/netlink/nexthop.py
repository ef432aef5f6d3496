"""Decode RTM_NEWNEXTHOP (include/uapi/linux/nexthop.h): next hop objects that routes refer to by number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct

from skoopctl.kernel.netlink.dump import Dump, address, attributes, decode_dump, number32
from skoopctl.kernel.route import NextHop

_NHMSG = Struct("=BBBxI")  # family, scope, protocol, flags
_GROUP_ENTRY = Struct("=IBxH")  # id, weight - 1
_RTM_NEWNEXTHOP = 104
_ID, _GROUP, _BLACKHOLE, _OIF, _GATEWAY = 1, 2, 4, 5, 6
DEAD, ONLINK, LINKDOWN = 0x1, 0x4, 0x10


@dataclass(frozen=True, slots=True)
class NextHopObject:
    """One object: a next hop, a blackhole, or a group of others with weights."""

    id: int
    hop: NextHop | None = None
    blackhole: bool = False
    group: tuple[tuple[int, int], ...] = ()


def decode_nexthops(raw: bytes) -> Dump[NextHopObject]:
    """Decode a dump of RTM_GETNEXTHOP."""
    return decode_dump(raw, _RTM_NEWNEXTHOP, _nexthop)


def make_hop(index: int, gateway: bytes | None, flags: int, weight: int = 1, realms: int = 0) -> NextHop:
    """Build a next hop from a message's parts."""
    return NextHop(
        index,
        address(gateway) if gateway is not None else None,
        onlink=bool(flags & ONLINK),
        weight=weight,
        dead=bool(flags & DEAD),
        linkdown=bool(flags & LINKDOWN),
        realms=realms,
    )


def resolve(
    number: int, objects: Mapping[int, NextHopObject], _depth: int = 0
) -> tuple[tuple[NextHop, ...], bool] | None:
    """Return the hops of an object, and whether it is a blackhole; None when it is not known."""
    found = objects.get(number)
    if found is None or _depth > 1:  # the kernel does not nest groups
        return None
    if found.blackhole:
        return (), True
    if not found.group:
        return ((found.hop,) if found.hop else ()), False
    hops: list[NextHop] = []
    for member, weight in found.group:
        inner = resolve(member, objects, _depth + 1)
        if inner is None:
            return None
        hops += [NextHop(h.index, h.gateway, h.onlink, weight, h.dead, h.linkdown) for h in inner[0]]
    return tuple(hops), False


def _nexthop(body: bytes) -> NextHopObject | None:
    _, _, _, flags = _NHMSG.unpack_from(body)
    found = attributes(body, 8)
    number = number32(found, _ID)
    if _GROUP in found:
        entries = _GROUP_ENTRY.iter_unpack(found[_GROUP])
        return NextHopObject(number, group=tuple((member, weight + 1) for member, weight, _ in entries))
    if _BLACKHOLE in found:
        return NextHopObject(number, blackhole=True)
    return NextHopObject(number, make_hop(number32(found, _OIF), found.get(_GATEWAY), flags))
