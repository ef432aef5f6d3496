"""The value of an nftables expression for one packet, and whether it matches the right side of a match.

A value is an integer (addresses, marks, protocols), a string (device names, types), `Ports` (a port or a
range of them), a set of strings (conntrack states) or a tuple of these; or it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from skoopctl.dataplane.matches.connection import states_of
from skoopctl.dataplane.packet import PROTOCOL_NUMBERS, Packet, Ports
from skoopctl.dataplane.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown, any_of, ports_within
from skoopctl.kernel.nft import (
    AnonymousSet,
    Binary,
    Concat,
    Ct,
    Element,
    Expression,
    Fib,
    FlagSet,
    Literal,
    Meta,
    NftSet,
    NftTable,
    Payload,
    Prefix,
    Range,
    SetReference,
)

Scalar = int | str | Ports | frozenset[str]
Value = Scalar | tuple[Scalar, ...]


_ICMP_TYPES = {
    0: "echo-reply",
    1: "destination-unreachable",
    2: "packet-too-big",
    3: "destination-unreachable",
    8: "echo-request",
    11: "time-exceeded",
    128: "echo-request",
    129: "echo-reply",
    133: "nd-router-solicit",
    134: "nd-router-advert",
    135: "nd-neighbor-solicit",
    136: "nd-neighbor-advert",
}


class SourcePorts(Ports):
    """The packet's source ports: a match that divides them narrows the packet's."""

    __slots__ = ()


class DestinationPorts(Ports):
    """The packet's destination ports."""

    __slots__ = ()


def _within(ports: Ports, low: int, high: int) -> Truth:
    """Tell whether ports lie in a range; ports that conntrack keeps are on no side of the packet."""
    sides = {SourcePorts: "source", DestinationPorts: "destination"}
    return ports_within(ports, low, high, sides.get(type(ports), "connection"))


class AbsentError(Exception):
    """The packet has no such field (``tcp dport`` of a UDP packet): the rule does not match."""


class UnclearError(Exception):
    """The value is outside the model; the text says why."""


_PORT_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "udplite": 136}


def value_of(expression: Expression, scene: Scene) -> Value:
    """Return the value of a left-hand expression; raises `AbsentError` or `UnclearError`."""
    if isinstance(expression, Payload):
        return _payload(expression, scene)
    if isinstance(expression, Meta):
        return _meta(expression, scene)
    if isinstance(expression, Ct):
        return _ct(expression, scene)
    if isinstance(expression, Fib):
        return _fib(expression, scene)
    if isinstance(expression, Literal):
        return literal_value(expression.value)
    if isinstance(expression, Binary):
        return _binary(expression, scene)
    if isinstance(expression, Concat):
        return tuple(_scalar(value_of(part, scene)) for part in expression.parts)
    raise UnclearError(f"the expression {type(expression).__name__} is not modelled")


def _scalar(value: Value) -> Scalar:
    if isinstance(value, tuple) and not isinstance(value, Ports):
        raise UnclearError("a concatenation inside a concatenation")
    return value


def literal_value(raw: str | int | bool) -> Scalar:
    """Return a literal as the packet's side of a comparison has it."""
    if isinstance(raw, int):
        return int(raw)
    if raw in PROTOCOL_NUMBERS:
        return PROTOCOL_NUMBERS[raw]
    if raw in {"ipv6-icmp", "icmpv6"}:
        return 58
    try:
        return int(ip_address(raw))
    except ValueError:
        return raw


def _payload(expression: Payload, scene: Scene) -> Value:
    reader = _HEADERS.get(expression.protocol)
    value = reader(expression, scene.packet) if reader is not None else None
    if value is None:
        raise UnclearError(f"{expression.protocol} {expression.field} is not modelled")
    return value


def _ip_header(expression: Payload, packet: Packet) -> Value | None:
    if packet.family != (4 if expression.protocol == "ip" else 6):
        raise AbsentError
    fields = {"saddr": packet.source, "daddr": packet.destination}
    fields |= dict.fromkeys(("protocol", "nexthdr"), packet.protocol)
    return fields.get(expression.field)


