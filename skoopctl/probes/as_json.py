"""The catalogue as JSON, and how probes fare on nodes: schema ``skoopctl.probe-list/1`` (probe-list-1.schema.json)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from skoopctl import __version__
from skoopctl.probes.catalogue import DEFAULT_PROBES, READINGS
from skoopctl.probes.metric import Probe
from skoopctl.probes.reading import Reading
from skoopctl.probes.sample import Availability

SCHEMA = "skoopctl.probe-list/1"


def listing_object(
    probes: Iterable[Probe], nodes: list[dict[str, Any]] | None, event_probes: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the one object that ``probe list --json`` prints; ``nodes`` is None when nobody was asked."""
    return {
        "schema": SCHEMA,
        "tool_version": __version__,
        "probes": [_probe(probe) for probe in probes],
        "event_probes": event_probes,
        "nodes": nodes,
    }


def node_object(
    name: str, address: str, status: str, why: str, probes: Mapping[str, Availability]
) -> dict[str, Any]:
    """Return one node: how asking it went, and how each probe fares there."""
    return {
        "node": name,
        "address": address,
        "status": status,
        "why": why,
        "probes": {name: {"state": str(each.state), "why": each.why} for name, each in probes.items()},
    }


def _probe(probe: Probe) -> dict[str, Any]:
    return {
        "name": probe.name,
        "title": probe.title,
        "scope": str(probe.scope),
        "default": probe.name in DEFAULT_PROBES,
        "source": probe.source,
        "cost": probe.cost,
        "needs": probe.needs,
        "items": list(probe.items),
        "metrics": [_metric(reading) for reading in READINGS[probe.name]],
    }


def _metric(reading: Reading) -> dict[str, Any]:
    metric = reading.metric
    return {
        "name": metric.name,
        "kind": str(metric.kind),
        "exposed_as": "untyped" if metric.compatible else str(metric.kind),
        "labels": list(metric.labels),
        "help": metric.help,
        "source": metric.source,
        "differs": reading.differs or None,
        "only": reading.only or None,
    }
