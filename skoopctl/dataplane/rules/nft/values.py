"""The sides of nftables' matches, made ready: what to read of a packet, and what to compare it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.rules.nft import types
from skoopctl.dataplane.rules.nft.compare import (
    Draw,
    Scalar,
    Span,
    Value,
    any_bit,
    combine,
    equals,
    is_concat,
    parts_of,
    plain,
    within,
)
from skoopctl.dataplane.rules.nft.ct import ct_field
from skoopctl.dataplane.rules.nft.fib import exists_field, fib_field
from skoopctl.dataplane.rules.nft.fields import AbsentError, field_of, raw_bits
from skoopctl.dataplane.rules.nft.meta import META
from skoopctl.dataplane.rules.nft.sets import Part, TableSets, constant, part_of
from skoopctl.dataplane.rules.nft.types import Datatype, UnclearError
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown, all_of, negate
from skoopctl.kernel.nft import (
    AnonymousSet,
    Binary,
    Concat,
    Ct,
    Element,
    Expression,
    Extension,
    Fib,
    Hash,
    Literal,
    MapLookup,
    MatchStatement,
    Meta,
    Numgen,
    Payload,
    RawPayload,
    RouteKey,
    SetReference,
    UnknownExpression,
    VerdictStatement,
)

Read = Callable[[Scene], Value]
Test = Callable[[Scene], Truth]
_SHIFTS_AND_MASKS = frozenset({"&", "|", "^", "<<", ">>"})


@dataclass(frozen=True, slots=True)
class Left:
    """What is read of a packet, and the types of its parts.

    ``read`` raises `AbsentError` where the packet has no such thing and `UnclearError` where it cannot be told.
    """

    read: Read
    types: tuple[Datatype, ...]

    @property
    def type(self) -> Datatype:
        """The type of a single value."""
        return self.types[0]


class Values:
    """Compiles expressions of one table; ``devices`` are the namespace's, by name."""

    def __init__(self, sets: TableSets, family: str, devices: dict[str, int]) -> None:
        self.sets = sets
        self._family = family
        self._devices = Datatype("device", devices)

    # --- the left side -----------------------------------------------------------------------------------

    def left(self, expression: Expression) -> Left:
        """Return how to read an expression; raises `UnclearError` when nobody can."""
        compiler = _LEFT.get(type(expression))
        if compiler is None:
            reason = (
                expression.reason if isinstance(expression, UnknownExpression) else type(expression).__name__
            )
            raise UnclearError(f"{reason} is not modelled")
        return compiler(self, expression)

    def payload(self, expression: Payload) -> Left:
        """Read a header field."""
        field = field_of(expression.protocol, expression.field, self._family)
        if field is None:
            raise UnclearError(f"{expression.protocol} {expression.field} is not modelled")
        return Left(field.read, (field.type,))

    def raw(self, expression: RawPayload) -> Left:
        """Read bits of a header."""
        base, offset, length = expression.base, expression.offset, expression.length
        if not 0 < length <= 256 or not 0 <= offset <= 1 << 16:
            raise UnclearError(f"@{base},{offset},{length} is not modelled")
        return Left(lambda scene: raw_bits(scene.packet, base, offset, length), (types.INTEGER,))

    def meta(self, expression: Meta) -> Left:
        """Read what is known of the packet's way."""
        field = META.get(expression.key)
        if field is None:
            raise UnclearError(f"meta {expression.key} is not modelled")
        device = expression.key in {"iif", "oif", "sdif"}
        return Left(field.read, (self._devices if device else field.type,))

    def ct(self, expression: Ct) -> Left:
        """Read the connection."""
        field = ct_field(expression)
        return Left(field.read, (field.type,))

    def fib(self, expression: Fib) -> Left:
        """Ask the routes."""
        field = fib_field(expression)
        return Left(field.read, (self._devices if expression.result == "oif" else field.type,))

    def extension(self, expression: Extension) -> Left:
        """Ask for an extension header or an option."""
        return Left(lambda scene: _extension(expression, scene), (_EXTENSION_TYPE,))

    def route(self, expression: RouteKey) -> Left:
        """Ask the route that the packet has taken."""
        return Left(lambda scene: _route(expression, scene), (types.ADDRESS,))

    def literal(self, expression: Literal) -> Left:
        """Read a constant."""
        value = types.INTEGER.value(expression.value)
        return Left(lambda _scene: value, (types.INTEGER,))

    def constant_or_left(self, expression: Expression, datatype: Datatype) -> Left:
        """Return how to read what is to be set: a constant is of the type of the thing that it is for."""
        if not isinstance(expression, Literal):
            return self.left(expression)
        value = datatype.value(expression.value)
        return Left(lambda _scene: value, (datatype,))

    def concat(self, expression: Concat) -> Left:
        """Read a concatenation; what is not known of it stays unknown in its part only."""
        parts = [self.left(part) for part in expression.parts]
        if any(len(part.types) != 1 for part in parts):
            raise UnclearError("a concatenation inside a concatenation")
        readers = [part.read for part in parts]

        def read(scene: Scene) -> Value:
            parts: list[Scalar] = []
            for reader in readers:
                parts += parts_of(_or_span(reader, scene))
            return tuple(parts)

        return Left(read, tuple(part.type for part in parts))

    def numgen(self, expression: Numgen) -> Left:
        """Draw lots."""
        what = f"numgen {expression.mode} mod {expression.modulus}"
        return self._draw(
            expression.modulus,
            expression.offset,
            lambda _scene: Draw(expression.modulus, expression.offset, what),
        )

    def hash(self, expression: Hash) -> Left:
        """Hash something: chance where the flow's ports are in it, else always the same unknown number."""
        what = f"{expression.kind} mod {expression.modulus}"
        inner = self.left(expression.key) if expression.key is not None else None

        def read(scene: Scene) -> Value:
            inputs: object = None
            if inner is not None:
                values = tuple(plain(part) for part in parts_of(inner.read(scene)))
                inputs = None if None in values else values
            return Draw(expression.modulus, expression.offset, what, inputs)

        return self._draw(expression.modulus, expression.offset, read)

    @staticmethod
    def _draw(modulus: int, offset: int, read: Read) -> Left:
        if modulus < 1 or offset < 0:
            raise UnclearError("a draw from no numbers")
        return Left(read, (types.INTEGER,))

    def binary(self, expression: Binary) -> Left:
        """Mask, shift or combine a value with a constant, or with another value that is known."""
        if expression.operator not in _SHIFTS_AND_MASKS:
            raise UnclearError(f"operator {expression.operator} is not modelled")
        left = self.left(expression.left)
        operator = expression.operator
        try:
            right = constant(expression.right, left.type)
        except UnclearError:
            return self._of_two(operator, left, self.left(expression.right))

        if right < 0:
            raise UnclearError(f"{operator} with a negative number")

        def read(scene: Scene) -> Value:
            return combine(operator, _scalar(left.read(scene)), right)

        return Left(read, left.types)

    @staticmethod
    def _of_two(operator: str, left: Left, other: Left) -> Left:
        def read(scene: Scene) -> Value:
            second = plain(_scalar(other.read(scene)))
            if not isinstance(second, int):
                raise UnclearError(f"{operator} with something that is not known")
            return combine(operator, _scalar(left.read(scene)), second)

        return Left(read, left.types)

    def map(self, expression: MapLookup) -> Left:
        """Look a value up in a map."""
        finder = self.find(expression.key, expression.data)

        def read(scene: Scene) -> Value:
            element = finder(scene)
            if element is None:
                raise AbsentError
            if element.value is None or isinstance(element.value, VerdictStatement):
                raise UnclearError("a map without a value")
            return self.left(element.value).read(scene)

        return Left(read, (types.INTEGER,))

    # --- sets and maps -----------------------------------------------------------------------------------

    def find(self, key: Expression, data: Expression) -> Callable[[Scene], Element | None]:
        """Return the lookup of a key in a map; what is undecided in it is decided by a branch."""
        left = self.left(key)
        finder = self.sets.finder(data, left.types)
        index = self.sets.index(data, left.types) if isinstance(key, Numgen | Hash) else None

        def find(scene: Scene) -> Element | None:
            value = left.read(scene)
            if index is not None and isinstance(value, Draw):
                return _pick(index.drawn(value), value, scene, (id(key), scene.netns.inode, value.inputs))
            truth, element = finder(value, scene)
            if isinstance(truth, bool):
                return element if truth else None
            if element is None:
                raise UnclearError(truth.reason)
            return (
                element
                if scene.decide(truth, label_of(element), (id(key), id(element), scene.hook))
                else None
            )

        return find

    # --- matches -----------------------------------------------------------------------------------------

    def match(self, statement: MatchStatement) -> Test:
        """Return a match made ready; what cannot be understood is unknown, and so both ways."""
        try:
            return self._match(statement)
        except UnclearError as error:
            unclear = Unknown(str(error))
            return lambda _scene: unclear

    def _match(self, statement: MatchStatement) -> Test:
        left_expression, right = statement.left, statement.right
        if isinstance(left_expression, Fib) and isinstance(right, Literal) and isinstance(right.value, bool):
            field = exists_field(left_expression)
            left = Left(field.read, (field.type,))
        else:
            left = self.left(left_expression)
        try:
            compare = self._compare(statement.operator, left, right)
        except UnclearError as error:
            # A packet that has no such field does not match, whatever the right side means.
            unclear = Unknown(str(error))
            compare = lambda _value, _scene: unclear  # noqa: E731
        inverted = statement.operator == "!="

        def test(scene: Scene) -> Truth:
            try:
                return negate(compare(left.read(scene), scene), inverted)
            except AbsentError:
                return False
            except UnclearError as error:
                return Unknown(str(error))

        return test

    def _compare(self, operator: str, left: Left, right: Expression) -> Callable[[Value, Scene], Truth]:
        if isinstance(right, SetReference | AnonymousSet):
            finder = self.sets.finder(right, left.types)
            return lambda value, scene: finder(value, scene)[0]
        if isinstance(right, Concat):
            return self._concat_test(left, right)
        if operator in _ORDERED:
            low, high = _ORDERED[operator](constant(right, left.type))
            return lambda value, _scene: within(_scalar(value), low, high)
        if operator == "!":
            mask = constant(right, left.type)
            return lambda value, _scene: negate(any_bit(_scalar(value), mask), inverted=True)
        if operator == "in" and left.type.flags:
            mask = constant(right, left.type)
            return lambda value, _scene: any_bit(_scalar(value), mask)
        if type(right) in _LEFT and not isinstance(right, Literal | Binary):
            return self._against(self.left(right))
        part = part_of(right, left.type)
        if part.problem:
            raise UnclearError(part.problem)
        return lambda value, _scene: part.test(_scalar(value))

    @staticmethod
    def _against(other: Left) -> Callable[[Value, Scene], Truth]:
        """Compare with something else that is read of the packet."""

        def compare(value: Value, scene: Scene) -> Truth:
            wanted = plain(_scalar(other.read(scene)))
            if wanted is None:
                return Unknown("it is compared with something that is not known")
            return equals(_scalar(value), wanted)

        return compare

    @staticmethod
    def _concat_test(left: Left, right: Concat) -> Callable[[Value, Scene], Truth]:
        if len(left.types) != len(right.parts):
            raise UnclearError("a concatenation of another length")
        parts: list[Part] = [part_of(p, t) for p, t in zip(right.parts, left.types, strict=True)]
        return lambda value, _scene: all_of(
            part.test(each) for part, each in zip(parts, parts_of(value), strict=True)
        )


