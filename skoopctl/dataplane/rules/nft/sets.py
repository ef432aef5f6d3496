"""Sets and maps of nftables, indexed: a lookup costs what the elements cost that can match, not all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from skoopctl.dataplane.packet import Ports
from skoopctl.dataplane.rules.nft.compare import (
    Draw,
    Scalar,
    Value,
    chance,
    equals,
    parts_of,
    plain,
    within,
)
from skoopctl.dataplane.rules.nft.types import Datatype, UnclearError
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown, all_of
from skoopctl.kernel.nft import (
    AnonymousSet,
    Binary,
    Concat,
    Element,
    Expression,
    FlagSet,
    Literal,
    NftTable,
    Prefix,
    Range,
    SetReference,
)

CATCH_ALL = "*"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an element's key: an exact value, an inclusive range, a prefix of names, or unknown."""

    exact: int | str | None = None
    low: int = 0
    high: int = -1
    prefix: str | None = None
    problem: str = ""

    def test(self, value: Scalar) -> Truth:
        """Tell whether a value is meant."""
        if self.exact is not None:
            return equals(value, self.exact)
        if self.prefix is not None:
            return isinstance(value, str) and value.startswith(self.prefix)
        if self.problem:
            return Unknown(self.problem)
        return within(value, self.low, self.high)


def part_of(expression: Expression, datatype: Datatype) -> Part:
    """Return what a constant on the right side of a match, or in a set, stands for."""
    try:
        return _part_of(expression, datatype)
    except UnclearError as error:
        return Part(problem=str(error))


def _part_of(expression: Expression, datatype: Datatype) -> Part:
    if isinstance(expression, Literal):
        raw = expression.value
        if datatype.text and isinstance(raw, str) and raw.endswith("*"):
            return Part(prefix=raw[:-1])
        return Part(exact=datatype.value(raw))
    if isinstance(expression, Prefix):
        low, high = prefix_range(expression, datatype)
        return Part(low=low, high=high)
    if isinstance(expression, Range):
        return Part(low=constant(expression.low, datatype), high=constant(expression.high, datatype))
    return Part(exact=constant(expression, datatype))


def constant(expression: Expression, datatype: Datatype) -> int:
    """Return a constant number: a literal, or flags that are or-ed; raises `UnclearError`."""
    if isinstance(expression, Literal):
        value = datatype.value(expression.value)
        if isinstance(value, int):
            return value
    if isinstance(expression, FlagSet):
        found = 0
        for name in expression.names:
            found |= int(datatype.value(name))
        return found
    if isinstance(expression, Binary) and expression.operator in {"|", "&", "^"}:
        left, right = constant(expression.left, datatype), constant(expression.right, datatype)
        return {"|": left | right, "&": left & right, "^": left ^ right}[expression.operator]
    raise UnclearError(f"{type(expression).__name__} where a constant {datatype.name} is expected")


def prefix_range(prefix: Prefix, datatype: Datatype) -> tuple[int, int]:
    """Return the first and the last address of a prefix."""
    base = datatype.value(prefix.address)
    bits = 128 if ":" in prefix.address else 32
    if not isinstance(base, int) or not 0 <= prefix.length <= bits:
        raise UnclearError(f"{prefix.address}/{prefix.length} is not a prefix")
    mask = (1 << (bits - prefix.length)) - 1
    return base & ~mask, base | mask


@dataclass(slots=True, frozen=True)
class _Entry:
    element: Element
    parts: tuple[Part, ...]


_Groups = dict[tuple[int, ...], dict[tuple[object, ...], list[_Entry]]]