def _transport_header(expression: Payload, packet: Packet) -> Value | None:
    wanted = _PORT_PROTOCOLS.get(expression.protocol, packet.protocol)
    if packet.protocol not in _PORT_PROTOCOLS.values() or packet.protocol != wanted:
        raise AbsentError
    if expression.field == "sport":
        return SourcePorts(*packet.source_ports)
    if expression.field == "dport":
        return DestinationPorts(*packet.destination_ports)
    if expression.field == "flags" and packet.protocol == 6:
        return frozenset(name.lower() for name in packet.flags.names)
    return None


def _icmp_header(expression: Payload, packet: Packet) -> Value | None:
    if packet.protocol != (1 if expression.protocol == "icmp" else 58):
        raise AbsentError
    return _ICMP_TYPES.get(packet.icmp_type) if expression.field == "type" else None


_HEADERS: dict[str, Callable[[Payload, Packet], Value | None]] = {
    **dict.fromkeys(("ip", "ip6"), _ip_header),
    **dict.fromkeys((*_PORT_PROTOCOLS, "th"), _transport_header),
    **dict.fromkeys(("icmp", "icmpv6"), _icmp_header),
}


def _meta(expression: Meta, scene: Scene) -> Value:
    key = expression.key
    if key == "mark":
        return scene.packet.mark
    if key == "l4proto":
        return scene.packet.protocol
    if key in {"nfproto", "protocol"}:
        return {4: "ipv4", 6: "ipv6"}[scene.packet.family] if key == "nfproto" else _ether(scene)
    if key in {"iifname", "iif"}:
        return scene.in_link.name if scene.in_link else ""
    if key in {"oifname", "oif"}:
        return scene.out_link.name if scene.out_link else ""
    if key == "iiftype":
        raise UnclearError("meta iiftype is not modelled")
    if key == "pkttype":
        return "host"
    raise UnclearError(f"meta {key} is not modelled")


def _ether(scene: Scene) -> str:
    return "ip" if scene.packet.family == 4 else "ip6"


def _ct(expression: Ct, scene: Scene) -> Value:
    tracking = scene.packet.tracking
    entry = tracking.entry if tracking else None
    key = expression.key
    if key == "state":
        return frozenset(name.lower() for name in states_of(scene) if name not in {"SNAT", "DNAT"})
    if key == "status":
        return _status(scene)
    if entry is None or tracking is None:
        raise AbsentError
    if key == "mark":
        return entry.mark
    if key == "direction":
        return "reply" if tracking.is_reply else "original"
    if key in {"saddr", "daddr", "proto-src", "proto-dst", "protocol", "ip saddr", "ip daddr"}:
        tuple5 = entry.reply if expression.direction == "reply" else entry.original
        by_key: dict[str, Value] = {
            "saddr": tuple5.source,
            "daddr": tuple5.destination,
            "proto-src": tuple5.source_ports,
            "proto-dst": tuple5.destination_ports,
            "protocol": tuple5.protocol,
        }
        return by_key[key.removeprefix("ip ")]
    raise UnclearError(f"ct {key} is not modelled")


def _status(scene: Scene) -> frozenset[str]:
    tracking = scene.packet.tracking
    if tracking is None or tracking.entry is None:
        return frozenset()
    entry = tracking.entry
    flags = {
        "seen-reply": entry.seen_reply,
        "confirmed": entry.confirmed,
        "snat": entry.source_nat,
        "dnat": entry.destination_nat,
    }
    return frozenset(name for name, is_set in flags.items() if is_set)


def _fib(expression: Fib, scene: Scene) -> Value:
    if expression.result != "type":
        raise UnclearError(f"fib {expression.result} is not modelled")
    if "route" in scene.netns.gaps:
        raise UnclearError(f"fib needs the routes of {scene.netns.host}, which were not read")
    packet = scene.packet
    ip = packet.source if "saddr" in expression.flags else packet.destination
    link = (
        scene.in_link if "iif" in expression.flags else scene.out_link if "oif" in expression.flags else None
    )
    return scene.router.address_type(ip, packet.family, link.index if link else 0).value


