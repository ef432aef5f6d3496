"""Decode the dump of IPSET_CMD_LIST (include/uapi/linux/netfilter/ipset/ip_set.h).

The kernel sends a set in as many messages as its members need: the first has its header, all have its name
(net/netfilter/ipset/ip_set_core.c: ip_set_dump_do). Numbers are in network byte order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import Struct
from struct import error as struct_error

from skoopctl.kernel.ipset import (
    TYPES,
    Dimension,
    Interface,
    IpSet,
    IpSets,
    Member,
    Net,
    ProtocolPort,
    Value,
)
from skoopctl.kernel.netlink.dump import attributes, decode_dump, text
from skoopctl.kernel.netlink.ipset_layout import Layout, layout_of

_LIST = 6 << 8 | 7  # NFNL_SUBSYS_IPSET, IPSET_CMD_LIST
_SETNAME, _TYPENAME, _FAMILY, _DATA, _ADT = 2, 3, 5, 7, 8
_IP, _IP_TO, _CIDR, _PORT, _PORT_TO, _TIMEOUT, _PROTO, _FLAGS = 1, 2, 3, 4, 5, 6, 7, 8
_MARK, _MARKMASK, _BITMASK = 10, 11, 12
_NETMASK = 20  # of a header; IPSET_ATTR_IP2 of a member
_ETHER, _NAME, _IP2, _CIDR2, _IFACE, _BYTES, _PACKETS, _COMMENT = 17, 18, 20, 21, 23, 24, 25, 26
_SKBMARK, _SKBPRIO, _SKBQUEUE = 27, 28, 29
_PHYSDEV, _NOMATCH, _WITH_COUNTERS, _WITH_COMMENT, _WITH_SKBINFO, _WILDCARD = 2, 4, 8, 16, 64, 128
_HEAD = Struct("=HH")
_FAMILIES = {2: 4, 10: 6}
_BITS = {0: 128, 4: 32, 6: 128}


@dataclass(slots=True)
class _Open:
    """A set while its messages are read."""

    name: str
    type: str = ""
    family: int = 0
    header: dict[int, bytes] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    problem: str = ""


def decode_ipset_dump(raw: bytes) -> IpSets:
    """Decode all sets. A member that cannot be read makes its set's ``problem``; never raises.

    In a dump that was cut, the set that was being sent has a ``problem``, and so has the whole: sets may be
    missing.
    """
    found: dict[str, _Open] = {}

    def take(body: bytes) -> None:
        _message(attributes(body, 4), found)

    problem = decode_dump(raw, _LIST, take).problem
    if problem and found:
        last = next(reversed(found.values()))
        last.problem = last.problem or f"the dump of sets was not read whole: {problem}"
    return IpSets({name: _close(each) for name, each in found.items()}, problem)


def _message(top: dict[int, bytes], found: dict[str, _Open]) -> None:
    name = text(top[_SETNAME]) if _SETNAME in top else ""
    if not name:
        raise ValueError("a set without a name")
    made = found.setdefault(name, _Open(name))
    try:
        if _TYPENAME in top:
            made.type = text(top[_TYPENAME])
            made.family = _FAMILIES.get(top[_FAMILY][0], 0) if top.get(_FAMILY) else 0
            made.header = attributes(top[_DATA]) if _DATA in top else {}
        _members(made, top.get(_ADT, b""))
    except (ValueError, struct_error, IndexError, KeyError) as error:
        made.problem = made.problem or f"a message about the set is malformed ({error})"


def _members(made: _Open, data: bytes) -> None:
    dimensions = TYPES.get(made.type)
    if dimensions is None:
        made.problem = made.problem or f"set type {made.type or '(not told)'} is not modelled"
        return
    read = [_READERS[dimension] for dimension in dimensions]
    second = _second_address(dimensions)
    bits = _BITS[made.family]
    layout: Layout | None = None
    for start, end in _spans(data):
        if layout is not None and layout.size == end - start:
            quick = layout.read(data, start)
            if quick is not None:
                made.members.append(Member(quick))
                continue
        found = attributes(data[start + 4 : end])
        values = tuple((_address2 if at == second else one)(found, bits) for at, one in enumerate(read))
        if made.type == "bitmap:port":
            values = (ProtocolPort(0, _be(found[_PORT])),)
        made.members.append(_member(found, values) if len(found) > len(values) else Member(values))
        layout = layout_of(data[start:end], dimensions, bits)


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each attribute of an array begins and ends (they have one type: no dictionary)."""
    offset, size = 0, len(data)
    while offset + 4 <= size:
        length, _ = _HEAD.unpack_from(data, offset)
        if length < 4 or offset + length > size:
            raise ValueError(f"a member of {length} bytes")
        yield offset, offset + length
        offset += (length + 3) & ~3