_LEFT: dict[type, Callable[..., Left]] = {
    Payload: Values.payload,
    RawPayload: Values.raw,
    Meta: Values.meta,
    Ct: Values.ct,
    Fib: Values.fib,
    Extension: Values.extension,
    RouteKey: Values.route,
    Literal: Values.literal,
    Concat: Values.concat,
    Numgen: Values.numgen,
    Hash: Values.hash,
    Binary: Values.binary,
    MapLookup: Values.map,
}
_TOP = 1 << 128
_ORDERED: dict[str, Callable[[int], tuple[int, int]]] = {
    "<": lambda wanted: (0, wanted - 1),
    "<=": lambda wanted: (0, wanted),
    ">": lambda wanted: (wanted + 1, _TOP),
    ">=": lambda wanted: (wanted, _TOP),
}
_EXTENSION_TYPE = Datatype("option", {"exists": 1, "missing": 0})


def _scalar(value: Value) -> Scalar:
    if is_concat(value):
        raise UnclearError("a concatenation where one value is expected")
    return value  # type: ignore[return-value]  # not a concatenation


def _or_span(reader: Read, scene: Scene) -> Value:
    """Read a part of a concatenation: one that cannot be told leaves the others their say."""
    try:
        return reader(scene)
    except UnclearError as error:
        return Span(0, _TOP, str(error))


