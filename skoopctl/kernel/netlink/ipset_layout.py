"""The layout that the members of a set share: found once, it reads the next member without parsing it again.

A set may have a hundred thousand members, and the kernel writes all of them with the same attributes in the same
places. Members with extensions (timeouts, counters, comments) or flags are parsed one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from skoopctl.kernel.ipset import Dimension, Net, ProtocolPort, Value

_HEAD = Struct("=HH")
_IP, _CIDR, _PORT, _PROTO, _MARK, _IP2, _CIDR2 = 1, 3, 4, 7, 10, 20, 21
_SIZES = {_CIDR: "B", _CIDR2: "B", _PROTO: "B", _PORT: "H", _MARK: "I"}
_TYPE_MASK = 0x3FFF

_Raw = tuple[int | bytes, ...]
_Maker = Callable[[_Raw], Value]


@dataclass(frozen=True, slots=True)
class Layout:
    """Constant bytes and values by turns, and how the values make a member."""

    size: int
    fields: Struct
    constants: _Raw
    makers: tuple[_Maker, ...]

    def read(self, data: bytes, offset: int) -> tuple[Value, ...] | None:
        """Return the member's values, or None when it is laid out in another way."""
        found = self.fields.unpack_from(data, offset)
        if found[::2] != self.constants:
            return None
        values = found[1::2]
        return tuple([make(values) for make in self.makers])


def layout_of(member: bytes, dimensions: tuple[Dimension, ...], bits: int) -> Layout | None:
    """Find the layout of a member, its own attribute header included; None when it has more than values."""
    places: dict[int, int] = {}
    spans: list[tuple[int, str]] = []
    offset = 4
    while offset + 4 <= len(member):
        length, raw_kind = _HEAD.unpack_from(member, offset)
        kind = raw_kind & _TYPE_MASK
        if length < 4 or offset + length > len(member) or kind in places:
            return None
        if kind in {_IP, _IP2}:
            if length != 8 + bits // 8:
                return None
            spans.append((offset + 8, "I" if bits == 32 else "16s"))
        elif kind in _SIZES:
            if length != 4 + Struct(f">{_SIZES[kind]}").size:
                return None
            spans.append((offset + 4, _SIZES[kind]))
        else:
            return None
        places[kind] = len(spans) - 1
        offset += (length + 3) & ~3
    makers = _makers(places, dimensions, bits)
    if makers is None or not spans:
        return None
    return _layout(member, spans, makers)


def _layout(member: bytes, spans: list[tuple[int, str]], makers: tuple[_Maker, ...]) -> Layout:
    form, at = ">", 0
    constants = []
    for start, code in spans:
        form += f"{start - at}s{code}"
        constants.append(member[at:start])
        at = start + Struct(f">{code}").size
    form += f"{len(member) - at}s"
    return Layout(len(member), Struct(form), (*constants, member[at:]), makers)


def _makers(
    places: dict[int, int], dimensions: tuple[Dimension, ...], bits: int
) -> tuple[_Maker, ...] | None:
    """Return a function for each dimension, from the raw values in their places."""
    makers: list[_Maker] = []
    addresses = iter(((_IP, _CIDR), (_IP2, _CIDR2)))
    for dimension in dimensions:
        if dimension in {Dimension.IP, Dimension.NET}:
            address, cidr = next(addresses, (0, 0))
            if address not in places:
                return None
            makers.append(_net_maker(places[address], places.get(cidr), bits))
        elif dimension is Dimension.PORT and _PORT in places:
            makers.append(_port_maker(places[_PORT], places.get(_PROTO)))
        elif dimension is Dimension.MARK and _MARK in places:
            makers.append(_number_maker(places[_MARK]))
        else:
            return None
    return tuple(makers)


def _net_maker(address: int, cidr: int | None, bits: int) -> _Maker:
    def make(values: _Raw) -> Value:
        raw, length = values[address], bits if cidr is None else values[cidr]
        if not isinstance(length, int) or length > bits:
            raise ValueError(f"a prefix length of {length!r}")
        return Net(raw if isinstance(raw, int) else int.from_bytes(raw, "big"), length)

    return make


def _port_maker(port: int, protocol: int | None) -> _Maker:
    if protocol is None:
        return lambda values: ProtocolPort(0, values[port])  # type: ignore[arg-type]
    return lambda values: ProtocolPort(values[protocol], values[port])  # type: ignore[arg-type]


def _number_maker(place: int) -> _Maker:
    return lambda values: values[place]  # type: ignore[return-value]
