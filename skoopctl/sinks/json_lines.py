"""A watch as JSON lines, as ``probe-run-1.schema.json`` describes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from skoopctl import __version__
from skoopctl.events.as_json import event_line as event_to_text
from skoopctl.events.event import Event
from skoopctl.evidence.rounds import Round
from skoopctl.probes.metric import Metric
from skoopctl.report.jsonout import finding_to_json
from skoopctl.watching.observation import NodeView
from skoopctl.watching.summary import EventSummary, Summary
from skoopctl.watching.table import metrics_of, place_of

SCHEMA = "skoopctl.probe-run/1"
SCHEMA_FILE = "probe-run-1.schema.json"

Json = dict[str, Any]


def hello(
    probes: Sequence[str], nodes: Sequence[str], rounds: int, interval_s: float, inventory: str
) -> Json:
    """Return the first line: what is asked for, and of whom."""
    return {
        "schema": SCHEMA,
        "type": "hello",
        "tool_version": __version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "inventory": inventory,
        "probes": list(probes),
        "rounds": rounds,
        "interval_s": interval_s,
        "nodes": list(nodes),
    }


def round_to_json(view: NodeView, round_: Round, pod: tuple[str, str] | None = None) -> Json:
    """Return one round of one node: every series with its value, and with its rate when there was one before."""
    metrics = metrics_of(tuple(view.series.probes))
    rates = view.rates.per_second if view.rates is not None else {}
    values = view.last.values if view.last is not None else {}
    return {
        "type": "round",
        "node": view.name,
        "round": view.rounds,
        "time": datetime.fromtimestamp(round_.wall_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "over_s": round(view.rates.seconds, 3) if view.rates is not None else None,
        "skipped": round_.skipped,
        "wire_bytes": round_.wire_bytes,
        "node_cpu_ms": round(round_.cpu_ms, 3),
        "node_rss_kib": round_.rss_kib,
        "series": [
            _series(metrics[name], labels, value, rates.get((name, labels)))
            for (name, labels), value in values.items()
            if name in metrics and _wanted(metrics[name], labels, pod)
        ],
    }


def event_to_line(event: Event) -> str:
    """Return one event as a line: the members of ``skoopctl.event/1``, and the type."""
    return '{"type":"event",' + event_to_text(event)[1:]


def probe_to_json(view: NodeView, probe: str) -> Json:
    """Return how one event probe fares on a node now: it has started, or could not, or was taken off."""
    given = view.availability()[probe]
    setup = view.events.setups.get(probe) if view.events is not None else None
    return {
        "type": "probe",
        "node": view.name,
        "probe": probe,
        "state": str(given.state),
        "why": given.why,
        "backend": setup.backend if setup is not None else "",
        "start_ms": round(sum(setup.ms.get(step, 0.0) for step in ("btf", "all")), 1)
        if setup is not None
        else 0,
    }


def broken(view: NodeView) -> Json:
    """Return what is said when a node's watch breaks."""
    return {"type": "broken", "node": view.name, "state": str(view.phase), "why": view.why}


def summary_to_json(summary: Summary) -> Json:
    """Return the last line."""
    return {
        "type": "summary",
        "coverage": {
            "summary": summary.coverage,
            "measured": summary.measured,
            "total": len(summary.nodes),
        },
        "interrupted": summary.interrupted,
        "nodes": [
            {
                "node": node.name,
                "status": node.status,
                "why": node.why,
                "rounds": node.rounds,
                "skipped": node.skipped,
                "breaks": node.breaks,
                "reboots": node.reboots,
                "wire_bytes": node.wire_bytes,
            }
            for node in summary.nodes
        ],
        "findings": [finding_to_json(each) for each in summary.findings],
        "unavailable": [
            {"probes": list(lack.probes), "state": lack.state, "why": lack.why, "nodes": list(lack.nodes)}
            for lack in summary.lacks
        ],
        "events": _events(summary.events) if summary.events is not None else None,
    }


def _events(events: EventSummary) -> Json:
    return {
        "told": events.told,
        "happened": [
            {
                "probe": each.probe,
                "kind": each.kind,
                "reason": each.reason,
                "count": each.count,
                "places": [
                    {"node": place.node, "namespace": place.namespace, "pod": place.pod, "count": count}
                    for place, count in each.places
                ],
            }
            for each in events.happened
        ],
        "took": [asdict(took) for took in events.took],
        "lost": [{"node": node, "samples": number} for node, number in events.lost],
        "missed": [{"node": node, "runs": number} for node, number in events.missed],
        "blind": list(events.blind),
    }


def schema() -> Json:
    """Return the JSON Schema (2020-12) of one line."""
    text = resources.files("skoopctl.sinks").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    loaded: Json = json.loads(text)
    return loaded


def _series(metric: Metric, labels: Sequence[str], value: float, rate: float | None) -> Json:
    named: Mapping[str, str] = dict(zip(metric.labels, labels, strict=False))
    return {
        "metric": metric.name,
        "labels": named,
        "kind": str(metric.kind),
        "value": value,
        "per_s": None if rate is None else round(rate, 6),
    }


def _wanted(metric: Metric, labels: Sequence[str], pod: tuple[str, str] | None) -> bool:
    if pod is None:
        return True
    place = place_of(metric, labels)
    return (place.namespace, place.pod) == pod
