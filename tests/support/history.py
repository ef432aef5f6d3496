"""A Prometheus that has an hour of known history: every metric there is, each growing at its own pace."""

from __future__ import annotations

import contextlib
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from skoopctl.events.metrics import EVENT_METRICS
from skoopctl.probes.catalogue import PROBES
from skoopctl.probes.metric import Kind, Metric, Scope
from skoopctl.pushing.self_metrics import SELF_METRICS
from skoopctl.sinks.run_metrics import METRICS as RUN_METRICS
from tests.services.servers import free_port, running
from tests.support.promql import Grown, Labels, World, answer

RULES = Path(__file__).parents[2] / "reports/prometheus/skoopctl-metrics.yaml"
START = 1_700_000_000
STEP_S = 15
LENGTH_S = 3660
END = START + LENGTH_S
CLUSTER = ("cluster", "prod")
NODES = ("n1", "n2")
PODS = {"n1": (("shop", "web"), ("shop", "db")), "n2": (("shop", "cache"), ("kube-system", "coredns"))}
OTHER_LABELS: Mapping[str, tuple[str, ...]] = {
    "id": ("netfilter-drop", "vxlan-dropped"),
    "severity": ("info", "warning", "critical", "fatal"),
    "node": NODES,
    "status": ("ok", "partial", "timeout"),
    "probe": ("tcp", "ipvs"),
    "path": ("web reaches db", "all reach DNS"),
    "inspection": ("pods-reach-pods", "dns"),
    "kind": ("unreachable", "timeout"),
    "result": ("accepted", "refused"),
    "code": ("200",),
    "hash": ("abc",),
    "version": ("1",),
    "python": ("3.11",),
}
STATES = {
    "skoopctl_paths": ("met", "unmet"),
    "skoopctl_push_nodes": ("up", "down"),
    "skoopctl_push_node_probe": ("available", "degraded", "unavailable"),
}


def world() -> dict[tuple[str, Labels], Grown]:
    """Return every series: its value at `END`, and its growth."""
    series = {}
    for probe in PROBES.values():
        for metric in probe.metrics:
            for place in _places(metric, probe.scope):
                series[metric.name, place] = _grown(metric.name, place, metric.kind)
    for name, metric, place in _of_events():
        series[name, place] = _grown(name, place, metric.kind)
    for name, (_, labels) in RUN_METRICS.items():
        for place in _combined(name, labels):
            whole = place | {("plan", "nightly")}
            series[name, whole] = _grown(name, whole, Kind.GAUGE)
    for name, row in SELF_METRICS.items():
        for place in _combined(name, row.labels):
            series[name, place] = _grown(name, place, row.kind)
    at_the_gateway = frozenset({("job", "skoopctl"), ("node", "n1")})
    series["push_time_seconds", at_the_gateway] = Grown(END - 1000, 0.0)
    there = {(name, place | {CLUSTER}): grown for (name, place), grown in series.items()}
    return there | _recorded(there)


def _of_events() -> Iterator[tuple[str, Metric, Labels]]:
    for name, metric in EVENT_METRICS.items():
        if metric.kind is not Kind.HISTOGRAM:
            scope = Scope.NAMESPACE if "k8s_pod" in metric.labels else Scope.HOST
            yield from ((name, metric, place) for place in _places(metric, scope))


def _recorded(series: World) -> dict[tuple[str, Labels], Grown]:
    """Return what the recording rules make of these series."""
    made = {}
    for rule in rules_of(RULES):
        if "record" in rule:
            values = answer(rule["expr"], series, END)
            assert isinstance(values, dict)
            made.update({(rule["record"], labels): Grown(value, 0.0) for labels, value in values.items()})
    return made


def rules_of(path: Path) -> list[dict[str, Any]]:
    """Return the rules of a file, of all its groups."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _places(metric: Metric, scope: Scope) -> Iterator[Labels]:
    extra = [(name, f"{name}0") for name in metric.labels if not name.startswith("k8s_")]
    for node in NODES:
        pods = () if scope is Scope.HOST else PODS[node]
        for namespace, pod in (("", ""), *pods):
            whole = {"k8s_node": node, "k8s_namespace": namespace, "k8s_pod": pod, **dict(extra)}
            yield frozenset((name, whole[name]) for name in metric.labels if whole[name])


def _combined(name: str, labels: tuple[str, ...]) -> list[Labels]:
    rows: list[Labels] = [frozenset()]
    for label in labels:
        values = STATES[name] if label == "state" else OTHER_LABELS[label]
        rows = [row | {(label, value)} for row in rows for value in values]
    return rows


def _grown(name: str, labels: Labels, kind: Kind) -> Grown:
    """Return a pace that no other series has, as good as surely."""
    lot = zlib.crc32(f"{name}{sorted(labels)}".encode()) % 9973 + 1
    if kind is Kind.GAUGE:
        return Grown(lot, 0.0)
    return Grown(1000.0 + lot / 8 * LENGTH_S, lot / 8)


def written(series: Mapping[tuple[str, Labels], Grown]) -> Iterator[str]:
    """Yield the history as OpenMetrics, series by series, so that promtool can make blocks of it."""
    for (name, labels), grown in series.items():
        shown = ",".join(f'{label}="{value}"' for label, value in sorted(labels))
        for at in range(START, END + 1, STEP_S):
            yield f"{name}{{{shown}}} {grown.value - grown.per_s * (END - at)!r} {at}\n"
    yield "# EOF\n"


@contextlib.contextmanager
def prometheus_with(folder: Path, series: Mapping[tuple[str, Labels], Grown]) -> Iterator[str]:
    """Run a Prometheus that has this history and asks nobody; its URL is given."""
    text = folder / "history.txt"
    with text.open("w", encoding="utf-8") as stream:
        stream.writelines(written(series))
    tsdb = folder / "tsdb"
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(tsdb)]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n", encoding="utf-8")
    arguments = (
        f"--config.file={config}",
        f"--storage.tsdb.path={tsdb}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running("prometheus", port, *arguments, log=folder / "prometheus.log") as url:
        yield url
