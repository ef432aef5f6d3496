"""The metrics that come of events: KubeSkoop's, and our own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.metric import TUPLE_LABELS, EventMetric
from skoopctl.probes.metric import POD_LABELS, Kind, Metric

EVENTS = Metric(
    "skoopctl_events_total",
    "Events, counted by the node: samples that were lost are in it.",
    Kind.COUNTER,
    (*POD_LABELS, "probe", "type"),
    "maps of the event probes",
)
DROPS = Metric(
    "skoopctl_packet_drops_total",
    "Packets that the kernel dropped, by its own reason.",
    Kind.COUNTER,
    (*POD_LABELS, "reason"),
    "skb:kfree_skb",
)
LOST = Metric(
    "skoopctl_event_samples_lost_total",
    "Samples of events that found no room on the node or on the wire; they are counted in skoopctl_events_total.",
    Kind.COUNTER,
    ("k8s_node", "probe"),
    "maps of the event probes",
)
MISSED = Metric(
    "skoopctl_event_runs_missed_total",
    "Times that a program was not run, for it was running already on that CPU: what happened then is in no count.",
    Kind.COUNTER,
    ("k8s_node", "probe"),
    "recursion_misses of the programs (Linux 5.12)",
)
PROBE_UP = Metric(
    "skoopctl_event_probe_up",
    "1 while an event probe runs on the node; 0 while it does not, or only some of its hooks do.",
    Kind.GAUGE,
    ("k8s_node", "probe", "state"),
    "the loader",
)
LATENCY = Metric(
    "skoopctl_event_latency_seconds",
    "How long things took, slow or not, by probe, stage and type.",
    Kind.HISTOGRAM,
    ("k8s_node", "probe", "stage", "type"),
    "maps of the event probes",
)
BUCKETS_NS = tuple(1 << bits for bits in (10, 13, 16, 18, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32))
"""Bounds of `LATENCY`; each is a bound of the node's own slots."""


def labels_of(metric: EventMetric) -> tuple[str, ...]:
    """Return a metric's labels: its own, and the node's, so that all nodes can stand on one page."""
    return metric.labels if "k8s_node" in metric.labels else ("k8s_node", *metric.labels)


def is_tuple(metric: EventMetric) -> bool:
    """Return whether its labels are both ends of a packet."""
    return set(TUPLE_LABELS) <= set(metric.labels)


def _compatible() -> dict[str, Metric]:
    return {
        each.name: Metric(
            each.name,
            f"{probe.title[0].upper()}{probe.title[1:]}.",
            Kind.COUNTER,
            labels_of(each),
            f"event probe {probe.name}",
        )
        for probe in PROBES.values()
        for each in probe.metrics
    }


EVENT_METRICS: Mapping[str, Metric] = MappingProxyType(
    _compatible() | {each.name: each for each in (EVENTS, DROPS, LOST, MISSED, PROBE_UP, LATENCY)}
)
"""All of them by name, in the order of pages."""