def _binary(expression: Binary, scene: Scene) -> Value:
    left = value_of(expression.left, scene)
    if isinstance(left, frozenset) and expression.operator == "&":
        return left & flag_names(expression.right)
    right = value_of(expression.right, scene)
    if not isinstance(left, int) or not isinstance(right, int):
        raise UnclearError(f"{expression.operator} of something that is not a number")
    operations = {
        "&": left & right,
        "|": left | right,
        "^": left ^ right,
        "<<": left << min(right, 64) & 0xFFFFFFFF,
        ">>": left >> min(right, 64),
    }
    if expression.operator not in operations:
        raise UnclearError(f"operator {expression.operator} is not modelled")
    return operations[expression.operator]


def flag_names(expression: Expression) -> frozenset[str]:
    """Return the names in a list of flags; raises `UnclearError` for anything else."""
    if isinstance(expression, FlagSet):
        return frozenset(expression.names)
    if isinstance(expression, Literal) and isinstance(expression.value, str):
        return frozenset({expression.value})
    if isinstance(expression, Binary) and expression.operator == "|":
        return flag_names(expression.left) | flag_names(expression.right)
    raise UnclearError("flags that are not names")


# --- matching --------------------------------------------------------------------------------------------


class SetIndex:
    """The elements of a set or map, by exact key where the key is one value; the others in a list."""

    def __init__(self, elements: tuple[Element, ...]) -> None:
        self.exact: dict[Value, Element] = {}
        self.others: list[Element] = []
        for element in elements:
            key = _exact_key(element.key)
            if key is None:
                self.others.append(element)
            else:
                self.exact[key] = element

    def find(self, value: Value) -> tuple[Truth, Element | None]:
        """Return whether the value is in the set, and the element that holds it."""
        if isinstance(value, frozenset):
            if len(value) != 1:
                return Unknown("several flags at once are looked up in a set"), None
            (value,) = value
        element = self.exact.get(_plain(value))
        if element is not None:
            return True, element
        undecided: tuple[Truth, Element | None] = (False, None)
        for other in self.others:
            truth = matches(value, other.key)
            if truth is True:
                return True, other
            if truth is not False:
                undecided = (truth, other)
        if undecided[0] is False and _is_wide(value) and self.exact:
            return self._find_range(value)
        return undecided

    def _find_range(self, value: Value) -> tuple[Truth, Element | None]:
        """Look a range of ports up among exact keys."""
        if isinstance(value, Ports):
            inside = [key for key in self.exact if isinstance(key, int) and value.low <= key <= value.high]
            if not inside:
                return False, None
            if len(inside) == 1:
                return _within(value, inside[0], inside[0]), self.exact[inside[0]]
        return Unknown("a range of ports is looked up in a set"), None


def _is_wide(value: Value) -> bool:
    if isinstance(value, Ports):
        return value.low != value.high
    return isinstance(value, tuple) and any(isinstance(p, Ports) and p.low != p.high for p in value)


def _plain(value: Value) -> Value:
    """Turn single ports into numbers, so that they equal literals."""
    if isinstance(value, Ports):
        return value.low if value.low == value.high else value
    if isinstance(value, tuple):
        return tuple(p.low if isinstance(p, Ports) and p.low == p.high else p for p in value)
    return value


def _exact_key(expression: Expression) -> Value | None:
    if isinstance(expression, Literal):
        raw = expression.value
        return None if isinstance(raw, str) and raw.endswith("*") else literal_value(raw)
    if isinstance(expression, Concat):
        parts = [_exact_key(part) for part in expression.parts]
        if any(part is None for part in parts):
            return None
        return tuple(part for part in parts if part is not None and not _is_concat(part))  # type: ignore[misc]
    return None


def _is_concat(value: Value) -> bool:
    return isinstance(value, tuple) and not isinstance(value, Ports)


