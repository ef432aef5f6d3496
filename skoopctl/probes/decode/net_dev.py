"""/proc/net/dev (net/core/net-procfs.c): a line a device, columns in two halves, named in the second line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from skoopctl.kernel.netlink.dump import attributes, decode_dump, text
from skoopctl.probes.decode.rows import Decode, Rows, Value, checked

NOT_THE_NODES = frozenset({"veth", "dummy", "ifb", "tun", "macvtap", "ipvtap", "netdevsim"})
"""Kinds of devices that belong to pods and guests, or carry nothing: no series of their own."""

MOST_DEVICES = 64

_SIDES = {"rx": "receive", "tx": "transmit"}
_COLUMNS = {"bytes": "bytes", "packets": "packets", "errors": "errs", "dropped": "drop"}
_RTM_NEWLINK, _IFNAME, _LINKINFO, _KIND = 16, 3, 18, 1

_Pick = Callable[[list[str]], tuple[str, ...]]
_Line = tuple[str, tuple[Value, ...]]


class _Table:
    """Reads the table for the same columns again and again; where they stand is worked out when the head changes."""

    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        self.columns = columns
        self.head = ""
        self.pick: _Pick = tuple

    def lines(self, payload: bytes) -> list[_Line]:
        """Return name and columns of each device but lo."""
        try:
            lines = payload.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"byte {error.start} is not UTF-8") from None
        if len(lines) < 2:
            raise ValueError("no head")
        if lines[1] != self.head:
            self.pick, self.head = self._picker(lines[1]), lines[1]
        pick = self.pick
        found: list[_Line] = []
        for line in lines[2:]:
            name, colon, rest = line.partition(":")
            if colon and (name := name.strip()) != "lo":
                found.append((name, checked(pick(rest.split()))))
        return found

    def _picker(self, head: str) -> _Pick:
        _, receive, transmit = (half.split() for half in head.split("|"))
        at = {("receive", name): index for index, name in enumerate(receive)}
        at |= {("transmit", name): len(receive) + index for index, name in enumerate(transmit)}
        try:
            places = [at[column] for column in self.columns]
        except KeyError as error:
            raise ValueError(f"no column {error}") from None
        if len(places) == 1:
            return lambda words: (words[places[0]],)
        return itemgetter(*places)


def compile_net_dev(fields: Sequence[str]) -> Decode:
    """Make a decoder of ``rxbytes`` and its kin: sums over all devices but lo."""
    table = _Table([(_SIDES[field[:2]], _COLUMNS[field[2:]]) for field in fields])

    def decode(netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        lines = _read(table, items[0])
        if len(lines) == 1:
            return [(netns, lines[0][1])]
        columns = zip(*(row for _, row in lines), strict=True)
        sums = tuple(sum(map(int, column)) for column in columns)
        return [(netns, sums or (0,) * len(fields))]

    return decode


def compile_devices(fields: Sequence[str]) -> Decode:
    """Make a decoder of ``receive-bytes`` and its kin, for each device of the host that is no pod's."""
    table = _Table([(side, column) for side, _, column in (field.partition("-") for field in fields)])
    kinds: dict[bytes, dict[str, str]] = {}

    def decode(_netns: int, host: bool, items: Sequence[bytes | None]) -> Rows:
        counted, links = items
        if not host or counted is None:
            return []
        if not links:
            raise ValueError("the kinds of the node's devices are not known")
        if links not in kinds:
            kinds.clear()
            kinds[links] = _kinds(links)
        known = kinds[links]
        lines = [(name, row) for name, row in _read(table, counted) if name in known]
        own = [(name, row) for name, row in lines if known[name] not in NOT_THE_NODES]
        return [((name,), row) for name, row in own[:MOST_DEVICES]]

    return decode


def _read(table: _Table, payload: bytes | None) -> list[_Line]:
    try:
        return table.lines(payload or b"")
    except IndexError:
        raise ValueError("a line with too few columns") from None


def _kinds(links: bytes) -> dict[str, str]:
    """Return the kind of each device by its name; "" for one that nothing made (a network card)."""
    dump = decode_dump(links, _RTM_NEWLINK, _name_and_kind)
    if dump.problem:
        raise ValueError(dump.problem)
    return dict(dump.entries)


def _name_and_kind(body: bytes) -> tuple[str, str]:
    found = attributes(body, 16)
    info = attributes(found[_LINKINFO]) if _LINKINFO in found else {}
    return text(found.get(_IFNAME, b"")), text(info.get(_KIND, b""))
