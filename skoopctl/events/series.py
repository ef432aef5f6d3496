"""The series of one node's events, as samples and as a page's lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from skoopctl.bpf.catalogue import NUMBERS, PROBES
from skoopctl.bpf.histogram import BOUNDS_NS, Histogram
from skoopctl.bpf.metric import SOFTIRQ_LABELS, EventMetric
from skoopctl.events.counted import Counted, FlowKey, Row, TallyKey
from skoopctl.events.event import End
from skoopctl.events.metrics import (
    BUCKETS_NS,
    DROPS,
    EVENT_METRICS,
    EVENTS,
    LATENCY,
    LOST,
    MISSED,
    PROBE_UP,
    is_tuple,
)
from skoopctl.events.naming import Owner, protocol_name
from skoopctl.probes.labels import head
from skoopctl.probes.metric import POD_LABELS, Metric
from skoopctl.probes.sample import Availability, Entity, Sample

EndOf = Callable[[str, int, Owner], "End | None"]


class EventSeries:
    """Makes series of what was counted; holds nothing."""

    def __init__(
        self,
        node: str,
        counted: Counted,
        running: Mapping[str, Availability],
        entities: Iterable[Entity],
        end_of: EndOf,
    ) -> None:
        self._node = node
        self._counted = counted
        self._running = running
        self._entities = tuple(entities)
        self._end_of = end_of

    def samples(self) -> Iterator[Sample]:
        """Yield every series but those of histograms."""
        yield from self._events()
        for probe in self._counted.probes:
            for metric in PROBES[probe].metrics:
                yield from self._compatible(probe, metric)
        for name, counts in self._counted.probes.items():
            yield Sample(LOST, (self._node, name), counts.lost)
            yield Sample(MISSED, (self._node, name), counts.missed)
        for name, given in self._running.items():
            yield Sample(PROBE_UP, (self._node, name, str(given.state)), int(given.state == "available"))

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield each metric's name with its lines, as a page shows them."""
        lines: dict[str, list[str]] = defaultdict(list)
        for sample in self.samples():
            names = sample.metric.labels
            lines[sample.metric.name].append(
                f"{sample.metric.name}{head(names, sample.labels)} {sample.value}\n"
            )
        for probe, counts in self._counted.probes.items():
            for histogram in counts.histograms.values():
                lines[LATENCY.name] += histogram_lines(self._node, probe, histogram)
        for name in EVENT_METRICS:
            if name in lines:
                yield name, "".join(lines[name])

    def _events(self) -> Iterator[Sample]:
        kinds: dict[tuple[str, ...], int] = defaultdict(int)
        reasons: dict[tuple[str, ...], int] = defaultdict(int)
        for key, row in self._counted.tallies.items():
            place = (self._node, key.namespace, key.pod)
            kinds[(*place, key.probe, key.kind)] += row.count
            if key.kind == "packet-loss":
                reasons[(*place, key.reason)] += row.count
        yield from _samples(EVENTS, kinds)
        yield from _samples(DROPS, reasons)

    def _compatible(self, probe: str, metric: EventMetric) -> Iterator[Sample]:
        """Yield the series of one of KubeSkoop's names; of what can be told beforehand, the zeros too."""
        sums: dict[tuple[str, ...], int] = defaultdict(int)
        if is_tuple(metric):
            for flow, row in self._counted.flows.items():
                if flow.probe == probe and self._is_of(metric, flow):
                    sums[(self._node, *self._ends(flow))] += getattr(row, metric.of)
        elif metric.labels == SOFTIRQ_LABELS:
            sums |= {(self._node, word): 0 for word in PROBES[probe].words if word}
            for key, row in self._of(probe, metric):
                sums[self._node, key.reason] += row.count
        elif metric.labels == POD_LABELS:
            sums |= {(self._node, each.namespace, each.pod): 0 for each in self._places(probe)}
            for key, row in self._of(probe, metric):
                sums[self._node, key.namespace, key.pod] += row.count
        yield from _samples(EVENT_METRICS[metric.name], sums)

    def _places(self, probe: str) -> Iterable[Entity]:
        """Return who can have such events: of a probe of the whole node, the node alone."""
        if PROBES[probe].whole_node:
            return self._entities[:1]
        return [each for each in self._entities if each.netns or not each.pod]

    def _of(self, probe: str, metric: EventMetric) -> Iterator[tuple[TallyKey, Row]]:
        for key, row in self._counted.tallies.items():
            if key.probe == probe and metric.counts(NUMBERS[key.kind], key.reason, key.function):
                yield key, row

    def _is_of(self, metric: EventMetric, flow: FlowKey) -> bool:
        """Return whether a flow is part of a metric. What one of the node's pods sent another is counted once."""
        if NUMBERS[flow.kind] not in metric.kinds or (metric.reasons and not flow.netfilter):
            return False
        if flow.kind != "flow-received":
            return True
        sender = self._end_of(flow.source, 0, Owner(flow.namespace, flow.pod))
        return sender is None or sender.node != self._node

    def _ends(self, flow: FlowKey) -> tuple[str, ...]:
        """Return the labels of both ends; ports are 0, as KubeSkoop has them unless it is told otherwise."""
        owner = Owner(flow.namespace, flow.pod)
        ends = [
            _end_labels(self._end_of(address, 0, owner), address)
            for address in (flow.source, flow.destination)
        ]
        return (protocol_name(flow.protocol), *ends[0], *ends[1], "0", "0")


def _end_labels(end: End | None, address: str) -> tuple[str, ...]:
    """Return address, type, node, namespace and pod; KubeSkoop knows pods and nodes only, and no pod's node."""
    if end is None or end.kind not in {"pod", "node"}:
        return address, "unknown", "", "", ""
    if end.kind == "node":
        return address, "node", end.name, "", ""
    return address, "pod", "", end.namespace, end.name


def _samples(metric: Metric, sums: Mapping[tuple[str, ...], int]) -> Iterator[Sample]:
    for labels in sorted(sums):
        yield Sample(metric, labels, sums[labels])


def histogram_lines(node: str, probe: str, histogram: Histogram) -> list[str]:
    """Return one histogram's lines: seconds, buckets that are a part of the node's own."""
    names, values = LATENCY.labels, (node, probe, histogram.stage, histogram.type)
    lines, seen, slot = [], 0, 0
    for bound in BUCKETS_NS:
        while slot < len(BOUNDS_NS) and BOUNDS_NS[slot] <= bound:
            seen += histogram.slots[slot]
            slot += 1
        lines.append(f"{LATENCY.name}_bucket{head((*names, 'le'), (*values, f'{bound / 1e9:.9g}'))} {seen}\n")
    labels = head(names, values)
    lines += [
        f"{LATENCY.name}_bucket{head((*names, 'le'), (*values, '+Inf'))} {histogram.count}\n",
        f"{LATENCY.name}_sum{labels} {histogram.sum_ns / 1e9:.9f}\n",
        f"{LATENCY.name}_count{labels} {histogram.count}\n",
    ]
    return lines
