"""Which rates to show when not all of them fit: rows by trouble, columns by what tells most. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import log10

from skoopctl.probes.anomalies import THRESHOLDS
from skoopctl.probes.catalogue import PROBES
from skoopctl.probes.metric import Kind, Metric
from skoopctl.probes.rates import Rates

ORDINARY = (
    "kubeskoop_netdev_rxbytes",
    "kubeskoop_netdev_txbytes",
    "kubeskoop_tcp_outsegs",
    "kubeskoop_tcpsummary_tcpestablishedconn",
    "kubeskoop_udp_indatagrams",
    "kubeskoop_conntrack_entries",
    "kubeskoop_softnet_processed",
    "kubeskoop_io_writebytes",
    "kubeskoop_fd_openfd",
    "kubeskoop_netdev_rxpackets",
    "kubeskoop_netdev_txpackets",
    "kubeskoop_tcp_activeopens",
    "kubeskoop_tcp_passiveopens",
)
"""What is shown, in this order, behind what tells of trouble: how much there is to do at all."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a row is about: a node, or a pod on it."""

    node: str
    namespace: str = ""
    pod: str = ""

    def __str__(self) -> str:
        return f"{self.node}/{self.namespace}/{self.pod}" if self.pod else self.node


@dataclass(frozen=True, slots=True)
class Row:
    """One place with its values: by the second for counters, as they are for gauges."""

    place: Place
    values: Mapping[str, float]
    trouble: float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and columns, what is worth most first; whoever draws it cuts it to the room there is."""

    rows: tuple[Row, ...]
    columns: tuple[Metric, ...]
    zero: int
    """Metrics that are zero everywhere: no column has them."""


@cache
def metrics_of(probes: tuple[str, ...]) -> Mapping[str, Metric]:
    """Return the metrics of probes by name."""
    return {metric.name: metric for probe in probes for metric in PROBES[probe].metrics}


@cache
def troublesome() -> frozenset[str]:
    """Return the counters that should stand still."""
    every = metrics_of(tuple(PROBES))
    compared = {name for threshold in THRESHOLDS.values() for name in threshold.metrics}
    return frozenset(
        name
        for name in compared
        if name in every and every[name].kind is Kind.COUNTER and name not in ORDINARY
    )


@dataclass(slots=True)
class Sums:
    """The values of one place and metric, over what the metric tells apart beside (devices)."""

    by_place: dict[Place, dict[str, float]] = field(default_factory=dict)

    def add(self, rates: Rates, metrics: Mapping[str, Metric]) -> None:
        """Take the values of one node."""
        for (name, labels), value in (*rates.per_second.items(), *rates.gauges.items()):
            metric = metrics.get(name)
            if metric is not None:
                values = self.by_place.setdefault(place_of(metric, labels), {})
                values[name] = values.get(name, 0.0) + value


def place_of(metric: Metric, labels: Sequence[str]) -> Place:
    """Return what a series is about."""
    known = dict(zip(metric.labels, labels, strict=False))
    return Place(*(known.get(name, "") for name in ("k8s_node", "k8s_namespace", "k8s_pod")))


def table_of(
    rates: Iterable[Rates],
    probes: Sequence[str],
    *,
    sort: str | None = None,
    pod: tuple[str, str] | None = None,
) -> Table:
    """Return the table. Sorted by trouble, or by the metric ``sort``; of one pod only where it is given."""
    metrics = metrics_of(tuple(probes))
    sums = Sums()
    for each in rates:
        sums.add(each, metrics)
    rows = [
        Row(place, values, _trouble(values))
        for place, values in sums.by_place.items()
        if pod is None or (place.namespace, place.pod) == pod
    ]
    seen = {name for row in rows for name, value in row.values.items() if value}
    known = {name for row in rows for name in row.values}
    if sort is not None:
        rows.sort(key=lambda row: (-row.values.get(sort, 0.0), -row.trouble, str(row.place)))
    else:
        rows.sort(key=lambda row: (-row.trouble, -_traffic(row.values), str(row.place)))
    return Table(tuple(rows), _columns(metrics, seen, sort), len(known - seen))


def _columns(metrics: Mapping[str, Metric], seen: set[str], sort: str | None) -> tuple[Metric, ...]:
    bad = troublesome()
    first = [sort] if sort is not None else []
    others = sorted(metrics, key=lambda name: metrics[name].kind is Kind.GAUGE)
    order = [*first, *(name for name in metrics if name in bad), *ORDINARY, *others]
    chosen = dict.fromkeys(name for name in order if name in metrics and (name in seen or name == sort))
    return tuple(metrics[name] for name in chosen)


def _trouble(values: Mapping[str, float]) -> float:
    """Return how much is wrong: how many things, and a little how fast."""
    return sum(1 + log10(1 + values[name]) for name in troublesome() if values.get(name, 0.0) > 0)


def _traffic(values: Mapping[str, float]) -> float:
    return sum(values.get(name, 0.0) for name in ORDINARY[:2])


def in_short(value: float, kind: Kind, name: str = "") -> str:
    """Return a value in few characters: ``0``, ``0.25/s``, ``1.2k/s``, ``3.4M``; with ``B`` for bytes."""
    unit = "B" if "bytes" in name else ""
    per = "/s" if kind is Kind.COUNTER else ""
    if value == 0:
        return "0"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{letter}{unit}{per}"
    digits = f"{value:.3g}" if abs(value) >= 0.001 else "<0.001"
    return f"{digits}{unit}{per}"
