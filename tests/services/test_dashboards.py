"""Every expression of every dashboard, in a real Prometheus that has a known history: data, and the right data."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from docs.dashboards.asked import at_once, board_of, choices, filled, label_values, queries, rate_interval
from docs.dashboards.drawn.__main__ import drawn
from docs.dashboards.drawn.frame import Shown
from docs.dashboards.drawn.numbers import written
from skoopctl.bpf.catalogue import PROBES
from skoopctl.events.as_json import told_line
from tests.services.loki_receiver import Receiver, Stored, loki_receiver
from tests.support.history import END, RULES, START, STEP_S, prometheus_with, rules_of, world
from tests.support.promql import Grown, Labels, Vector, answer
from tests.unit.events.made_events import made

ROOT = Path(__file__).parents[2]
BOARDS = {path.stem: board_of(path) for path in sorted((ROOT / "reports/grafana").glob("*.json"))}
ALL = {"cluster": ".*", "docs": "/public/skoopctl"}
CHOSEN = {"node": "n1", "namespace": "shop", "pod": "web"}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "promtool"))),
    reason="prometheus is not installed (.ci/packages --tests)",
)


def _theirs() -> list[dict[str, str]]:
    with (ROOT / "tests/fixtures/metrics/kubeskoop-dashboards.tsv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


THEIRS = _theirs()
EXPRESSIONS = [row for row in THEIRS if row["row"] != "(variable)"]
OURS = [(name, asked) for name, board in BOARDS.items() for asked in queries(board)]


@pytest.fixture(scope="module")
def series() -> dict[tuple[str, Labels], Grown]:
    """Return what the Prometheus of this module knows."""
    return world()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, series: dict[tuple[str, Labels], Grown]) -> Iterator[str]:
    """Run one Prometheus with that history."""
    with prometheus_with(tmp_path_factory.mktemp("history"), series) as running:
        yield running


@pytest.fixture(scope="module")
def loki() -> Iterator[Receiver]:
    """Run a Loki of ours that has an event of each kind, a second apart, at the end of that history."""
    kinds = [(probe.name, kind.name) for probe in PROBES.values() for kind in probe.kinds]
    with loki_receiver() as running:
        for age_s, (probe, kind) in enumerate(kinds):
            wall_ns = int((END - 1 - age_s) * 1e9)
            event = made(
                probe=probe, kind=kind, node=CHOSEN["node"], wall_ns=wall_ns, latency_ns=age_s * 1_000_000
            )
            labels = {"job": "skoopctl", "cluster": "prod", "node": event.node, "type": kind}
            running.entries.append(Stored(labels, wall_ns, told_line(event), {}))
        yield running


def got(url: str, expr: str) -> Vector:
    """Return what Prometheus answers, without names."""
    rows = at_once(url, expr, END)
    return {
        frozenset((k, v) for k, v in row["metric"].items() if k != "__name__"): float(row["value"][1])
        for row in rows
    }


def compare(url: str, expr: str, series: dict[tuple[str, Labels], Grown]) -> None:
    """Hold Prometheus' answer against what the history says it must be."""
    wanted = answer(expr, series, END)
    assert isinstance(wanted, dict)
    found = got(url, expr)
    assert found != {}, expr
    assert found == pytest.approx(wanted), expr


@pytest.mark.parametrize("row", EXPRESSIONS, ids=lambda row: f"{row['dashboard']}-{row['expression'][:70]}")
def test_every_expression_of_kubeskoops_dashboards_has_the_right_data(
    row: dict[str, str], url: str, series: dict[tuple[str, Labels], Grown]
) -> None:
    """With a node and a pod chosen, each of its queries gets what the history says."""
    compare(url, filled(row["expression"], CHOSEN), series)


@pytest.mark.parametrize(("board", "asked"), OURS, ids=lambda value: getattr(value, "panel", value))
def test_every_expression_of_our_dashboards_has_the_right_data(
    board: str, asked: object, url: str, series: dict[tuple[str, Labels], Grown]
) -> None:
    """With the variables as Grafana would choose them, each query gets what the history says."""
    values = choices(url, BOARDS[board], CHOSEN, (START, END)) | {
        "__rate_interval": rate_interval(15, STEP_S)
    }
    compare(url, filled(asked.expr, values), series)


