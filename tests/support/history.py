"""A Prometheus that has twenty minutes of known history: every metric there is, each growing at its own pace."""

from __future__ import annotations

import contextlib
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from skoopctl.probes.catalogue import PROBES
from skoopctl.probes.metric import Kind, Metric, Scope
from skoopctl.sinks.run_metrics import METRICS as RUN_METRICS
from tests.services.servers import free_port, running
from tests.support.promql import Grown, Labels

START = 1_700_000_000
STEP_S = 15
LENGTH_S = 1200
END = START + LENGTH_S
CLUSTER = ("cluster", "prod")
NODES = ("n1", "n2")
PODS = {"n1": (("shop", "web"), ("shop", "db")), "n2": (("shop", "cache"), ("kube-system", "coredns"))}
RUN_LABELS: Mapping[str, tuple[str, ...]] = {
    "id": ("netfilter-drop", "vxlan-dropped"),
    "severity": ("info", "warning", "critical", "fatal"),
    "node": NODES,
    "status": ("ok", "partial", "timeout"),
    "state": ("met", "unmet"),
    "path": ("web reaches db", "all reach DNS"),
    "inspection": ("pods-reach-pods", "dns"),
}


def world() -> dict[tuple[str, Labels], Grown]:
    """Return every series: its value at `END`, and its growth."""
    series = {}
    for probe in PROBES.values():
        for metric in probe.metrics:
            for place in _places(metric, probe.scope):
                series[metric.name, place] = _grown(metric.name, place, metric.kind)
    for name, (_, labels) in RUN_METRICS.items():
        for place in _combined(labels):
            series[name, place] = _grown(name, place | {CLUSTER, ("plan", "nightly")}, Kind.GAUGE)
    return {(name, place | {CLUSTER}): grown for (name, place), grown in series.items()}


def _places(metric: Metric, scope: Scope) -> Iterator[Labels]:
    extra = [(name, f"{name}0") for name in metric.labels if not name.startswith("k8s_")]
    for node in NODES:
        pods = () if scope is Scope.HOST else PODS[node]
        for namespace, pod in (("", ""), *pods):
            whole = {"k8s_node": node, "k8s_namespace": namespace, "k8s_pod": pod, **dict(extra)}
            yield frozenset((name, whole[name]) for name in metric.labels if whole[name])


def _combined(labels: tuple[str, ...]) -> list[Labels]:
    rows: list[Labels] = [frozenset({("plan", "nightly")})]
    for label in labels:
        rows = [row | {(label, value)} for row in rows for value in RUN_LABELS[label]]
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