class SetIndex:
    """The elements of a set or map for keys of certain types.

    Exact elements are in a dictionary. Of the others, single ranges are found by bisection (they do not overlap),
    and concatenations by those parts that are exact in the element and known of the packet.
    """

    def __init__(self, elements: Iterable[Element], types: tuple[Datatype, ...]) -> None:
        self.exact: dict[object, Element] = {}
        self.catch_all: Element | None = None
        self.entries: list[_Entry] = []
        self._types = types
        self._odd: list[_Entry] = []
        self._ranges: list[tuple[int, int, int]] = []
        self._groups: dict[tuple[int, ...], _Groups] = {}
        for element in elements:
            self._add(element)
        self._ranges.sort()
        self._lows = [low for low, _, _ in self._ranges]

    def _add(self, element: Element) -> None:
        key = element.key
        if isinstance(key, Literal) and key.value == CATCH_ALL:
            self.catch_all = element
            return
        parts = self._parts(key)
        place = len(self.entries)
        self.entries.append(_Entry(element, parts))
        if all(part.exact is not None for part in parts):
            self.exact[parts[0].exact if len(parts) == 1 else tuple(p.exact for p in parts)] = element
        if len(parts) == 1:
            (only,) = parts
            if isinstance(only.exact, int):
                self._ranges.append((only.exact, only.exact, place))
            elif only.exact is None and only.prefix is None and not only.problem:
                self._ranges.append((only.low, only.high, place))
            else:
                self._odd.append(self.entries[-1])

    def _parts(self, key: Expression) -> tuple[Part, ...]:
        keys = key.parts if isinstance(key, Concat) else (key,)
        if len(keys) != len(self._types):
            return (Part(problem="an element of another shape"),) * len(self._types)
        return tuple(part_of(k, t) for k, t in zip(keys, self._types, strict=True))

    def find(self, value: Value) -> tuple[Truth, Element | None]:
        """Return whether the value is in the set, and the element that holds it."""
        values = parts_of(value)
        if len(values) != len(self._types):
            return Unknown("a key of another shape is looked up in a set"), None
        if len(values) == 1 and isinstance(value, int | str):
            element = self.exact.get(value)
            if element is not None:
                return True, element
            return (
                self._otherwise()
                if len(self.exact) == len(self.entries)
                else self._among(values, self._near(value))
            )
        known = tuple(plain(part) for part in values)
        if None not in known:
            element = self.exact.get(known[0] if len(known) == 1 else known)
            if element is not None:
                return True, element
            if len(self.exact) == len(self.entries):
                return self._otherwise()
        elif len(values) == 1 and isinstance(values[0], Draw):
            return self._drawn(values[0]), None
        return self._among(values, self._candidates(values, known))

    def _among(self, values: tuple[Scalar, ...], entries: Iterable[_Entry]) -> tuple[Truth, Element | None]:
        undecided: list[tuple[Truth, Element]] = []
        for entry in entries:
            truth = all_of(part.test(value) for part, value in zip(entry.parts, values, strict=True))
            if truth is True:
                return True, entry.element
            if truth is not False:
                undecided.append((truth, entry.element))
        if not undecided:
            return self._otherwise()
        if len(undecided) == 1 and self.catch_all is None:
            return undecided[0]
        return Unknown(_several(values)), None

    def _otherwise(self) -> tuple[Truth, Element | None]:
        return self.catch_all is not None, self.catch_all

    def _drawn(self, draw: Draw) -> Truth:
        return chance(draw, sum(weight for _, weight in self.drawn(draw)))

    def drawn(self, draw: Draw) -> list[tuple[Element, int]]:
        """Return the elements that a draw can find, and how many of its numbers lead to each."""
        found: list[tuple[Element, int]] = []
        for low, high, place in self._ranges:
            weight = min(high, draw.high) - max(low, draw.low) + 1
            if weight > 0:
                found.append((self.entries[place].element, weight))
        missing = draw.modulus - sum(weight for _, weight in found)
        if missing > 0 and self.catch_all is not None:
            found.append((self.catch_all, missing))
        return found

    def _candidates(
        self, values: tuple[Scalar, ...], known: tuple[int | str | None, ...]
    ) -> Iterable[_Entry]:
        """Return the entries that may hold a value."""
        if len(values) == 1:
            return self._near(values[0])
        positions = tuple(n for n, part in enumerate(known) if part is not None)
        return (
            entry
            for group, by_key in self._grouped(positions).items()
            for entry in by_key.get(tuple(known[n] for n in group), ())
        )

    def _grouped(self, positions: tuple[int, ...]) -> _Groups:
        """Return the entries by which of these parts are exact in them, and by the values of those parts."""
        groups = self._groups.get(positions)
        if groups is None:
            groups = self._groups[positions] = {}
            for entry in self.entries:
                group = tuple(n for n in positions if entry.parts[n].exact is not None)
                key = tuple(entry.parts[n].exact for n in group)
                groups.setdefault(group, {}).setdefault(key, []).append(entry)
        return groups

    def _near(self, value: Scalar) -> Iterable[_Entry]:
        """Return the entries around a single value, of ranges that do not overlap."""
        if isinstance(value, str):
            return self._odd
        low, high = (value, value) if isinstance(value, int) else (value.low, value.high)
        first = max(bisect_right(self._lows, low) - 1, 0)
        last = bisect_right(self._lows, high)
        return [*(self.entries[place] for _, _, place in self._ranges[first:last]), *self._odd]


