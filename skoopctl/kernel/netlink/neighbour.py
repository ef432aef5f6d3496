"""Decode RTM_NEWNEIGH (include/uapi/linux/neighbour.h): neighbours, proxies, and forwarding databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from struct import Struct

from skoopctl.kernel.neighbour import FdbEntry, Neighbour, NeighbourState
from skoopctl.kernel.netlink.dump import (
    AF_INET,
    AF_INET6,
    Dump,
    address,
    attributes,
    be16,
    decode_dump,
    link_layer,
    number32,
    u16,
)

_NDMSG = Struct("=BxxxiHBB")  # family, index, state, flags, type
_RTM_NEWNEIGH = 28
_AF_BRIDGE = 7
_DST, _LLADDR, _VLAN, _PORT, _VNI, _IFINDEX, _MASTER = 1, 2, 5, 6, 7, 8, 9
_NTF_SELF, _NTF_PROXY, _NTF_EXT_LEARNED = 0x02, 0x08, 0x10
_FLAG_NAMES = ((0x02, "self"), (0x80, "router"), (0x10, "extern_learn"), (0x20, "offload"), (0x40, "sticky"))
_PERMANENT, _NOARP, _STALE = 0x80, 0x40, 0x04
_STATES = {
    0x01: NeighbourState.INCOMPLETE,
    0x02: NeighbourState.REACHABLE,
    0x04: NeighbourState.STALE,
    0x08: NeighbourState.DELAY,
    0x10: NeighbourState.PROBE,
    0x20: NeighbourState.FAILED,
    0x40: NeighbourState.NOARP,
    0x80: NeighbourState.PERMANENT,
}


def decode_neighbours(raw: bytes, *, devices: Mapping[int, str] | None = None) -> Dump[Neighbour]:
    """Decode a dump of RTM_GETNEIGH, with or without NTF_PROXY."""
    return decode_dump(raw, _RTM_NEWNEIGH, partial(_neighbour, devices=devices or {}))


def decode_fdb(raw: bytes, *, devices: Mapping[int, str] | None = None) -> Dump[FdbEntry]:
    """Decode a dump of RTM_GETNEIGH for AF_BRIDGE."""
    return decode_dump(raw, _RTM_NEWNEIGH, partial(_fdb, devices=devices or {}))


def _neighbour(body: bytes, *, devices: Mapping[int, str]) -> Neighbour | None:
    family, index, state, flags, _ = _NDMSG.unpack_from(body)
    if family not in {AF_INET, AF_INET6}:
        return None
    found = attributes(body, 12)
    ip = address(found[_DST]) if _DST in found else None
    if ip is None:
        raise ValueError("a neighbour without an address")
    mac = link_layer(found.get(_LLADDR, b""))
    word = _STATES.get(state, NeighbourState.NONE)
    proxy = bool(flags & _NTF_PROXY)
    words = [str(ip)]
    words += ["dev", devices.get(index, f"if{index}")] if index else []
    words += ["lladdr", mac] if mac else []
    words += ["router"] if flags & 0x80 else []
    words += ["proxy"] if proxy else []
    words += ["extern_learn"] if flags & _NTF_EXT_LEARNED else []
    words += [] if proxy else [word.value]
    return Neighbour(index, ip, mac, word, proxy, " ".join(words))


def _fdb(body: bytes, *, devices: Mapping[int, str]) -> FdbEntry | None:
    family, index, state, flags, _ = _NDMSG.unpack_from(body)
    if family != _AF_BRIDGE:
        return None
    found = attributes(body, 12)
    master = number32(found, _MASTER)
    permanent = bool(state & _PERMANENT)
    entry = FdbEntry(
        index,
        link_layer(found.get(_LLADDR, b"")),
        master,
        bool(flags & _NTF_SELF),
        permanent,
        permanent and bool(master) and not flags & _NTF_EXT_LEARNED,
        u16.unpack_from(found[_VLAN])[0] if _VLAN in found else 0,
        address(found[_DST]) if _DST in found else None,
        be16.unpack_from(found[_PORT])[0] if _PORT in found else 0,
        number32(found, _VNI),
        via=number32(found, _IFINDEX),
    )
    return _with_text(entry, state, flags, devices)


def _with_text(entry: FdbEntry, state: int, flags: int, devices: Mapping[int, str]) -> FdbEntry:
    """Add the line that ``bridge fdb`` prints (iproute2: bridge/fdb.c, print_fdb)."""
    words = [entry.mac, "dev", devices.get(entry.index, f"if{entry.index}")]
    words += ["dst", str(entry.remote)] if entry.remote else []
    words += ["vlan", str(entry.vlan)] if entry.vlan else []
    words += ["port", str(entry.port)] if entry.port else []
    words += ["vni", str(entry.vni)] if entry.vni else []
    words += ["via", devices.get(entry.via, f"if{entry.via}")] if entry.via else []
    words += [name for bit, name in _FLAG_NAMES if flags & bit]
    words += ["master", devices.get(entry.master, f"if{entry.master}")] if entry.master else []
    if state & _PERMANENT:
        words.append("permanent")
    elif state & _NOARP:
        words.append("static")
    elif state & _STALE:
        words.append("stale")
    return replace(entry, text=" ".join(words))
