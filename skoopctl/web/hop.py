"""The panel of one hop: what was decided at a station, on which lines, and the packet before and after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from skoopctl.dataplane.trace import Evidence, PacketView, Walk
from skoopctl.report.stations import Station, places
from skoopctl.report.words import ended

GROUPS = (
    ("Rules", frozenset({"iptables-rule", "iptables-policy", "nft-rule", "nft-policy"})),
    ("Routes", frozenset({"route", "policy-rule"})),
    ("Neighbours and forwarding entries", frozenset({"neighbour", "fdb"})),
    ("Connections", frozenset({"conntrack", "socket"})),
    ("Devices, addresses and settings", frozenset({"link", "address", "sysctl"})),
)
OTHERS = "Other lines"
MOST_LINES = 200
"""Lines of one group that are shown; the page says how many it leaves out."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Raw lines of one kind. ``more`` is how many are left out."""

    title: str
    shown: tuple[Evidence, ...]
    more: int = 0

    @property
    def counted(self) -> bool:
        """Whether any of them has a counter."""
        return any(item.packets is not None for item in self.shown)


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One field of a packet's header, before and after a station."""

    name: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether the station changes it."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class HopPanel:
    """One station of a packet's way. ``number`` counts from 0; ``ends`` says how the way ends here, if it does."""

    number: int
    total: int
    station: Station
    label: str
    ends: str
    decisions: tuple[str, ...]
    lines: tuple[Lines, ...]
    header: tuple[HeaderField, ...]


def stations_of(walk: Walk) -> tuple[Station, ...]:
    """Return the stations of a packet's way, in order: their numbers are those of the page's links."""
    return tuple(station for place in places(walk.steps) for station in place.stations)


def telling_hop(walk: Walk) -> int:
    """Return the number of the station to look at first: where the packet dies, what is not known, or the end."""
    stations = stations_of(walk)
    for judged in (lambda s: s.dies, lambda s: bool(s.unknown)):
        for number, station in enumerate(stations):
            if judged(station):
                return number
    return len(stations) - 1


def panel_of(walk: Walk, number: int) -> HopPanel:
    """Return the panel of a station of a walk. Raises `IndexError` where there is none."""
    stations = stations_of(walk)
    station = stations[number]
    ends = ended(station.telling) if station.ends and not station.delivered else ""
    return HopPanel(
        number=number,
        total=len(stations),
        station=station,
        label=walk.label,
        ends=ends,
        decisions=tuple(each for each in station.decisions if each.casefold() != ends.casefold()),
        lines=tuple(_grouped(station.evidence)),
        header=_header(*_packets(station)),
    )


def _grouped(lines: Iterable[Evidence]) -> Iterable[Lines]:
    left = list(lines)
    for title, kinds in GROUPS:
        of_kind = [item for item in left if item.kind in kinds]
        if of_kind:
            yield _lines(title, of_kind)
    known = frozenset().union(*(kinds for _, kinds in GROUPS))
    others = [item for item in left if item.kind not in known]
    if others:
        yield _lines(OTHERS, others)


def _lines(title: str, items: list[Evidence]) -> Lines:
    return Lines(title, tuple(items[:MOST_LINES]), max(len(items) - MOST_LINES, 0))


def _packets(station: Station) -> tuple[PacketView | None, PacketView | None]:
    """Return the packet as it comes and as it goes; a station that shows one of them only leaves it as it is."""
    before = next((step.before or step.after for step in station.steps if step.before or step.after), None)
    after = next(
        (step.after or step.before for step in reversed(station.steps) if step.before or step.after), None
    )
    return before, after


def _header(before: PacketView | None, after: PacketView | None) -> tuple[HeaderField, ...]:
    if before is None or after is None:
        return ()
    fields = zip(_fields(before), _fields(after), strict=True)
    return tuple(HeaderField(name, was, now) for (name, was), (_, now) in fields if was or now)


def _fields(view: PacketView) -> tuple[tuple[str, str], ...]:
    return (
        ("protocol", view.protocol),
        ("source", view.source),
        ("source port", view.source_port if view.source_port != "0" else ""),
        ("destination", view.destination),
        ("destination port", view.destination_port if view.destination_port != "0" else ""),
        ("flags", view.flags),
        ("mark", f"{view.mark:#x}" if view.mark else ""),
        ("conntrack", view.state),
        ("carries", view.encapsulates),
    )
