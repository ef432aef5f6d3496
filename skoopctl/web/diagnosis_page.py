"""What the page of one diagnosis shows, worked out: which branch, packet and hop, and what stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.dataplane.trace import Branch, Walk
from skoopctl.report.incident import Json, finding_context
from skoopctl.report.messages import Messages, messages
from skoopctl.report.stations import places
from skoopctl.report.svg import render_svg
from skoopctl.report.svg_links import Anchor
from skoopctl.report.verdict_in import chosen_in, fate_in, label_in, share_in, verdict_in
from skoopctl.report.way_context import station_context
from skoopctl.report.words import deciding_walk, settled
from skoopctl.web.hits import Hits, search
from skoopctl.web.hop import HopPanel, panel_of, stations_of, telling_hop
from skoopctl.web.wanted import Wanted

MOST_BRANCHES = 48
MOST_FINDINGS = 200
_BREADTHS = (("narrow", 840), ("broad", 1300))
"""What the style sheet knows, by the picture's width in pixels."""


@dataclass(frozen=True, slots=True)
class WayTab:
    """One packet of the branch, to choose; ``direction`` says forward or reply, or nothing for what follows."""

    direction: str
    label: str
    fate: str
    mark: str
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class HopLine:
    """One station in the list of hops, as `station_context` tells it."""

    station: Json
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
    """All of one page, in one language. ``picture`` is an SVG whose every word was escaped where it was drawn.

    ``causes`` and ``others`` are findings with their numbers, as `finding_context` tells them.
    """

    diagnosis: Diagnosis
    wanted: Wanted
    source: str
    destination: str
    sentence: str
    picture: str
    breadth: str
    causes: tuple[tuple[int, Json], ...]
    others: tuple[tuple[int, Json], ...]
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
    unknowns: tuple[str, ...]
    conditions: tuple[str, ...]
    assumptions: tuple[str, ...]


