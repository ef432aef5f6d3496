"""The dashboards' JSON: fresh, whole, and such that Grafana 10 to 12 can show it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.dashboards.asked import panels, queries
from docs.dashboards.explained import EXPLAINED
from docs.dashboards.parts import FINE, NOTE, WRONG
from skoopctl.checks.catalogue import DOCS

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "reports/grafana").glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES
}
each = pytest.mark.parametrize("name", BOARDS)
GRAFANAS = {
    "datasource",
    "__rate_interval",
    "__interval",
    "__range",
    "__url_time_range",
    "__field",
    "__data",
    "__all",
}
UNITLESS = {"logs", "text"}


def test_the_dashboards_are_fresh() -> None:
    """reports/grafana is what docs/dashboards makes now; otherwise: make docs."""
    done = subprocess.run(
        [sys.executable, "-m", "docs.dashboards", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@each
def test_a_dashboard_has_a_stable_name_and_no_ids_of_one_grafana(name: str) -> None:
    """Its uid is its file's name, it has no number of its own, and every data source is one of the variables'."""
    board = BOARDS[name]
    assert board["uid"] == name
    assert "id" not in board
    assert 30 <= board["schemaVersion"] <= 41
    text = json.dumps(board)
    sources = {v["name"] for v in board["templating"]["list"] if v["type"] == "datasource"}
    assert sources >= {"datasource"}
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {name, *(f"${{{source}}}" for source in sources)}


@each
def test_every_panel_says_what_its_number_means(name: str) -> None:
    """Each panel has a description of at least a sentence, a unit, and a number of its own."""
    shown = list(panels(BOARDS[name]))
    assert [panel["title"] for panel in shown if len(panel["description"]) < 30] == []
    numbers = [panel for panel in shown if panel["type"] not in UNITLESS]
    assert [panel["title"] for panel in numbers if not panel["fieldConfig"]["defaults"]["unit"]] == []
    ids = [panel["id"] for panel in shown]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in shown]
    assert len(titles) == len(set(titles))


@each
def test_panels_do_not_overlap_and_fill_their_lines(name: str) -> None:
    """On the grid of 24 columns every field is taken once, and each line from end to end."""
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARDS[name]["panels"]:
        grid = panel["gridPos"]
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    lines = {y for _, y in taken}
    assert {(x, y) for y in lines for x in range(24)} == set(taken)


@each
def test_thresholds_have_colours_that_everybody_can_tell_apart(name: str) -> None:
    """Only the three colours of the Okabe-Ito palette are used: no red against green."""
    text = json.dumps(BOARDS[name])
    assert set(re.findall(r'"color": "([^"]+)"', text)) <= {FINE, NOTE, WRONG}


@each
def test_every_variable_that_is_used_is_there(name: str) -> None:
    """Queries, links and other variables use only variables of this dashboard, or Grafana's own."""
    board = BOARDS[name]
    there = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board)))
    assert used - GRAFANAS <= there
    assert there - {"datasource"} <= used | {"docs"}


@each
def test_links_lead_to_dashboards_that_exist(name: str) -> None:
    """Each link names another dashboard of ours and variables that it has, or the documentation."""
    links = re.findall(r'"url": "([^"]+)"', json.dumps(BOARDS[name]))
    for link in links:
        if link.startswith("$docs/"):
            continue
        uid, chosen = re.fullmatch(r"/d/([\w-]+)\?(.*)", link).groups()  # type: ignore[union-attr]
        target = {variable["name"] for variable in BOARDS[uid]["templating"]["list"]}
        assert set(re.findall(r"&var-(\w+)=", chosen)) <= target


def test_panels_lead_to_the_documentation_of_findings() -> None:
    """Each finding of the table exists, each panel of it too, and its link names the finding."""
    assert set(EXPLAINED.values()) <= set(DOCS)
    shown = [panel for board in BOARDS.values() for panel in panels(board)]
    assert set(EXPLAINED) <= {panel["title"] for panel in shown}
    for panel in shown:
        if finding := EXPLAINED.get(panel["title"]):
            assert panel["links"][0]["url"] == f"$docs/findings.md#{finding}"
            assert f"skoopctl explain {finding}" in panel["description"]


def test_rates_use_the_window_that_grafana_knows_to_be_long_enough() -> None:
    """Every rate has `$__rate_interval`, so that it has data at every zoom; increases say their own hour."""
    windows = {
        window
        for board in BOARDS.values()
        for asked in queries(board)
        for window in re.findall(r"rate\([^[]*\[([^]]+)\]", asked.expr)
    }
    assert windows == {"$__rate_interval"}


def test_rows_that_are_for_few_are_collapsed() -> None:
    """RDMA and packet loss are closed until somebody opens them."""
    closed = {panel["title"] for panel in BOARDS["skoopctl-nodes"]["panels"] if panel.get("collapsed")}
    assert closed == {"Packet loss (with the eBPF probes)", "RDMA"}
