"""What the service says about itself: a table of metrics, each with what its values are read from."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skoopctl import __version__
from skoopctl.probes.metric import Kind
from skoopctl.pushing.book import Book, NodeRecord, states
from skoopctl.pushing.delivery import Delivery
from skoopctl.sinks.loki import LokiSink

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

Values = Iterable[tuple[tuple[str, ...], float]]
_STATM = "/proc/self/statm"


@dataclass(slots=True)
class Standing:
    """All that the metrics are read from."""

    book: Book
    delivery: Delivery | None = None
    loki: LokiSink | None = None
    started: float = field(default_factory=time.time)
    config_hash: str = ""
    reloads: dict[str, int] = field(default_factory=lambda: {"ok": 0, "failed": 0})
    last_reload_ok: bool = True
    last_reload: float = 0.0
    inventory_ok: bool = True
    inventory_read: float = 0.0
    names_ok: bool | None = None
    """None where nobody asks the API for names."""
    loop_lag_s: float = 0.0
    scrapes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SelfMetric:
    """One metric of the service itself."""

    help: str
    kind: Kind
    labels: tuple[str, ...]
    read: Callable[[Standing], Values]


def _of_nodes(value: Callable[[NodeRecord], float]) -> Callable[[Standing], Values]:
    return lambda standing: [((name,), value(each)) for name, each in sorted(standing.book.nodes.items())]


def _of_last(value: Callable[[Any], float]) -> Callable[[Standing], Values]:
    """Read from the last round of each node that has one."""
    return lambda standing: [
        ((name,), value(each.series.last))
        for name, each in sorted(standing.book.nodes.items())
        if each.series.last is not None
    ]


def _of_gateway(value: Callable[[Delivery], float]) -> Callable[[Standing], Values]:
    return lambda standing: [((), value(standing.delivery))] if standing.delivery is not None else []


def _of_loki(value: Callable[[LokiSink], float]) -> Callable[[Standing], Values]:
    return lambda standing: [((), value(standing.loki))] if standing.loki is not None else []


def _events(standing: Standing) -> Values:
    if standing.loki is not None:
        tally = standing.loki.tally
        for result in ("sent", "refused", "dropped"):
            yield (result,), getattr(tally, result)


def _one(value: Callable[[Standing], float]) -> Callable[[Standing], Values]:
    return lambda standing: [((), value(standing))]


def _errors(standing: Standing) -> Values:
    for name, record in sorted(standing.book.nodes.items()):
        for kind, number in sorted(record.errors.items()):
            yield (name, kind), number


def _probes(standing: Standing) -> Values:
    for name, record in sorted(standing.book.nodes.items()):
        if record.up:
            for probe, availability in sorted(record.series.availability().items()):
                yield (name, probe, str(availability.state).lower()), 1


def _failures(standing: Standing) -> Values:
    if standing.delivery is not None:
        for kind in ("gateway", "text"):
            yield (kind,), standing.delivery.tally.failures[kind]


def _own_cpu(_standing: Standing) -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def own_memory(_standing: Standing | None = None) -> float:
    """Return the bytes of memory that this process holds now (proc(5): statm)."""
    with open(_STATM, encoding="ascii") as statm:  # noqa: PTH123 - read at every scrape
        return int(statm.read().split()[1]) * resource.getpagesize()


_COUNTER, _GAUGE = Kind.COUNTER, Kind.GAUGE
_NODE = ("node",)
SELF_METRICS: Mapping[str, SelfMetric] = {
    "skoopctl_push_nodes": SelfMetric(
        "Nodes, by whether rounds come from them.",
        _GAUGE,
        ("state",),
        lambda s: [((state,), states(s.book.nodes.values())[state]) for state in ("up", "down")],
    ),
    "skoopctl_push_node_up": SelfMetric(
        "1 while rounds come from the node, else 0.", _GAUGE, _NODE, _of_nodes(lambda n: n.up)
    ),
    "skoopctl_push_node_last_round_timestamp_seconds": SelfMetric(
        "When the node's last round came, in seconds since 1970; 0: never.",
        _GAUGE,
        _NODE,
        _of_nodes(lambda n: n.round_wall),
    ),
    "skoopctl_push_node_lag_seconds": SelfMetric(
        "How much later the last round came than the promptest one of this connection.",
        _GAUGE,
        _NODE,
        _of_nodes(lambda n: n.lag_s),
    ),
    "skoopctl_push_node_read_seconds": SelfMetric(
        "How long the node took to read its last round.", _GAUGE, _NODE, _of_last(lambda r: r.took_ms / 1e3)
    ),
    "skoopctl_push_node_rounds_total": SelfMetric(
        "Rounds that came.", _COUNTER, _NODE, _of_nodes(lambda n: n.rounds)
    ),
    "skoopctl_push_node_skipped_rounds_total": SelfMetric(
        "Rounds that the node left out because it was late.", _COUNTER, _NODE, _of_nodes(lambda n: n.skipped)
    ),
    "skoopctl_push_node_reconnects_total": SelfMetric(
        "Logins after the first.", _COUNTER, _NODE, _of_nodes(lambda n: n.reconnects)
    ),
    "skoopctl_push_node_errors_total": SelfMetric(
        "Connections that failed or broke, by kind.", _COUNTER, ("node", "kind"), _errors
    ),
    "skoopctl_push_node_received_bytes_total": SelfMetric(
        "Bytes of rounds that came over the connection.", _COUNTER, _NODE, _of_nodes(lambda n: n.received)
    ),
    "skoopctl_push_node_program_cpu_seconds_total": SelfMetric(
        "CPU that the node program has used since it was started.",
        _COUNTER,
        _NODE,
        _of_last(lambda r: r.cpu_ms / 1e3),
    ),
    "skoopctl_push_node_program_memory_bytes": SelfMetric(
        "Memory that the node program holds.", _GAUGE, _NODE, _of_last(lambda r: r.rss_kib * 1024)
    ),
    "skoopctl_push_node_withheld": SelfMetric(
        "1 where a node has more series than limits.node-series, and none are shown.",
        _GAUGE,
        _NODE,
        _of_nodes(lambda n: n.withheld),
    ),
    "skoopctl_push_node_probe": SelfMetric(
        "1, with how the probe is on the node: available, degraded, unavailable or unknown.",
        _GAUGE,
        ("node", "probe", "state"),
        _probes,
    ),
    "skoopctl_push_gateway_up": SelfMetric(
        "1 while the gateway takes pushes, else 0.",
        _GAUGE,
        (),
        _of_gateway(lambda d: d.tally.up is not False),
    ),
    "skoopctl_push_gateway_pushes_total": SelfMetric(
        "Groups that the gateway took.", _COUNTER, (), _of_gateway(lambda d: d.tally.pushes)
    ),
    "skoopctl_push_gateway_deletions_total": SelfMetric(
        "Groups that were deleted.", _COUNTER, (), _of_gateway(lambda d: d.tally.deletions)
    ),
    "skoopctl_push_gateway_failures_total": SelfMetric(
        "Pushes that failed: gateway (it was not reached, or refused all), text (it refused this group).",
        _COUNTER,
        ("kind",),
        _failures,
    ),
    "skoopctl_push_gateway_drops_total": SelfMetric(
        "Rounds that were never pushed, because a newer one came first.",
        _COUNTER,
        (),
        _of_gateway(lambda d: d.tally.dropped),
    ),
    "skoopctl_push_gateway_seconds_total": SelfMetric(
        "Time that pushes took, failed ones too.", _COUNTER, (), _of_gateway(lambda d: d.tally.seconds)
    ),
    "skoopctl_push_gateway_queue_length": SelfMetric(
        "Groups that wait or are being pushed.", _GAUGE, (), _of_gateway(lambda d: d.length)
    ),
    "skoopctl_push_loki_up": SelfMetric(
        "1 while Loki takes events, else 0.", _GAUGE, (), _of_loki(lambda k: k.tally.up is not False)
    ),
    "skoopctl_push_loki_events_total": SelfMetric(
        "Events by what became of them: sent, refused (Loki would never take them), dropped (no room to wait).",
        _COUNTER,
        ("result",),
        _events,
    ),
    "skoopctl_push_loki_requests_total": SelfMetric(
        "Requests to Loki.", _COUNTER, (), _of_loki(lambda k: k.tally.requests)
    ),
    "skoopctl_push_loki_retries_total": SelfMetric(
        "Requests to Loki that failed and were sent again.", _COUNTER, (), _of_loki(lambda k: k.tally.retries)
    ),
    "skoopctl_push_loki_seconds_total": SelfMetric(
        "Time that requests to Loki took, failed ones too.",
        _COUNTER,
        (),
        _of_loki(lambda k: k.tally.seconds),
    ),
    "skoopctl_push_loki_queue_length": SelfMetric(
        "Events that wait or are being sent.", _GAUGE, (), _of_loki(lambda k: k.length)
    ),
    "skoopctl_push_scrapes_total": SelfMetric(
        "Requests for /metrics, by status.",
        _COUNTER,
        ("code",),
        lambda s: [((code,), number) for code, number in sorted(s.scrapes.items())],
    ),
    "skoopctl_push_config_info": SelfMetric(
        "1, with the hash of the configuration that is in force.",
        _GAUGE,
        ("hash",),
        lambda s: [((s.config_hash,), 1)],
    ),
    "skoopctl_push_config_reloads_total": SelfMetric(
        "Reloads of the configuration (SIGHUP), by result.",
        _COUNTER,
        ("result",),
        lambda s: [((result,), number) for result, number in s.reloads.items()],
    ),
    "skoopctl_push_config_last_reload_successful": SelfMetric(
        "1 if the last configuration that was read is in force, 0 if it was refused.",
        _GAUGE,
        (),
        _one(lambda s: s.last_reload_ok),
    ),
    "skoopctl_push_config_last_reload_success_timestamp_seconds": SelfMetric(
        "When the configuration that is in force was read.", _GAUGE, (), _one(lambda s: s.last_reload)
    ),
    "skoopctl_push_inventory_last_read_successful": SelfMetric(
        "1 if the inventory could be read the last time, else 0: the hosts before are still asked.",
        _GAUGE,
        (),
        _one(lambda s: s.inventory_ok),
    ),
    "skoopctl_push_inventory_last_read_timestamp_seconds": SelfMetric(
        "When the inventory was last read with success.", _GAUGE, (), _one(lambda s: s.inventory_read)
    ),
    "skoopctl_push_names_last_read_successful": SelfMetric(
        "1 if the API gave the list of pods the last time, else 0.",
        _GAUGE,
        (),
        lambda s: [((), s.names_ok)] if s.names_ok is not None else [],
    ),
    "skoopctl_push_loop_lag_seconds": SelfMetric(
        "The longest that anything waited for its turn since the last look.",
        _GAUGE,
        (),
        _one(lambda s: s.loop_lag_s),
    ),
    "skoopctl_push_cpu_seconds_total": SelfMetric(
        "CPU that skoopctl has used.", _COUNTER, (), _one(_own_cpu)
    ),
    "skoopctl_push_memory_bytes": SelfMetric("Memory that skoopctl holds.", _GAUGE, (), _one(own_memory)),
    "skoopctl_push_start_timestamp_seconds": SelfMetric(
        "When the service was started.", _GAUGE, (), _one(lambda s: s.started)
    ),
    "skoopctl_push_build_info": SelfMetric(
        "1, with the versions of skoopctl and Python.",
        _GAUGE,
        ("version", "python"),
        lambda _s: [((__version__, platform.python_version()), 1)],
    ),
}
"""Name: the metric. docs/metrics.md prints it."""


class _Collector:
    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Family]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - heavy

        for name, row in SELF_METRICS.items():
            family_of = CounterMetricFamily if row.kind is Kind.COUNTER else GaugeMetricFamily
            family = family_of(name, row.help, labels=row.labels)
            for labels, value in row.read(self._standing):
                family.add_metric(labels, float(value))
            yield family


def self_registry(standing: Standing) -> CollectorRegistry:
    """Return a registry of its own, which reads the numbers when it is asked."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - heavy

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(standing))
    return registry


def self_page(registry: CollectorRegistry, *, openmetrics: bool = False) -> bytes:
    """Return the service's own series as text; with OpenMetrics, the end of the page too."""
    if openmetrics:
        from prometheus_client.openmetrics.exposition import generate_latest as latest  # noqa: PLC0415 - heavy

        return bytes(latest(registry))  # type: ignore[no-untyped-call]
    from prometheus_client import generate_latest  # noqa: PLC0415 - heavy

    return bytes(generate_latest(registry))
