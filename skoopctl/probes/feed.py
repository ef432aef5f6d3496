"""One source on one node: takes its items, keeps its series, and knows how reading it fared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from struct import error as struct_error

from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change
from skoopctl.evidence.untrusted import printable
from skoopctl.probes.decode.rows import Decode
from skoopctl.probes.reading import Reading
from skoopctl.probes.sample import Availability, State
from skoopctl.probes.series_table import SeriesTable
from skoopctl.probes.sources import SOURCES, Source

UNREADABLE = (ValueError, IndexError, KeyError, struct_error, OverflowError)
"""What decoders raise for bytes that they cannot read."""
_ABSENT_BYTES = b""


@dataclass(frozen=True, slots=True)
class _Fared:
    """How an item of one namespace was read, when there is something to say of it."""

    status: ItemStatus
    detail: str

    def __str__(self) -> str:
        word = "" if self.status is ItemStatus.OK else str(self.status)
        return ": ".join(part for part in (word, printable(self.detail, 200)) if part)


@dataclass(slots=True)
class Feed:
    """Decodes what changed, and nothing else."""

    source: Source
    decode: Decode
    table: SeriesTable
    _inputs: dict[int, list[bytes | None]] = field(default_factory=dict)
    _fared: dict[int, dict[str, _Fared]] = field(default_factory=dict)
    _good: set[int] = field(default_factory=set)
    _told: set[int] = field(default_factory=set)
    _unreadable: dict[int, str] = field(default_factory=dict)
    _dirty: dict[int, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, readings: Sequence[Reading]) -> Feed:
        """Make the feed of one source for some of its readings."""
        found = SOURCES[source]
        table = SeriesTable(tuple(reading.metric for reading in readings))
        return cls(found, found.compile([reading.field for reading in readings]), table)

    def take(self, change: Change, *, host: bool) -> None:
        """Take one item; ``host`` says whether it is of the host, or its namespace. Never raises."""
        netns = change.netns
        if self.source.host_only and not host:
            return
        self._told.add(netns)
        self._note(change)
        usable = change.status is ItemStatus.OK or (self.source.partial and bool(change.payload))
        payload = change.payload if usable else _ABSENT_BYTES if change.status is ItemStatus.ABSENT else None
        if len(self.source.items) > 1:
            inputs = self._inputs.setdefault(netns, [None] * len(self.source.items))
            inputs[self.source.items.index(change.item)] = payload
            self._dirty[netns] = host
        elif usable:
            self._decode(netns, host, [payload])
        else:
            self._nothing(netns)

    def settle(self) -> None:
        """Decode what is made of several items, when all that a round brought were taken."""
        for netns, host in self._dirty.items():
            self._decode(netns, host, self._inputs[netns])
        self._dirty.clear()

    def _decode(self, netns: int, host: bool, inputs: list[bytes | None]) -> None:
        try:
            rows = self.decode(netns, host, inputs)
        except UNREADABLE as error:
            self._nothing(netns)
            self._unreadable[netns] = printable(f"{self.source.items[0]}: {error}", 200)
            return
        if self._unreadable:
            self._unreadable.pop(netns, None)
        if rows or inputs[0] or len(inputs) == 1:
            self._good.add(netns)
        else:
            self._good.discard(netns)
        self.table.put(netns, rows)

    def _nothing(self, netns: int) -> None:
        self.table.drop(netns)
        self._good.discard(netns)
        self._unreadable.pop(netns, None)

    def _note(self, change: Change) -> None:
        """Keep how an item was read, when that is worth a word."""
        if change.status is ItemStatus.OK and not change.detail:
            if self._fared and change.netns in self._fared:
                self._fared[change.netns].pop(change.item, None)
            return
        self._fared.setdefault(change.netns, {})[change.item] = _Fared(change.status, change.detail)

    def forget(self, netns: int) -> None:
        """Forget a namespace that ended."""
        self._nothing(netns)
        self._told.discard(netns)
        self._fared.pop(netns, None)
        self._inputs.pop(netns, None)
        self._dirty.pop(netns, None)

    def read_well(self, netns: int) -> bool:
        """Tell whether all of a namespace was read, and nothing had to be remarked."""
        return netns in self._good and not self._fared.get(netns)

    def availability(self, of: Collection[int], host: int) -> Availability:
        """Tell how the source fares in the namespaces ``of`` (of all that were told, those count); ``host`` is one."""
        counted = [netns for netns in self._told if netns == HOST or netns in of]
        if not counted:
            return Availability(State.UNAVAILABLE, f"{self.source.items[0]}: the node did not send it")
        troubles = [(netns, why) for netns in counted if (why := self._trouble(netns))]
        good = [netns for netns in counted if netns in self._good]
        if not good:
            return Availability(
                State.UNAVAILABLE, self._first(troubles, host) or self._absence(counted, host)
            )
        if not troubles:
            return Availability(State.AVAILABLE, self._remark(host))
        where = "" if len(counted) == 1 else f"{len(troubles)} of {len(counted)} namespaces: "
        return Availability(State.DEGRADED, where + self._first(troubles, host))

    def _trouble(self, netns: int) -> str:
        """Return what is wrong with a namespace; an item that the node does not have is no trouble."""
        if netns in self._unreadable:
            return self._unreadable[netns]
        for item, fared in self._fared.get(netns, {}).items():
            if fared.status not in {ItemStatus.OK, ItemStatus.ABSENT}:
                return f"{item}: {fared}"
        return ""

    def _first(self, troubles: list[tuple[int, str]], host: int) -> str:
        """Return the host's trouble, or else the first one."""
        by_netns = dict(troubles)
        return by_netns.get(host) or next(iter(by_netns.values()), "")

    def _absence(self, counted: list[int], host: int) -> str:
        netns = host if host in counted else counted[0]
        fared = self._fared.get(netns, {})
        return "; ".join(f"{item}: {each}" for item, each in fared.items()) or "nothing is there to be read"

    def _remark(self, host: int) -> str:
        """Return what was said of items that were read well."""
        told = {**self._fared.get(host, {}), **self._fared.get(HOST, {})}
        return "; ".join(f"{item}: {each}" for item, each in told.items() if each.status is ItemStatus.OK)
