"""Searching one diagnosis: in findings, in every station of every packet of every branch, and among the hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Finding
from skoopctl.dataplane.trace import Branch
from skoopctl.report.incident import finding_context
from skoopctl.report.messages import Messages, messages
from skoopctl.report.overview_in import detail_in
from skoopctl.report.station_in import station_in, unknown_in
from skoopctl.report.stations import Station
from skoopctl.report.verdict_in import chosen_in
from skoopctl.report.words import settled
from skoopctl.web.hop import stations_of
from skoopctl.web.wanted import Wanted

MOST_HITS = 100


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where all the words were found: what it is, the text, and where to look at it."""

    what: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search found. ``more`` tells whether there is more than is shown."""

    words: str
    shown: tuple[Hit, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Search:
    """What is searched for, and in which language what is found is told."""

    wanted: Wanted
    looked_for: tuple[str, ...]
    words: Messages

    @property
    def translated(self) -> bool:
        """Whether to look into what is said in another language too: ASCII stands in what that was made from."""
        return not all(word.isascii() for word in self.looked_for)

    def finds(self, *texts: str) -> bool:
        """Tell whether all words stand in the texts together."""
        folded = " ".join(texts).casefold()
        return all(word in folded for word in self.looked_for)


def search(
    diagnosis: Diagnosis, wanted: Wanted, on_page: Collection[int], words: Messages | None = None
) -> Hits | None:
    """Return where all words of the search stand, or None where nothing is searched for. Case does not matter.

    ``on_page`` are the numbers of the findings that the page shows: others have no place to go to. What is looked
    into is what was collected, and what is said of it, in English and in the language of ``words``.
    """
    looked_for = tuple(wanted.search.casefold().split())
    if not looked_for:
        return None
    asked = _Search(wanted, looked_for, words or messages())
    found = list(islice(_hits(diagnosis, asked, on_page), MOST_HITS + 1))
    return Hits(wanted.search, tuple(found[:MOST_HITS]), len(found) > MOST_HITS)


def _hits(diagnosis: Diagnosis, asked: _Search, on_page: Collection[int]) -> Iterator[Hit]:
    words, here = asked.words, asked.wanted.href()
    for number, finding in enumerate(diagnosis.findings):
        told = _finding_texts(finding, words) if asked.translated else ()
        if asked.finds(*_finding_texts(finding, messages()), *told):
            place = f"finding-{number}" if number in on_page else "findings"
            yield Hit(words.text("page.hit_finding"), words.sentence(finding.summary), f"{here}#{place}")
    path = diagnosis.path
    seen: set[tuple[str, ...]] = set()
    for index, branch in enumerate(path.branches):
        yield from _in_branch(settled(branch, path), index, asked, seen, many=len(path.branches) > 1)
    for host in diagnosis.coverage.hosts:
        told = tuple(detail_in(each, words) for each in (host.detail, *host.gaps)) if asked.translated else ()
        status = words.word("status", host.status)
        if asked.finds(host.host, host.status, status, host.detail, *host.gaps, *told):
            line = words.text("page.hit", place=host.host, line=status)
            yield Hit(words.text("page.hit_host"), line, f"{here}#coverage")


def _in_branch(
    branch: Branch, index: int, asked: _Search, seen: set[tuple[str, ...]], *, many: bool
) -> Iterator[Hit]:
    """Yield a branch's hits; ``seen`` are the stations of those before it, which need no second look."""
    for number, walk in enumerate(branch.walks):
        for hop, station in enumerate(stations_of(walk)):
            texts = _station_texts(station, messages())
            if (walk.label, *texts) in seen:
                continue
            seen.add((walk.label, *texts))
            told = _station_texts(station, asked.words) if asked.translated else ()
            if asked.finds(*texts, *told):
                about = _about(walk.label, hop, branch if many else None, asked.words)
                href = f"{asked.wanted.href(branch=index, walk=number, hop=hop)}#hop"
                yield Hit(about, _line(station, asked), href)


def _about(label: str, hop: int, branch: Branch | None, words: Messages) -> str:
    about = words.text("page.hit_hop", label=words.sentence(label), n=hop + 1)
    if branch is None:
        return about
    return words.text("page.hit_branch", hop=about, choice=chosen_in(branch, words))


def _line(station: Station, asked: _Search) -> str:
    """Return where a hit is, and the first of its texts that has all the words, or the last."""
    words = asked.words
    name = station_in(station, words)
    place = words.text("picture.hint", name=name, node=station.node, namespace=station.namespace)
    texts = zip(_station_texts(station, messages()), _station_texts(station, words), strict=True)
    lines = [(asked.finds(text) or asked.finds(told), told) for text, told in texts]
    line = next((told for found, told in lines if found), lines[-1][1])
    return words.text("page.hit", place=place, line=line)


def _finding_texts(finding: Finding, words: Messages) -> tuple[str, ...]:
    told = finding_context(finding, words)
    fix = (told["fix"]["summary"], *told["fix"]["commands"]) if told["fix"] else ()
    lines = (item["text"] for item in told["evidence"])
    return finding.id, told["summary"], str(finding.where), told["why"], *fix, *lines


def _station_texts(station: Station, words: Messages) -> tuple[str, ...]:
    """Return a station's texts, what skoopctl says in the language of ``words``: as many in each."""
    lines = tuple(f"{item.location} {item.text}" for item in station.evidence)
    return (
        station_in(station, words),
        station.node,
        station.namespace,
        *(step.device for step in station.steps if step.device),
        *map(words.sentence, station.decisions),
        unknown_in(station, words),
        *lines,
    )