def matches(value: Value, right: Expression) -> Truth:
    """Tell whether a value equals, or lies in, a right-hand expression (a set, prefix, range or literal)."""
    if isinstance(right, Concat):
        parts = value if isinstance(value, tuple) and not isinstance(value, Ports) else (value,)
        if len(parts) != len(right.parts):
            return Unknown("a concatenation of another length")
        return _all(matches(part, wanted) for part, wanted in zip(parts, right.parts, strict=True))
    if isinstance(right, Prefix):
        network = ip_address(right.address)
        shift = network.max_prefixlen - right.length
        return isinstance(value, int) and (value >> shift) == (int(network) >> shift)
    if isinstance(right, Range):
        return _in_range(value, right)
    if isinstance(right, FlagSet):
        if isinstance(value, frozenset):
            return not value.isdisjoint(right.names)
        return any_of(matches(value, Literal(name)) for name in right.names)
    if isinstance(right, AnonymousSet):
        return SetIndex(right.elements).find(value)[0]
    if isinstance(right, Literal):
        return _equals(value, right)
    return Unknown(f"{type(right).__name__} on the right side is not modelled")


def _equals(value: Value, right: Literal) -> Truth:
    wanted = right.value
    if isinstance(value, frozenset):
        return wanted in value
    if isinstance(value, Ports):
        number = literal_value(wanted)
        return isinstance(number, int) and _within(value, number, number)
    if isinstance(wanted, str) and isinstance(value, str):
        return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted
    return value == literal_value(wanted)


def compare(value: Value, operator: str, right: Expression) -> Truth:
    """Decide ``<``, ``<=``, ``>`` and ``>=``."""
    wanted = literal_value(right.value) if isinstance(right, Literal) else None
    if not isinstance(wanted, int):
        return Unknown(f"the comparison {operator} is not modelled here")
    bounds = {"<": (0, wanted - 1), "<=": (0, wanted), ">": (wanted + 1, None), ">=": (wanted, None)}
    low, high = bounds[operator]
    if isinstance(value, Ports):
        return _within(value, low, 65535 if high is None else high)
    if isinstance(value, int):
        return low <= value and (high is None or value <= high)
    return Unknown(f"the comparison {operator} is not modelled here")


def _in_range(value: Value, right: Range) -> Truth:
    if not isinstance(right.low, Literal) or not isinstance(right.high, Literal):
        return Unknown("a range of expressions")
    low, high = literal_value(right.low.value), literal_value(right.high.value)
    if not isinstance(low, int) or not isinstance(high, int):
        return Unknown("a range of names")
    if isinstance(value, Ports):
        return _within(value, low, high)
    return isinstance(value, int) and low <= value <= high


def _all(truths: Iterable[Truth]) -> Truth:
    """Kleene AND. Of several that are undecided none can stand for all: unknown."""
    undecided: list[Truth] = []
    for truth in truths:
        if truth is False:
            return False
        if truth is not True:
            undecided.append(truth)
    if len(undecided) > 1:
        return Unknown("several parts of a concatenation are undecided")
    return undecided[0] if undecided else True


class TableSets:
    """The named sets and maps of one table, indexed on first use."""

    def __init__(self, table: NftTable) -> None:
        self._table = table
        self._indexes: dict[str, SetIndex] = {}
        self._anonymous: dict[int, SetIndex] = {}

    def named(self, name: str) -> SetIndex | None:
        """Return a named set, or None when the dump does not hold it."""
        known: NftSet | None = self._table.sets.get(name)
        if known is None:
            return None
        if name not in self._indexes:
            self._indexes[name] = SetIndex(known.elements)
        return self._indexes[name]

    def of(self, expression: Expression) -> SetIndex:
        """Return the index of a set or map expression; raises `UnclearError` for a missing one."""
        if isinstance(expression, SetReference):
            index = self.named(expression.name)
            if index is None:
                raise UnclearError(f"the set @{expression.name} is not in the dump")
            return index
        if isinstance(expression, AnonymousSet):
            if id(expression) not in self._anonymous:
                self._anonymous[id(expression)] = SetIndex(expression.elements)
            return self._anonymous[id(expression)]
        raise UnclearError(f"{type(expression).__name__} is not a set")
