"""Searching one diagnosis: in findings, in every station of every packet of every branch, and among the hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Finding
from skoopctl.dataplane.trace import Branch
from skoopctl.report.stations import Station
from skoopctl.report.words import chosen, settled
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


def search(diagnosis: Diagnosis, wanted: Wanted, on_page: Collection[int]) -> Hits | None:
    """Return where all words of the search stand, or None where nothing is searched for. Case does not matter.

    ``on_page`` are the numbers of the findings that the page shows: others have no place to go to.
    """
    words = wanted.search.casefold().split()
    if not words:
        return None
    found = list(islice(_hits(diagnosis, wanted, words, on_page), MOST_HITS + 1))
    return Hits(wanted.search, tuple(found[:MOST_HITS]), len(found) > MOST_HITS)


def _hits(diagnosis: Diagnosis, wanted: Wanted, words: list[str], on_page: Collection[int]) -> Iterator[Hit]:
    for number, finding in enumerate(diagnosis.findings):
        if _holds(_finding_text(finding), words):
            place = f"finding-{number}" if number in on_page else "findings"
            yield Hit("finding", finding.summary, f"{wanted.href()}#{place}")
    path = diagnosis.path
    seen: set[tuple[str, ...]] = set()
    for index, branch in enumerate(path.branches):
        for hit, text in _in_branch(settled(branch, path), index, wanted, words, many=len(path.branches) > 1):
            if text not in seen:
                seen.add(text)
                yield hit
    for host in diagnosis.coverage.hosts:
        if _holds(" ".join((host.host, host.status, host.detail, *host.gaps)), words):
            yield Hit("host", f"{host.host}: {host.status}", f"{wanted.href()}#coverage")


def _in_branch(
    branch: Branch, index: int, wanted: Wanted, words: list[str], *, many: bool
) -> Iterator[tuple[Hit, tuple[str, ...]]]:
    for number, walk in enumerate(branch.walks):
        for hop, station in enumerate(stations_of(walk)):
            text = _station_text(station)
            if _holds(" ".join(text), words):
                where = f"{station.name} on {station.node}, {station.namespace}"
                about = f"{walk.label}, hop {hop + 1}" + (f", {chosen(branch)}" if many else "")
                line = next((part for part in text if _holds(part, words)), text[-1])
                href = f"{wanted.href(branch=index, walk=number, hop=hop)}#hop"
                yield Hit(about, f"{where}: {line}", href), (walk.label, *text)


def _holds(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _finding_text(finding: Finding) -> str:
    fix = (finding.fix.summary, *finding.fix.commands) if finding.fix else ()
    lines = (item.text for item in finding.evidence)
    return " ".join((finding.id, finding.summary, str(finding.where), finding.why, *fix, *lines))


def _station_text(station: Station) -> tuple[str, ...]:
    lines = tuple(f"{item.location} {item.text}" for item in station.evidence)
    return (
        station.name,
        station.node,
        station.namespace,
        *(step.device for step in station.steps if step.device),
        *station.decisions,
        station.unknown,
        *lines,
    )
