"""Stations of the picture as links, for the page that shows what happens at each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skoopctl.dataplane.trace import Branch
from skoopctl.report.escape import escape_xml
from skoopctl.report.messages import Messages
from skoopctl.report.stations import places
from skoopctl.report.svg_layout import Box, PlacedRow
from skoopctl.report.svg_rows import MONO_WIDTH


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a station leads, and whether it is the one that is shown."""

    href: str
    chosen: bool = False


_NOTHING_SAID = ": \uff1a"
"""What is left at the end of a name where nothing was decided."""

Link = Callable[[int, int], Anchor]
"""From a packet's number among the branch's walks, and a station's number on its way, to where it leads."""


@dataclass(frozen=True, slots=True)
class Links:
    """The anchors of one branch's stations, by the identity of a station's first step: equal steps are many."""

    anchors: Mapping[int, Anchor]
    words: Messages

    @classmethod
    def of(cls, branch: Branch, link: Link, words: Messages) -> Links:
        """Return the links of every station of a branch, with names in the language of ``words``."""
        found: dict[int, Anchor] = {}
        for number, walk in enumerate(branch.walks):
            stations = (station for place in places(walk.steps) for station in place.stations)
            for index, station in enumerate(stations):
                found.setdefault(id(station.steps[0]), link(number, index))
        return cls(found, words)

    def around(self, mark: str, item: PlacedRow, box: Box, *, both: bool) -> str:
        """Return a station's mark as a link, with a field behind it that is easy to hit."""
        anchor = self.anchors.get(id(item.row.first))
        if anchor is None:
            return mark
        width = min(
            int(sum(map(len, item.row.lines)) * (MONO_WIDTH + 2)) + 72, box.width // (2 if both else 1)
        )
        x = box.x + (box.width - width - 4 if item.reply else 4)
        station, said = item.row.lines
        name = self.words.text(
            "picture.link", name=station, namespace=box.panel.namespace, node=box.panel.node, said=said
        )
        current = ' aria-current="true"' if anchor.chosen else ""
        field = f'<rect x="{x}" y="{item.y}" width="{width}" height="{item.row.height}" rx="6" class="hit"/>'
        return (
            f'<a href="{escape_xml(anchor.href)}" class="hop"{current} '
            f'aria-label="{escape_xml(name[:300].rstrip(_NOTHING_SAID))}">{field}{mark}</a>'
        )
