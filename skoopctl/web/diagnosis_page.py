"""What the page of one diagnosis shows, worked out: which branch, packet and hop, and what stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Finding
from skoopctl.dataplane.trace import Branch, Walk
from skoopctl.report.stations import Station, places
from skoopctl.report.svg import render_svg
from skoopctl.report.svg_links import Anchor
from skoopctl.report.words import chosen, deciding_walk, fate, overview, settled, share_of, verdict_sentence
from skoopctl.web.hits import Hits, search
from skoopctl.web.hop import HopPanel, panel_of, stations_of, telling_hop
from skoopctl.web.wanted import Wanted

MOST_BRANCHES = 48
MOST_FINDINGS = 200
_BREADTHS = (("narrow", 840), ("broad", 1300))
"""What the style sheet knows, by the picture's width in pixels."""


@dataclass(frozen=True, slots=True)
class WayTab:
    """One packet of the branch, to choose: ``direction`` is ``Forward``, ``Reply``, or nothing for what follows."""

    direction: str
    label: str
    fate: str
    mark: str
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class HopLine:
    """One station in the list of hops."""

    station: Station
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Stay:
    """The stations of one stay in one namespace."""

    node: str
    namespace: str
    hops: tuple[HopLine, ...]


@dataclass(frozen=True, slots=True)
class BranchRow:
    """One way that the flow may take, to choose."""

    share: str
    choice: str
    outcome: str
    decided: str
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class DiagnosisPage:
    """All of one page. ``picture`` is an SVG whose every word was escaped where it was drawn."""

    diagnosis: Diagnosis
    wanted: Wanted
    sentence: str
    overview: str
    picture: str
    breadth: str
    causes: tuple[tuple[int, Finding], ...]
    others: tuple[tuple[int, Finding], ...]
    more_findings: int
    branch: str
    branches: tuple[BranchRow, ...]
    more_branches: int
    ways: tuple[WayTab, ...]
    no_reply: str
    walk: Walk
    stays: tuple[Stay, ...]
    hop: HopPanel
    before: str
    after: str
    hits: Hits | None
    notices: tuple[str, ...]


def page_of(diagnosis: Diagnosis, wanted: Wanted) -> DiagnosisPage:
    """Return what the page shows. What is chosen and is not there is said, and the first of its kind is shown."""
    notices: list[str] = []
    path = diagnosis.path
    index = _chosen(
        wanted.branch, len(path.branches), "branch", _first(path.branches, path.representative), notices
    )
    original = path.branches[index]
    branch = settled(original, path)
    walk_number = _chosen(wanted.walk, len(branch.walks), "packet", _deciding(branch), notices)
    walk = branch.walks[walk_number]
    number = telling_hop(walk)
    panel = panel_of(walk, number)
    hop = _chosen(wanted.hop, panel.total, "hop", number, notices)
    panel = panel_of(walk, hop)
    here = Here(wanted, index, walk_number, hop)
    picture = render_svg(diagnosis, captioned=False, branch=original, link=here.anchor)
    numbered = list(enumerate(diagnosis.findings))
    causes = tuple(pair for pair in numbered if pair[1].cause)[:MOST_FINDINGS]
    others = tuple(pair for pair in numbered if not pair[1].cause)[:MOST_FINDINGS]
    return DiagnosisPage(
        diagnosis=diagnosis,
        wanted=wanted,
        sentence=verdict_sentence(diagnosis),
        overview=overview(diagnosis),
        picture=picture,
        breadth=_breadth(picture),
        causes=causes,
        others=others,
        more_findings=len(numbered) - len(causes) - len(others),
        branch=chosen(original) if len(path.branches) > 1 else "",
        branches=_branches(diagnosis, wanted, index),
        more_branches=max(len(path.branches) - MOST_BRANCHES, 0),
        ways=_ways(branch, here),
        no_reply=_no_reply(branch),
        walk=walk,
        stays=_stays(walk, here),
        hop=panel,
        before=here.hop_href(walk_number, hop - 1) if hop else "",
        after=here.hop_href(walk_number, hop + 1) if hop + 1 < panel.total else "",
        hits=search(diagnosis, wanted, {number for number, _ in (*causes, *others)}),
        notices=tuple(notices),
    )


