"""The whole chain in the lab, from the kernel to a real Prometheus: every expression has data, alerts stand."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from docs.dashboards.asked import Asked, board_of, choices, filled, queries
from skoopctl.lab import LabOptions
from tests.lab.conftest import Labs
from tests.lab.metrics_scene import Scene, scene_in

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-pushgateway"))),
        reason="prometheus and prometheus-pushgateway are not installed (.ci/packages --tests)",
    ),
]

ROOT = Path(__file__).parents[2]

NOT_HERE = {
    "kubeskoop_rdma_qp": "comes by netlink from a real device; the decoder is tested with a recorded answer",
    "kubeskoop_rdma_mr": "the same",
}


@pytest.fixture(scope="module")
def scene(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Put a stand beside the lab."""
    with scene_in(labs.fresh(LabOptions()), tmp_path_factory.mktemp("metrics")) as scene:
        yield scene


@pytest.fixture(scope="module")
def inspected(scene: Scene) -> Iterator[Scene]:
    """Have a fault found by `skoopctl run`, whose result joins the series, and traffic that goes well and badly."""
    plan = scene.folder / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    scene.lab.apply_fault("input-drop")
    try:
        command = [sys.executable, "-m", "skoopctl", "run", str(plan), "-i", str(scene.lab.inventory)]
        command += ["--kubeconfig", str(scene.lab.kubeconfig), "--push", scene.stand.gateway.url, "--quiet"]
        environment = {**os.environ, "XDG_STATE_HOME": str(scene.folder), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, check=False, cwd=scene.folder, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 1, done.stderr
    finally:
        scene.lab.undo_fault("input-drop")
    scene.stand.wait_for("skoopctl_finding", "what the run found")
    with ThreadPoolExecutor(1) as pool:
        over = threading.Event()
        traffic = pool.submit(scene.traffic, over)
        yield scene
        over.set()
        traffic.result()


PLAN = """\
plan: live
cluster: lab
hosts: nodes
inspections: [mesh]
paths:
  - {name: tools reach demo, from: pod/tools/tools-74bdbfc69d-q4h8h, to: pod/tools/demo-5bf67dcbc9-hxtmt, port: 8080}
"""


def _theirs() -> list[dict[str, str]]:
    with (ROOT / "tests/fixtures/metrics/kubeskoop-dashboards.tsv").open(encoding="utf-8") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in rows if row["row"] != "(variable)"]


@pytest.mark.parametrize("row", _theirs(), ids=lambda row: f"{row['dashboard']}-{row['expression'][:70]}")
def test_every_expression_of_kubeskoops_dashboards_has_data_from_the_lab(
    row: dict[str, str], inspected: Scene
) -> None:
    """With a node and a pod of the lab chosen, each query has an answer, but those that stand in the table."""
    scene = inspected
    expr = filled(row["expression"], {"node": "node1-c4", "namespace": "tools", "pod": "web-a"})
    if set(re.findall(r"kubeskoop_\w+", expr)) & NOT_HERE.keys():
        assert scene.stand.ask(expr) == []
        return
    scene.stand.wait_for(expr, f"an answer to {expr}")


BOARDS = {path.stem: board_of(path) for path in sorted((ROOT / "reports/grafana").glob("*.json"))}
OURS = [(name, asked) for name, board in BOARDS.items() for asked in queries(board)]
CHOSEN = {"skoopctl-nodes": {"node": "node1-c4"}, "skoopctl-pods": {"namespace": "tools", "pod": "web-a"}}
NOTHING_THERE = {
    ("Pods in trouble", "D"): "no device of the lab drops anything",
    ("Bytes read from disks", "B"): "no pod of the lab uses a disk",
    ("Bytes written to disks", "B"): "the same",
}
"""Queries that show only what is above nothing, and rightly show nothing here."""


@pytest.mark.parametrize(("board", "asked"), OURS, ids=lambda value: getattr(value, "panel", value))
def test_every_expression_of_our_dashboards_has_data_from_the_lab(
    board: str, asked: Asked, inspected: Scene
) -> None:
    """With traffic, trouble, a silent node and a run that found something, each query has an answer."""
    now = time.time()
    url = inspected.stand.prometheus.url
    values = choices(url, BOARDS[board], CHOSEN.get(board, {}), (now - 3600, now)) | {
        "__rate_interval": "15s"
    }
    expr = filled(asked.expr, values)
    if set(re.findall(r"kubeskoop_\w+", expr)) & NOT_HERE.keys() or (
        (asked.panel, asked.ref) in NOTHING_THERE
    ):
        assert inspected.stand.ask(expr) == []
        return
    inspected.stand.wait_for(expr, f"an answer to {expr}")


def test_alerts_stand_for_the_trouble_that_there_is(inspected: Scene) -> None:
    """The deaf pod, its caller and the silent node have their alerts; pods that are well have none."""
    for name, labels in (
        ("SkoopctlUdpReceiveBuffer", 'k8s_pod="local-a"'),
        ("SkoopctlListenOverflows", 'k8s_pod="local-a"'),
        ("SkoopctlNodeSilent", 'node="gone-c4"'),
    ):
        expr = f'ALERTS{{alertname="{name}",{labels}}}'
        inspected.stand.wait_for(expr, f"the alert {name}")
    of_pods = {labels["k8s_pod"] for labels, _ in inspected.stand.ask('ALERTS{k8s_pod!=""}')}
    assert of_pods <= {"local-a", "web-a", "web-c"}