def page_of(diagnosis: Diagnosis, wanted: Wanted, words: Messages | None = None) -> DiagnosisPage:
    """Return what the page shows, in English or in the language of ``words``.

    What is chosen and is not there is said, and the first of its kind is shown.
    """
    words = words or messages()
    path = diagnosis.path
    chosen = _Choice(words, [])
    index = chosen.of("branch", wanted.branch, len(path.branches), _first(path.branches, path.representative))
    original = path.branches[index]
    branch = settled(original, path)
    walk_number = chosen.of("packet", wanted.walk, len(branch.walks), _deciding(branch))
    walk = branch.walks[walk_number]
    hop = chosen.of("hop", wanted.hop, len(stations_of(walk)), telling_hop(walk))
    panel = panel_of(walk, hop, words)
    here = Here(wanted, index, walk_number, hop)
    picture = render_svg(diagnosis, captioned=False, branch=original, link=here.anchor, words=words)
    causes = _findings(diagnosis, words, cause=True)
    others = _findings(diagnosis, words, cause=False)
    return DiagnosisPage(
        diagnosis=diagnosis,
        wanted=wanted,
        source=label_in(diagnosis.source, words),
        destination=label_in(diagnosis.destination, words),
        sentence=verdict_in(diagnosis, words),
        picture=picture,
        breadth=_breadth(picture),
        causes=causes,
        others=others,
        more_findings=len(diagnosis.findings) - len(causes) - len(others),
        branch=chosen_in(original, words) if len(path.branches) > 1 else "",
        branches=_branches(diagnosis, wanted, index, words),
        more_branches=max(len(path.branches) - MOST_BRANCHES, 0),
        ways=_ways(branch, here, words),
        no_reply=_no_reply(branch, words),
        walk=walk,
        stays=_stays(walk, here, words),
        hop=panel,
        before=here.hop_href(walk_number, hop - 1) if hop else "",
        after=here.hop_href(walk_number, hop + 1) if hop + 1 < panel.total else "",
        hits=search(diagnosis, wanted, {number for number, _ in (*causes, *others)}, words),
        notices=tuple(chosen.notices),
        unknowns=tuple(map(words.sentence, path.unknowns)),
        conditions=tuple(map(words.sentence, path.conditions)),
        assumptions=tuple(map(words.sentence, path.assumptions)),
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


@dataclass(frozen=True, slots=True)
class _Choice:
    """What was chosen among branches, packets and hops; ``notices`` say what is not there."""

    words: Messages
    notices: list[str]

    def of(self, what: str, wanted: int | None, total: int, otherwise: int) -> int:
        """Return what was chosen of a kind, or what is shown otherwise."""
        if wanted is None:
            return otherwise
        if wanted < total:
            return wanted
        key = f"page.absent.{what}"
        self.notices.append(self.words.text(key, n=wanted + 1, total=total, shown=otherwise + 1))
        return otherwise


def _findings(diagnosis: Diagnosis, words: Messages, *, cause: bool) -> tuple[tuple[int, Json], ...]:
    numbered = [pair for pair in enumerate(diagnosis.findings) if pair[1].cause is cause]
    return tuple((number, finding_context(each, words)) for number, each in numbered[:MOST_FINDINGS])


def _deciding(branch: Branch) -> int:
    return _first(branch.walks, deciding_walk(branch))


def _breadth(picture: str) -> str:
    """Return the class of a picture's width: one that is too wide is made smaller, but never too small to read."""
    width = int(picture.partition('viewBox="0 0 ')[2].partition(" ")[0])
    return next((name for name, most in _BREADTHS if width <= most), "broadest")


def _first(items: Sequence[object], one: object) -> int:
    """Return where one of the items stands; equal ones are many, so it is looked for by identity."""
    return next((number for number, each in enumerate(items) if each is one), 0)


def _ways(branch: Branch, here: Here, words: Messages) -> tuple[WayTab, ...]:
    tabs = []
    directions = {
        id(branch.forward): words.text("page.forward"),
        id(branch.reply): words.text("page.reply"),
    }
    for number, walk in enumerate(branch.walks):
        tabs.append(
            WayTab(
                direction=directions.get(id(walk), ""),
                label=words.sentence(walk.label),
                fate=fate_in(walk, words),
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


def _no_reply(branch: Branch, words: Messages) -> str:
    """Say why there is no reply to choose; nothing where there is one."""
    if branch.reply is not None:
        return ""
    mark = _mark(branch.forward)
    if mark == "✖":
        return words.text("page.no_reply", label=words.sentence(branch.forward.label))
    return words.text("page.no_reply_known" if mark == "?" else "page.no_reply_seen")


def _stays(walk: Walk, here: Here, words: Messages) -> tuple[Stay, ...]:
    stays, number = [], 0
    for place in places(walk.steps):
        hops = []
        for station in place.stations:
            told = station_context(station, words)
            hops.append(HopLine(told, here.hop_href(here.walk, number), number == here.hop))
            number += 1
        stays.append(Stay(place.node, place.namespace, tuple(hops)))
    return tuple(stays)


def _branches(diagnosis: Diagnosis, wanted: Wanted, index: int, words: Messages) -> tuple[BranchRow, ...]:
    path = diagnosis.path
    if len(path.branches) < 2:
        return ()
    order = sorted(enumerate(path.branches), key=lambda pair: (pair[1].works, -pair[1].weight))
    rows = []
    for number, branch in order[:MOST_BRANCHES]:
        walk = deciding_walk(settled(branch, path))
        rows.append(
            BranchRow(
                share=share_in(branch, path, words),
                choice=chosen_in(branch, words),
                outcome=branch.outcome.value,
                decided="" if branch.works else _decided(walk, words),
                href=wanted.href(branch=number, walk=None, hop=None) + "#picture",
                chosen=number == index,
            )
        )
    return tuple(rows)


def _decided(walk: Walk, words: Messages) -> str:
    return words.text("page.decided", label=words.sentence(walk.label), fate=fate_in(walk, words))
