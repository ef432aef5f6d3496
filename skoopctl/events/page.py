"""The series of one node's events as a part of a page for Prometheus."""

from __future__ import annotations

from skoopctl.events.metrics import EVENT_METRICS
from skoopctl.events.node_events import NodeEvents
from skoopctl.probes.exposition import family_head


def event_page(events: NodeEvents, *, openmetrics: bool = False) -> bytes:
    """Return all series of a node's events; each metric with its head."""
    pieces = [
        family_head(EVENT_METRICS[name], openmetrics=openmetrics) + text
        for name, text in events.series().texts()
    ]
    return "".join(pieces).encode()
