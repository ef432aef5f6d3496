"""The panel of one hop: what was decided at a station, on which lines, and the packet before and after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from skoopctl.dataplane.trace import Evidence, PacketView, Walk
from skoopctl.report.messages import Messages, messages
from skoopctl.report.station_in import ended_in, station_in, unknown_in
from skoopctl.report.stations import Station, places
from skoopctl.report.way_context import evidence_text

GROUPS = (
    ("rules", frozenset({"iptables-rule", "iptables-policy", "nft-rule", "nft-policy"})),
    ("routes", frozenset({"route", "policy-rule"})),
    ("neighbours", frozenset({"neighbour", "fdb"})),
    ("connections", frozenset({"conntrack", "socket"})),
    ("devices", frozenset({"link", "address", "sysctl"})),
)
"""Kinds of lines by the key of their title in the table of words; what is in none is among the others."""
OTHERS = "others"
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
    """One station of a packet's way. ``number`` counts from 0; ``ends`` says how the way ends here, if it does.

    ``name``, ``namespace`` and ``unknown`` are the station's in the page's language.
    """

    number: int
    total: int
    station: Station
    name: str
    namespace: str
    label: str
    ends: str
    unknown: str
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


def panel_of(walk: Walk, number: int, words: Messages | None = None) -> HopPanel:
    """Return the panel of a station of a walk, in English or in ``words``. Raises `IndexError` where there is none."""
    words = words or messages()
    stations = stations_of(walk)
    station = stations[number]
    ends = ended_in(station.telling, words) if station.ends and not station.delivered else ""
    decisions = (words.sentence(each) for each in station.decisions)
    return HopPanel(
        number=number,
        total=len(stations),
        station=station,
        name=station_in(station, words),
        namespace=words.text("picture.host") if station.namespace == "host" else station.namespace,
        label=words.sentence(walk.label),
        ends=ends,
        unknown=unknown_in(station, words),
        decisions=tuple(each for each in decisions if each.casefold() != ends.casefold()),
        lines=tuple(_grouped(station.evidence, words)),
        header=_header(*_packets(station), words),
    )


def _grouped(lines: Iterable[Evidence], words: Messages) -> Iterable[Lines]:
    left = list(lines)
    for key, kinds in GROUPS:
        of_kind = [item for item in left if item.kind in kinds]
        if of_kind:
            yield _lines(key, of_kind, words)
    known = frozenset().union(*(kinds for _, kinds in GROUPS))
    others = [item for item in left if item.kind not in known]
    if others:
        yield _lines(OTHERS, others, words)


def _lines(key: str, items: list[Evidence], words: Messages) -> Lines:
    shown = tuple(_told(item, words) for item in items[:MOST_LINES])
    return Lines(words.text(f"page.lines.{key}"), shown, max(len(items) - MOST_LINES, 0))


def _told(item: Evidence, words: Messages) -> Evidence:
    """Return a line as it was read, with what skoopctl itself says of it in a language."""
    text = evidence_text(item.kind, item.text, words)
    return replace(item, text=text, location=words.word("located", item.location))


def _packets(station: Station) -> tuple[PacketView | None, PacketView | None]:
    """Return the packet as it comes and as it goes; a station that shows one of them only leaves it as it is."""
    before = next((step.before or step.after for step in station.steps if step.before or step.after), None)
    after = next(
        (step.after or step.before for step in reversed(station.steps) if step.before or step.after), None
    )
    return before, after


def _header(before: PacketView | None, after: PacketView | None, words: Messages) -> tuple[HeaderField, ...]:
    if before is None or after is None:
        return ()
    fields = zip(_fields(before), _fields(after), strict=True)
    return tuple(
        HeaderField(words.text(f"page.header.{key}"), was, now)
        for (key, was), (_, now) in fields
        if was or now
    )


def _fields(view: PacketView) -> tuple[tuple[str, str], ...]:
    return (
        ("protocol", view.protocol),
        ("source", view.source),
        ("source_port", view.source_port if view.source_port != "0" else ""),
        ("destination", view.destination),
        ("destination_port", view.destination_port if view.destination_port != "0" else ""),
        ("flags", view.flags),
        ("mark", f"{view.mark:#x}" if view.mark else ""),
        ("conntrack", view.state),
        ("carries", view.encapsulates),
    )