def _extension(expression: Extension, scene: Scene) -> Scalar:
    """IPv6 extension headers and IP options, which a walk's packets lack, and TCP options (nft_exthdr.c)."""
    packet = scene.packet
    kind, field = expression.kind, expression.field
    if kind in {"exthdr", "ip option"}:
        if packet.family != (6 if kind == "exthdr" else 4) or field:
            raise AbsentError
        return 0
    if kind == "tcp option" and packet.protocol == 6:
        return _tcp_option(expression, scene)
    if kind == "sctp chunk" and packet.protocol == 132:
        return Span(0, 0xFFFFFFFF, f"the SCTP chunk {expression.name}")
    if field:
        raise AbsentError
    # Of another protocol the option is missing, and that is an answer (nft_exthdr_tcp_eval).
    return 0


_ONLY_IN_SYN = frozenset({"maxseg", "window", "sack-perm", "sack-permitted"})


def _tcp_option(expression: Extension, scene: Scene) -> Scalar:
    packet, name = scene.packet, expression.name
    opens = "SYN" in packet.flags.names
    if name == "maxseg" and opens:
        if expression.field == "size":
            return packet.mss or Span(0, 0xFFFF, "the segment size that the SYN announces")
        return 1 if not expression.field else 4
    if name in _ONLY_IN_SYN and not opens:
        if expression.field:
            raise AbsentError
        return 0
    return Span(0, 0xFFFFFFFF, f"the TCP option {name}")


