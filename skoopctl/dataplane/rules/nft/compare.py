"""Values of nftables expressions that are known in part, and what can be said when they are compared.

A value is an integer (addresses, marks, states as bits), a string (device names), or one of these: `Ports`
(a range, of which every port happens), `Bits` (some bits are not known), `Span` (not known but for its
bounds), `Draw` (the kernel draws lots), or a tuple of such values for a concatenation.
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.packet import Ports
from skoopctl.dataplane.truth import Chance, Truth, Unknown, ports_within

WORD = 0xFFFFFFFF


class SourcePorts(Ports):
    """The packet's source ports: a match that divides them narrows the packet's."""

    __slots__ = ()


class DestinationPorts(Ports):
    """The packet's destination ports."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Bits:
    """A word of which only the bits in ``known`` are certain; ``what`` names it."""

    value: int
    known: int
    what: str

    @property
    def low(self) -> int:
        """The least that it can be."""
        return self.value & self.known

    @property
    def high(self) -> int:
        """The most that it can be, as a 32-bit word."""
        return self.low | (WORD & ~self.known)


@dataclass(frozen=True, slots=True)
class Span:
    """A number that nobody here knows, between two bounds; ``what`` names it."""

    low: int
    high: int
    what: str


@dataclass(frozen=True, slots=True)
class Draw:
    """A number that is drawn from ``modulus`` numbers beginning with ``offset``, each as likely.

    ``inputs`` is None where each packet draws anew. Else the number is a hash of them: the same inputs give
    the same number, which nobody here knows.
    """

    modulus: int
    offset: int
    what: str
    inputs: object = None

    @property
    def low(self) -> int:
        """The least number."""
        return self.offset

    @property
    def high(self) -> int:
        """The greatest number."""
        return self.offset + self.modulus - 1


Scalar = int | str | Ports | Bits | Span | Draw
Value = Scalar | tuple[Scalar, ...]


def is_concat(value: Value) -> bool:
    """Tell a concatenation from a range of ports, which is a tuple too."""
    return isinstance(value, tuple) and not isinstance(value, Ports)


def parts_of(value: Value) -> tuple[Scalar, ...]:
    """Return the parts of a concatenation, or a single value as the only part."""
    if isinstance(value, tuple) and not isinstance(value, Ports):
        return value
    return (value,)


def plain(value: Scalar) -> int | str | None:
    """Return a value that is fully known, or None."""
    if isinstance(value, int | str):
        return value
    if isinstance(value, Ports) and value.low == value.high:
        return value.low
    return None


def equals(value: Scalar, wanted: int | str) -> Truth:
    """Tell whether a value is a certain one."""
    if isinstance(value, int | str):
        return value == wanted
    if isinstance(wanted, str):
        return Unknown(f"{wanted!r} is compared with a number")
    if isinstance(value, Bits):
        return _unknown(value) if not (value.value ^ wanted) & value.known else False
    return within(value, wanted, wanted)


def within(value: Scalar, low: int, high: int) -> Truth:
    """Tell whether a value lies in an inclusive range."""
    if isinstance(value, int):
        return low <= value <= high
    if isinstance(value, str):
        return Unknown(f"the name {value!r} is compared with numbers")
    if isinstance(value, Ports):
        return ports_within(value, max(low, 0), min(high, 65535), side_of(value))
    if value.high < low or high < value.low:
        return False
    if low <= value.low and value.high <= high:
        return True
    if isinstance(value, Draw):
        return chance(value, min(value.high, high) - max(value.low, low) + 1)
    return _unknown(value)


def chance(draw: Draw, count: int) -> Truth:
    """Return what ``count`` of a draw's numbers amount to."""
    if count <= 0 or count >= draw.modulus:
        return count > 0
    if draw.inputs is not None:
        return Unknown(f"{draw.what} is not known")
    return Chance(count / draw.modulus, draw.what)


def any_bit(value: Scalar, mask: int) -> Truth:
    """Tell whether a value has any of the bits of a mask (what ``ct state new,established`` asks)."""
    if isinstance(value, Bits):
        if value.value & value.known & mask:
            return True
        return _unknown(value) if mask & ~value.known else False
    number = plain(value)
    if isinstance(number, int):
        return bool(number & mask)
    what = value.what if isinstance(value, Span | Draw) else "a range of ports"
    return Unknown(f"{what} is not known")


def combine(operator: str, left: Scalar, right: int) -> Scalar:
    """Apply ``& | ^ << >>`` with a constant to a value, as far as it is known."""
    number = plain(left)
    if isinstance(number, int):
        return _combine(operator, number, right)
    if isinstance(left, Bits):
        return _combine_bits(operator, left, right)
    what = left.what if isinstance(left, Span | Draw) else "a part of a range of ports"
    if operator == "&":
        return Span(0, right, what)
    return Span(0, WORD, what)


def _combine(operator: str, left: int, right: int) -> int:
    if operator == "&":
        return left & right
    if operator == "|":
        return left | right
    if operator == "^":
        return left ^ right
    return (left << min(right, 64)) & WORD if operator == "<<" else left >> min(right, 64)


def _combine_bits(operator: str, left: Bits, right: int) -> Scalar:
    if operator == "&":
        known = left.known | (WORD & ~right)
    elif operator == "|":
        known = left.known | right
    elif operator == "^":
        known = left.known
    else:
        return Span(0, WORD, left.what)
    value = _combine(operator, left.value & left.known, right) & known
    return value if known & WORD == WORD else Bits(value, known, left.what)


def side_of(ports: Ports) -> str:
    """Return whose ports these are; those that conntrack keeps are on no side of the packet."""
    return {SourcePorts: "source", DestinationPorts: "destination"}.get(type(ports), "connection")


def _unknown(value: Bits | Span | Draw) -> Unknown:
    return Unknown(f"{value.what} is not known")