def _second_address(dimensions: tuple[Dimension, ...]) -> int:
    """Return the place of the second address, or -1."""
    places = [at for at, dimension in enumerate(dimensions) if dimension in {Dimension.IP, Dimension.NET}]
    return places[1] if len(places) > 1 else -1


def _be(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _net(address: bytes, cidr: bytes | None, bits: int) -> Net:
    """Read a nest that holds one address, and the prefix length beside it (a host's when there is none)."""
    value = address[4:]
    if len(value) * 8 != bits:
        raise ValueError(f"an address of {len(value)} bytes")
    length = cidr[0] if cidr else bits
    if length > bits:
        raise ValueError(f"a prefix length of {length}")
    return Net(int.from_bytes(value, "big"), length)


def _address(found: dict[int, bytes], bits: int) -> Value:
    return _net(found[_IP], found.get(_CIDR), bits)


def _address2(found: dict[int, bytes], bits: int) -> Value:
    return _net(found[_IP2], found.get(_CIDR2), bits)


def _port(found: dict[int, bytes], _bits: int) -> Value:
    return ProtocolPort(found[_PROTO][0] if _PROTO in found else 0, _be(found[_PORT]))


def _mac(found: dict[int, bytes], _bits: int) -> Value:
    return _be(found[_ETHER][:6]) if _ETHER in found else None


def _iface(found: dict[int, bytes], _bits: int) -> Value:
    flags = _be(found.get(_FLAGS, b""))
    return Interface(text(found[_IFACE]), bool(flags & _PHYSDEV), bool(flags & _WILDCARD))


def _mark(found: dict[int, bytes], _bits: int) -> Value:
    return _be(found[_MARK])


def _name(found: dict[int, bytes], _bits: int) -> Value:
    return text(found[_NAME])


_READERS: dict[Dimension, Callable[[dict[int, bytes], int], Value]] = {
    Dimension.IP: _address,
    Dimension.NET: _address,
    Dimension.PORT: _port,
    Dimension.MAC: _mac,
    Dimension.IFACE: _iface,
    Dimension.MARK: _mark,
    Dimension.SET: _name,
}


def _optional(found: dict[int, bytes], key: int) -> int | None:
    return _be(found[key]) if key in found else None


def _member(found: dict[int, bytes], values: tuple[Value, ...]) -> Member:
    mark = _optional(found, _SKBMARK)
    return Member(
        values,
        bool(_be(found.get(_FLAGS, b"")) & _NOMATCH),
        _optional(found, _TIMEOUT) or None,
        _optional(found, _PACKETS),
        _optional(found, _BYTES),
        text(found.get(_COMMENT, b"")),
        None if mark is None else (mark >> 32, mark & 0xFFFFFFFF),
        _optional(found, _SKBPRIO),
        _optional(found, _SKBQUEUE),
    )


def _close(made: _Open) -> IpSet:
    header, bits = made.header, _BITS[made.family]
    flags = _be(header.get(_FLAGS, b""))
    problem = made.problem
    if made.type not in TYPES:
        problem = problem or f"set type {made.type or '(not told)'} is not modelled"
    return IpSet(
        made.name,
        made.type,
        made.family,
        tuple(made.members),
        *_bounds(header),
        _lookup_mask(header, bits),
        _be(header[_MARKMASK]) if _MARKMASK in header else 0xFFFFFFFF,
        _optional(header, _TIMEOUT),
        bool(flags & _WITH_COUNTERS),
        bool(flags & _WITH_COMMENT),
        bool(flags & _WITH_SKBINFO),
        problem,
    )


def _bounds(header: dict[int, bytes]) -> tuple[int, int]:
    """Return the first and last address or port of a bitmap."""
    if _IP in header and _IP_TO in header:
        return _be(header[_IP][4:]), _be(header[_IP_TO][4:])
    return _be(header.get(_PORT, b"")), _be(header.get(_PORT_TO, b""))


def _lookup_mask(header: dict[int, bytes], bits: int) -> int:
    """Return the mask that packets' addresses are looked up with (0: none)."""
    if _BITMASK in header:
        return _be(header[_BITMASK][4:])
    length = header[_NETMASK][0] if header.get(_NETMASK) else bits
    return 0 if length >= bits else ((1 << length) - 1) << (bits - length)
