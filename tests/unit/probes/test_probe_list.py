"""``skoopctl probe list``: the catalogue, and how probes fare on nodes that are really asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import skoopctl.probes
from skoopctl.cli.probe import probe
from skoopctl.probes.catalogue import METRICS, PROBES

SCHEMA = json.loads((Path(skoopctl.probes.__file__).parent / "probe-list-1.schema.json").read_text())


def listed(*arguments: str, code: int = 0) -> str:
    """Run ``probe list`` and return its standard output."""
    done = CliRunner(env={"COLUMNS": "130"}).invoke(probe, ["list", *arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert done.return_value == code
    return done.stdout


def as_json(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Run it with --json; what it prints conforms to the schema."""
    found: dict[str, Any] = json.loads(listed(*arguments, "--json", code=code))
    jsonschema.validate(found, SCHEMA)
    return found


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    """Return an inventory of this machine, and of a port where nobody listens."""
    path = tmp_path / "hosts.ini"
    path.write_text("here ansible_connection=local\nnowhere ansible_host=127.0.0.1 ansible_port=1\n")
    return str(path)


def test_the_catalogue_names_every_probe() -> None:
    """Without an inventory, each probe has its row."""
    lines = listed().splitlines()
    assert [line.split()[0] for line in lines[: len(PROBES)]] == list(PROBES)


def test_one_probe_is_shown_with_its_metrics() -> None:
    """A probe by its name is shown with all that the catalogue knows of it, and no other is."""
    text = listed("ipvs")
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  kubeskoop")] == [
        metric.name for metric in PROBES["ipvs"].metrics
    ]
    assert "KubeSkoop gives the bytes under this name" in text


def test_the_json_holds_the_whole_catalogue() -> None:
    """The JSON has every metric, with where it differs from KubeSkoop's, and no nodes when none were asked."""
    found = as_json()
    metrics = {metric["name"]: metric for each in found["probes"] for metric in each["metrics"]}
    assert list(metrics) == list(METRICS)
    assert metrics["kubeskoop_tcp_outsegs"]["exposed_as"] == "untyped"
    assert found["nodes"] is None


def test_nodes_say_how_probes_fare(inventory: str) -> None:
    """This machine tells which probes it can do and why not; a node that gives no answer says why, and status is 3."""
    found = as_json("tcp", "ipvs", "-i", inventory, code=3)
    here, nowhere = found["nodes"]
    assert (here["node"], here["status"]) == ("here", "ok")
    assert here["probes"]["tcp"]["state"] in {"available", "degraded"}
    assert here["probes"]["ipvs"]["state"] in {"available", "unavailable"}
    assert (nowhere["status"], bool(nowhere["why"])) in {("unreachable", True), ("auth-failed", True)}
    assert {each["state"] for each in nowhere["probes"].values()} == {"unknown"}


def test_people_see_which_nodes_answered(inventory: str) -> None:
    """The text ends with how many nodes answered."""
    assert listed("tcp", "-i", inventory, code=3).splitlines()[-1] == "1 of 2 nodes answered"


def test_no_node_that_answers_is_status_4(inventory: str) -> None:
    """When nobody answers, the exit status says so."""
    assert "0 of 1 nodes answered" in listed("-i", inventory, "-l", "nowhere", code=4)
