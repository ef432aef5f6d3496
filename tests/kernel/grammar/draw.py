"""Drawing by lot from weighted rows, with the names and numbers of the skeleton at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.kernel import plan
from tests.kernel.state import Line, Pods, Shape, Tool

T = TypeVar("T")


@dataclass(slots=True)
class Draw:
    """One state being drawn: the lot, the shape, the address family at hand, and what is switched off."""

    lot: Random
    shape: Shape
    off: frozenset[str] = frozenset()
    family: int = 4
    count: int = 0
    sets: list[tuple[str, str, str, int]] = field(default_factory=list)
    """The ipsets so far: place, name, type, family."""

    def one(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return self.lot.choice(options)

    def chance(self, share: float) -> bool:
        """Return true so often."""
        return self.lot.random() < share

    def number(self, low: int, high: int) -> int:
        """Return a number within bounds."""
        return self.lot.randint(low, high)

    def fresh(self, stem: str) -> str:
        """Return a name that was not used before."""
        self.count += 1
        return f"{stem}{self.count}"

    def on(self, kind: str, options: Sequence[str]) -> list[str]:
        """Return those options that are switched on: their rows are named ``kind:option``."""
        return [option for option in options if f"{kind}:{option}" not in self.off]

    def row(self, rows: Sequence[Row]) -> Row:
        """Return one of the rows that are switched on, by weight."""
        usable = [row for row in rows if row.name not in self.off]
        return self.lot.choices(usable, [row.weight for row in usable])[0]

    # --- what rules talk about ---------------------------------------------------------------------------

    def node(self) -> str:
        """Return a node."""
        return self.one(("a", "b"))

    def place(self) -> str:
        """Return a place: mostly a node."""
        return self.one(("a", "a", "a", "b", "b", "b", "c", "s", "o"))

    def end(self) -> plan.Place:
        """Return an end of flows."""
        return self.one(plan.ENDS)

    def address(self) -> str:
        """Return an address of the skeleton."""
        ends = [self.address_of(end) for end in plan.ENDS]
        return self.one([*ends, *ends, *ends, *plan.VIPS[self.family], plan.GATEWAYS[self.family]["a"]])

    def address_of(self, end: plan.Place) -> str:
        """Return a place's address in the family at hand."""
        return end.v4 if self.family == 4 else end.v6

    def pod(self) -> plan.Place:
        """Return a pod."""
        return self.one(plan.PODS)

    def vip(self) -> str:
        """Return a service's address."""
        return self.one(plan.VIPS[self.family])

    def network(self) -> str:
        """Return a network of the skeleton, or one that cuts through it."""
        if self.family == 6:
            return self.one([*plan.POD_NETS[6].values(), plan.SERVICES[6], "fd00:7::/64", "fd00::/16"])
        return self.one(
            [
                *plan.POD_NETS[4].values(), plan.SERVICES[4], "192.168.7.0/24", "10.244.0.0/16", "10.0.0.0/8",
                "10.244.1.8/30", "10.244.2.10/31", "192.168.7.2/31", "0.0.0.0/0",
            ]
        )  # fmt: skip

    def target(self) -> str:
        """Return an address or a network."""
        return self.address() if self.chance(0.65) else self.network()

    def device(self, place: str) -> str:
        """Return a device of a place."""
        return self.one(plan.devices(self.shape, place))

    def port(self) -> int:
        """Return a port that flows use."""
        return self.one((8080,) * 5 + (5353,) * 3 + (8081, 80, 53, 5354, plan.CLOSED, *plan.NODE_PORTS))

    def mark(self) -> str:
        """Return a mark that other rules may set or look for."""
        marks = ("0x1", "0x10", "0x4000", "0x8000", "0x10000", "0x80000000", "0xffff0000")
        return self.one(self.on("mark", marks))

    def length(self) -> str:
        """Return the prefix length of a single address."""
        return "32" if self.family == 4 else "128"

    def iptables(self) -> Tool:
        """Return one of the two stores of the family at hand."""
        stores = {
            4: (Tool.IPTABLES_NFT, Tool.IPTABLES_LEGACY),
            6: (Tool.IP6TABLES_NFT, Tool.IP6TABLES_LEGACY),
        }
        return self.one((stores[self.family][0], *stores[self.family]))

    def bridged(self) -> list[str]:
        """Return the nodes whose pods hang on a bridge."""
        return [node for node in ("a", "b") if plan.pods_of(self.shape, node) is Pods.BRIDGE]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that can be drawn: its name in reports and in the table of capabilities, and its weight."""

    name: str
    weight: float
    draw: Callable[..., list[Line] | str]
    where: frozenset[str] = frozenset()
    """For matches and targets of iptables: the chains in which the kernel takes it; empty for all."""


Theme = Callable[[Draw], list[Line]]
THEMES: list[Row] = []


def theme(name: str, weight: float = 1.0) -> Callable[[Theme], Theme]:
    """Register a theme: one decoration of a state, of one or more lines."""

    def register(draw: Theme) -> Theme:
        THEMES.append(Row(name, weight, draw))
        return draw

    return register