@pytest.mark.parametrize("rule", rules_of(RULES), ids=lambda rule: rule.get("record") or rule["alert"])
def test_every_rule_asks_for_what_there_is(
    rule: dict[str, str], url: str, series: dict[tuple[str, Labels], Grown]
) -> None:
    """What a rule records or compares is there, and its expression means in Prometheus what it means to us."""
    assert got(url, rule["expr"]) == pytest.approx(answer(rule["expr"], series, END))
    names = set(re.findall(r"\b(?:kubeskoop_|skoopctl[_:]|push_time_)[\w:]+", rule["expr"]))
    assert names
    assert names <= {name for name, _ in series}


def test_the_variables_of_kubeskoops_dashboards_find_what_there_is(url: str) -> None:
    """Its namespaces and pods are offered; its label ``node`` is in no series of ours but those at a gateway."""
    asked = {row["panel"]: filled(row["expression"], CHOSEN) for row in THEIRS if row["row"] == "(variable)"}
    at = (START, END)
    assert label_values(url, asked["namespace"], at) == ["kube-system", "shop"]
    assert label_values(url, asked["pod"], at) == ["cache", "db", "web"]
    assert label_values(url, asked["node"], at) == ["n1", "n2"], "findings have a label node"


def test_our_variables_find_what_there_is(url: str) -> None:
    """Nodes, namespaces and pods can be chosen, each within what was chosen before."""
    at = (START, END)
    assert choices(url, BOARDS["skoopctl-nodes"], {}, at) == {**ALL, "node": "n1"}
    assert choices(url, BOARDS["skoopctl-fleet"], {}, at) == ALL
    pods = choices(url, BOARDS["skoopctl-pods"], {"namespace": "shop"}, at)
    assert pods == {**ALL, "namespace": "shop", "pod": "cache"}


@pytest.mark.parametrize("row", EXPRESSIONS, ids=lambda row: f"{row['dashboard']}-{row['expression'][:70]}")
def test_our_dashboards_show_all_that_kubeskoops_show(row: dict[str, str]) -> None:
    """Each metric that its dashboard of nodes or pods asks for is asked for by ours of the same name."""
    wanted = set(re.findall(r"kubeskoop_\w+", row["expression"]))
    asked = {
        metric
        for query in queries(BOARDS[f"skoopctl-{row['dashboard']}"])
        for metric in re.findall(r"kubeskoop_\w+", query.expr)
    }
    assert wanted <= asked


@pytest.mark.parametrize("name", BOARDS)
def test_the_viewer_draws_every_panel_of_a_dashboard(name: str, url: str, loki: Receiver) -> None:
    """The picture is well-formed SVG with each open panel's title, and what the panels show is in it."""
    board = BOARDS[name]
    values = choices(url, board, CHOSEN, (START, END))
    picture = drawn(board, Shown(url, START, END, STEP_S, STEP_S, values, f"{loki.url}/loki"))
    root = ET.fromstring(picture)  # noqa: S314 - we have just made it
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    titles = {panel["title"] for panel in board["panels"] if panel["type"] != "row"}
    assert titles <= words
    lines = len(list(root.iter("{http://www.w3.org/2000/svg}polyline")))
    assert lines > sum(panel["type"] == "timeseries" for panel in board["panels"])
    assert not words & {"No data"}


def test_the_viewer_shows_the_value_that_prometheus_has(
    url: str, series: dict[tuple[str, Labels], Grown]
) -> None:
    """A stat panel's number is the answer of its query, with its unit."""
    board = BOARDS["skoopctl-nodes"]
    values = choices(url, board, CHOSEN, (START, END))
    shown = Shown(url, START, END, STEP_S, STEP_S, values)
    (wanted,) = (a for a in queries(board) if a.panel == "UDP receive buffers full")
    found = answer(shown.expr({"expr": wanted.expr}), series, END)
    assert isinstance(found, dict)
    assert f">{written(found[frozenset()], 'pps')}</text>" in drawn(board, shown, ("At a glance",))
