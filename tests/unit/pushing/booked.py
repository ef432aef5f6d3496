"""A book of nodes on a clock that tests move."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change, Round
from skoopctl.inventory import InventoryHost
from skoopctl.pushing.book import Book, Measured
from skoopctl.pushing.journal import Journal

PROBES = ("netdev", "softnet")
SOFTNET = b"%08x %08x 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n"


def host(name: str) -> InventoryHost:
    """Return a host."""
    return InventoryHost(name, name)


def a_round(number: int = 1, *, processed: int = 7, mono_s: float = 0.0, skipped: int = 0) -> Round:
    """Return a round of a node with nothing but its softnet counters."""
    places = b'[{"inode": 1, "host": true, "names": [], "cgroups": []}]'
    changes = (
        Change(HOST, "places", ItemStatus.OK, "", places),
        Change(HOST, "softnet", ItemStatus.OK, "", SOFTNET % (processed, 0)),
    )
    return Round(number, 0, int(mono_s * 1e9), 2.0, 3.0, 4, skipped, 100, changes)


def measured(*, probes: tuple[str, ...] = PROBES, node_series: int = 1000, stale_s: float = 40) -> Measured:
    """Return what is measured."""
    return Measured(probes, {}, node_series, stale_s)


@dataclass
class Booked:
    """A book, its clock, and what it has told."""

    now: float = 1000.0
    log: io.StringIO = field(default_factory=io.StringIO)
    fresh: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    book: Book = field(init=False)
    what: Measured = field(default_factory=measured)

    def __post_init__(self) -> None:
        self.book = Book(
            self.what,
            Journal(self.log, clock=lambda: self.now),
            fresh=lambda record: self.fresh.append(record.name),
            stale=self.stale.append,
            clock=lambda: self.now,
            wall=lambda: self.now,
        )

    def joined(self, names: Sequence[str]) -> Book:
        """Return the book with nodes of these names."""
        self.book.set_hosts([host(name) for name in names])
        return self.book
