"""A packet's way as plain data for templates: places, stations in them, headers where they change."""

from __future__ import annotations

from typing import Any

from skoopctl.dataplane.trace import Branch, Evidence, PathResult, Walk
from skoopctl.report.messages import Messages
from skoopctl.report.station_in import ended_in, station_in, unknown_in
from skoopctl.report.stations import Place, Station, places
from skoopctl.report.verdict_in import fate_in
from skoopctl.report.words import chosen, deciding_walk, header, settled, share_of

Json = dict[str, Any]


def branch_context(branch: Branch, path: PathResult, words: Messages, *, drawn: bool) -> Json:
    """Return one branch: its share, its end, and its packets' ways. ``drawn`` is whether the picture shows it."""
    shown = settled(branch, path)
    walk = deciding_walk(shown)
    share = "" if branch.unknowns and path.unknowns else share_of(branch, path)
    return {
        "share": share,
        "choice": words.sentence(chosen(branch)),
        "outcome": branch.outcome.value,
        "decides": f"{words.sentence(walk.label)} {fate_in(walk, words)}",
        "drawn": drawn,
        "ways": [way_context(each, words) for each in shown.walks],
    }


def way_context(walk: Walk, words: Messages) -> Json:
    """Return one packet's way, in the language of ``words`` where there are words for it."""
    return {
        "label": words.sentence(walk.label),
        "disposition": walk.disposition.value,
        "places": [_place(each, words) for each in places(walk.steps)],
    }


TOLD = frozenset({"event", "flow", "gap", "reason"})
"""Kinds of evidence whose text is ours: what was counted, missing or meant. Other lines are as they were read."""


def evidence_context(item: Evidence, words: Messages) -> Json:
    """Return one raw line with where it stands; what skoopctl itself tells is in the language of ``words``."""
    return {
        "kind": item.kind,
        "text": evidence_text(item.kind, item.text, words),
        "location": words.word("located", item.location),
        "packets": item.packets,
        "node": item.node,
    }


def evidence_text(kind: str, text: str, words: Messages) -> str:
    """Return what a line of evidence says, in the language of ``words`` where skoopctl says it."""
    return words.sentence(text) if kind in TOLD else text


def _place(place: Place, words: Messages) -> Json:
    return {
        "node": place.node,
        "namespace": place.namespace,
        "stations": [station_context(each, words) for each in place.stations],
    }


def station_context(station: Station, words: Messages) -> Json:
    """Return what happened at one station: what was decided on which lines, and the packet's header if it changes."""
    relabelled, repacked = station.relabelled, station.repacked
    return {
        "name": station_in(station, words),
        "said": ended_in(station.telling, words)
        if station.dies
        else words.sentence(station.telling.decision),
        "dies": station.dies,
        "delivered": station.delivered,
        "unknown": unknown_in(station, words),
        "depth": station.depth,
        "decisions": [words.sentence(each) for each in station.decisions],
        "evidence": [evidence_context(each, words) for each in station.evidence],
        "packed": header(repacked) if repacked else "",
        "outer": station.depth_after > station.depth,
        "before": header(relabelled[0]) if relabelled else "",
        "after": header(relabelled[1]) if relabelled else "",
    }
