"""Write sets as the kernel's dump has them, for the types that the kernel of the tests lacks, and for damage."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from skoopctl.kernel.ipset import Interface, IpSet, Member, Net, ProtocolPort, Value

_LIST = 6 << 8 | 7
_NESTED, _NET_ORDER = 0x8000, 0x4000
_ADDRESSES = ((1, 3), (20, 21))


def attribute(kind: int, data: bytes) -> bytes:
    """Return one attribute, padded."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def dump_of(sets: Iterable[IpSet]) -> bytes:
    """Return the datagrams of a dump, with the end message."""
    return b"".join(_set(each) for each in sets) + _message(3, bytes(4))


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def _set(ipset: IpSet) -> bytes:
    body = struct.pack("=BBH", 2, 0, 0) + attribute(1, b"\x06") + attribute(2, ipset.name.encode() + b"\0")
    body += attribute(3, ipset.type.encode() + b"\0")
    body += attribute(5, bytes([{4: 2, 6: 10, 0: 0}[ipset.family]]))
    body += attribute(7 | _NESTED, _header(ipset))
    members = b"".join(attribute(7 | _NESTED, _member(ipset, each)) for each in ipset.members)
    return _message(_LIST, body + attribute(8 | _NESTED, members))


def _header(ipset: IpSet) -> bytes:
    if ipset.type == "bitmap:port":
        return attribute(4 | _NET_ORDER, struct.pack(">H", ipset.first)) + attribute(
            5 | _NET_ORDER, struct.pack(">H", ipset.last)
        )
    header = b""
    if ipset.type.startswith("bitmap:ip"):
        header = _address(1, ipset.first, 4) + _address(2, ipset.last, 4)
    if ipset.mask:
        header += _address(12, ipset.mask, ipset.family)
    if ipset.mark_mask != 0xFFFFFFFF:
        header += attribute(11 | _NET_ORDER, struct.pack(">I", ipset.mark_mask))
    if ipset.timeout_s is not None:
        header += attribute(6 | _NET_ORDER, struct.pack(">I", ipset.timeout_s))
    return header


def _address(kind: int, value: int, family: int) -> bytes:
    size = 4 if family == 4 else 16
    inner = attribute((1 if family == 4 else 2) | _NET_ORDER, value.to_bytes(size, "big"))
    return attribute(kind | _NESTED, inner)


def _member(ipset: IpSet, member: Member) -> bytes:
    places = iter(_ADDRESSES)
    data, flags = b"", 4 if member.nomatch else 0
    for value in member.values:
        if isinstance(value, Interface):
            flags |= (2 if value.physdev else 0) | (128 if value.wildcard else 0)
        data += _value(ipset, value, places)
    if flags:
        data += attribute(8 | _NET_ORDER, struct.pack(">I", flags))
    return data + _extensions(member)


def _extensions(member: Member) -> bytes:
    mark = None if member.skbmark is None else member.skbmark[0] << 32 | member.skbmark[1]
    numbers = (
        (6, ">I", member.timeout_s),
        (25, ">Q", member.packets),
        (24, ">Q", member.octets),
        (27, ">Q", mark),
        (28, ">I", member.skbprio),
        (29, ">H", member.skbqueue),
    )
    data = b"".join(
        attribute(kind | _NET_ORDER, struct.pack(form, number))
        for kind, form, number in numbers
        if number is not None
    )
    return data + (attribute(26, member.comment.encode() + b"\0") if member.comment else b"")


def _value(ipset: IpSet, value: Value, places: Iterable[tuple[int, int]]) -> bytes:
    if isinstance(value, Net):
        address, cidr = next(iter(places))
        return _address(address, value.address, ipset.family) + attribute(cidr, bytes([value.length]))
    if isinstance(value, ProtocolPort):
        port = attribute(4 | _NET_ORDER, struct.pack(">H", value.port))
        return port + (b"" if ipset.type == "bitmap:port" else attribute(7, bytes([value.protocol])))
    if isinstance(value, Interface):
        return attribute(23, value.name.encode() + b"\0")
    if isinstance(value, str):
        return attribute(18, value.encode() + b"\0")
    if value is None:
        return b""
    if "mac" in ipset.type:
        return attribute(17, value.to_bytes(6, "big"))
    return attribute(10 | _NET_ORDER, struct.pack(">I", value))
