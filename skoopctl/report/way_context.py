"""A packet's way as plain data for templates: places, stations in them, headers where they change."""

from __future__ import annotations

from typing import Any

from skoopctl.dataplane.trace import Branch, Evidence, PathResult, Walk
from skoopctl.report.messages import Messages
from skoopctl.report.stations import Place, Station, places
from skoopctl.report.verdict_in import fate_in
from skoopctl.report.words import chosen, deciding_walk, ended, fate, header, settled, share_of

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
        "decides": f"{walk.label} {fate(walk) if words.lang == 'en' else fate_in(walk, words)}",
        "drawn": drawn,
        "ways": [way_context(each) for each in shown.walks],
    }


def way_context(walk: Walk) -> Json:
    """Return one packet's way."""
    return {
        "label": walk.label,
        "disposition": walk.disposition.value,
        "places": [_place(each) for each in places(walk.steps)],
    }


def evidence_context(item: Evidence) -> Json:
    """Return one raw line with where it stands."""
    return {
        "kind": item.kind,
        "text": item.text,
        "location": item.location,
        "packets": item.packets,
        "node": item.node,
    }


def _place(place: Place) -> Json:
    return {
        "node": place.node,
        "namespace": place.namespace,
        "stations": [_station(each) for each in place.stations],
    }


def _station(station: Station) -> Json:
    relabelled, repacked = station.relabelled, station.repacked
    return {
        "name": station.name,
        "said": ended(station.telling) if station.dies else station.telling.decision,
        "dies": station.dies,
        "delivered": station.delivered,
        "unknown": station.unknown,
        "depth": station.depth,
        "decisions": list(station.decisions),
        "evidence": [evidence_context(each) for each in station.evidence],
        "packed": header(repacked) if repacked else "",
        "outer": station.depth_after > station.depth,
        "before": header(relabelled[0]) if relabelled else "",
        "after": header(relabelled[1]) if relabelled else "",
    }