def _route(expression: RouteKey, scene: Scene) -> Scalar:
    if expression.key == "nexthop" and scene.next_hop:
        if expression.family and expression.family != ("ip" if scene.packet.family == 4 else "ip6"):
            raise AbsentError
        return scene.next_hop
    return Span(0, _TOP, f"rt {expression.key}")


def _pick(elements: list[tuple[Element, int]], draw: Draw, scene: Scene, key: object) -> Element | None:
    """Branch over the elements that a draw may find, each with its share."""
    options = [(label_of(element), float(weight)) for element, weight in elements]
    missing = draw.modulus - sum(weight for _, weight in elements)
    if missing > 0:
        options.append(("no element", float(missing)))
    index = 0
    if len(options) > 1:
        kind = ChoiceKind.CHANCE if draw.inputs is None else ChoiceKind.UNKNOWN
        index = scene.choices.pick(
            kind, draw.what, tuple(options), key=key if draw.inputs is not None else None
        )
    return elements[index][0] if index < len(elements) else None


def label_of(element: Element) -> str:
    """Name an element of a map as a branch: by where it leads."""
    value = element.value
    if isinstance(value, VerdictStatement):
        return f"{value.kind} {value.chain}".strip()
    if isinstance(value, Concat):
        return "endpoint " + ":".join(str(p.value) for p in value.parts if isinstance(p, Literal))
    return f"endpoint {value.value}" if isinstance(value, Literal) else "element"