@dataclass(frozen=True, slots=True)
class Here:
    """Where the page is, and how to get elsewhere from it."""

    wanted: Wanted
    branch: int
    walk: int
    hop: int

    def hop_href(self, walk: int, hop: int) -> str:
        """Return where a hop of a packet of this branch is shown."""
        return f"{self.wanted.href(branch=self.branch, walk=walk, hop=hop)}#hop"

    def anchor(self, walk: int, hop: int) -> Anchor:
        """Return the picture's link to a hop."""
        return Anchor(self.hop_href(walk, hop), chosen=(walk, hop) == (self.walk, self.hop))


def _chosen(wanted: int | None, total: int, what: str, otherwise: int, notices: list[str]) -> int:
    if wanted is None:
        return otherwise
    if wanted < total:
        return wanted
    notices.append(f"there is no {what} {wanted + 1} here, of {total}: {what} {otherwise + 1} is shown")
    return otherwise


def _deciding(branch: Branch) -> int:
    return _first(branch.walks, deciding_walk(branch))


def _breadth(picture: str) -> str:
    """Return the class of a picture's width: one that is too wide is made smaller, but never too small to read."""
    width = int(picture.partition('viewBox="0 0 ')[2].partition(" ")[0])
    return next((name for name, most in _BREADTHS if width <= most), "broadest")


def _first(items: Sequence[object], one: object) -> int:
    """Return where one of the items stands; equal ones are many, so it is looked for by identity."""
    return next((number for number, each in enumerate(items) if each is one), 0)


def _ways(branch: Branch, here: Here) -> tuple[WayTab, ...]:
    tabs = []
    for number, walk in enumerate(branch.walks):
        directions = {id(branch.forward): "Forward", id(branch.reply): "Reply"}
        tabs.append(
            WayTab(
                direction=directions.get(id(walk), ""),
                label=walk.label,
                fate=fate(walk),
                mark=_mark(walk),
                href=here.wanted.href(branch=here.branch, walk=number, hop=None) + "#path",
                chosen=number == here.walk,
            )
        )
    return tuple(tabs)


def _mark(walk: Walk) -> str:
    """Return how a packet fared: arrived, lost, or not known, which is neither."""
    last = stations_of(walk)[-1]
    return "✔" if last.delivered and not last.unknown else "✖" if last.dies else "?"


def _no_reply(branch: Branch) -> str:
    """Say why there is no reply to choose; nothing where there is one."""
    if branch.reply is not None:
        return ""
    mark = _mark(branch.forward)
    if mark == "✖":
        return f"No reply: the {branch.forward.label} does not arrive."
    return "No reply was followed: " + (
        "it is not known whether anybody is reached." if mark == "?" else "whoever would send it is not seen."
    )


def _stays(walk: Walk, here: Here) -> tuple[Stay, ...]:
    stays, number = [], 0
    for place in places(walk.steps):
        hops = []
        for station in place.stations:
            hops.append(HopLine(station, here.hop_href(here.walk, number), number == here.hop))
            number += 1
        stays.append(Stay(place.node, place.namespace, tuple(hops)))
    return tuple(stays)


def _branches(diagnosis: Diagnosis, wanted: Wanted, index: int) -> tuple[BranchRow, ...]:
    path = diagnosis.path
    if len(path.branches) < 2:
        return ()
    order = sorted(enumerate(path.branches), key=lambda pair: (pair[1].works, -pair[1].weight))
    rows = []
    for number, branch in order[:MOST_BRANCHES]:
        walk = deciding_walk(settled(branch, path))
        rows.append(
            BranchRow(
                share=share_of(branch, path),
                choice=chosen(branch),
                outcome=branch.outcome.value,
                decided="" if branch.works else f"the {walk.label} {fate(walk)}",
                href=wanted.href(branch=number, walk=None, hop=None) + "#picture",
                chosen=number == index,
            )
        )
    return tuple(rows)