class TableSets:
    """The sets and maps of one table, indexed on first use for the types of the keys that are looked up."""

    def __init__(self, table: NftTable, owner: object = None) -> None:
        self._table = table
        self._owner = owner
        self._indexes: dict[object, SetIndex] = {}

    def index(self, expression: Expression, types: tuple[Datatype, ...]) -> SetIndex:
        """Return the index of a set or map; raises `UnclearError` when the dump does not hold it."""
        if isinstance(expression, SetReference):
            known = self._table.sets.get(expression.name)
            if known is None:
                raise UnclearError(f"the set @{expression.name} is not in the dump")
            names = tuple(t.name for t in types)
            if (expression.name, names) not in self._indexes:
                self._indexes[expression.name, names] = SetIndex(known.elements, types)
            return self._indexes[expression.name, names]
        if isinstance(expression, AnonymousSet):
            return SetIndex(expression.elements, types)
        raise UnclearError(f"{type(expression).__name__} is not a set")

    def finder(self, expression: Expression, types: tuple[Datatype, ...]) -> Finder:
        """Return the lookup in a set or map; raises `UnclearError` when the dump does not hold it."""
        index = self.index(expression, types)
        if not isinstance(expression, SetReference):
            return lambda value, _scene: index.find(value)
        key = self.key(expression.name)

        def find(value: Value, scene: Scene) -> tuple[Truth, Element | None]:
            changes: Changes | None = scene.choices.changed.get(key)
            if changes is None:
                return index.find(value)
            return changes.find(value, index)

        return find

    def key(self, name: str) -> tuple[object, ...]:
        """Return what a set is known by among the changes of a run."""
        return "nft set", self._owner, self._table.family, self._table.name, name

    def change(self, name: str, value: Value, element: Element | None, scene: Scene) -> None:
        """Remember that a rule has added an element to a set, or deleted it (None)."""
        changes = scene.choices.changed.setdefault(self.key(name), Changes())
        known = tuple(plain(part) for part in parts_of(value))
        if None in known:
            changes.vague = True
        else:
            changes.elements[known] = element


Finder = Callable[[Value, Scene], tuple[Truth, Element | None]]


@dataclass(slots=True)
class Changes:
    """What the packets of one run have changed in a set; ``vague`` when it cannot be told which element."""

    elements: dict[tuple[object, ...], Element | None] = field(default_factory=dict)
    vague: bool = False

    def copy(self) -> Changes:
        """Return the same changes, to be added to on their own."""
        return Changes(dict(self.elements), self.vague)

    def find(self, value: Value, index: SetIndex) -> tuple[Truth, Element | None]:
        """Look a value up in the set as it is now."""
        known = tuple(plain(part) for part in parts_of(value))
        if known in self.elements:
            element = self.elements[known]
            return element is not None, element
        truth, element = index.find(value)
        if truth is False and (self.vague or (None in known and self.elements)):
            return Unknown("what a rule has added to the set on this way is not known"), None
        return truth, element


def _several(values: tuple[Scalar, ...]) -> str:
    if any(isinstance(value, Ports) for value in values):
        return "the ephemeral port may or may not be in a set"
    return "a key that is known only in part is looked up in a set"
