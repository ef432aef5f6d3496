"""The JSON object and its published schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from skoopctl.dataplane.trace import Flow
from skoopctl.report.jsonout import SCHEMA_FILE, flow_error, schema, to_json
from tests.unit.report import samples

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", samples.ALL)
def test_every_diagnosis_is_valid_and_survives_a_round_trip(name: str) -> None:
    """What is printed follows the schema, whatever the nodes said."""
    data = to_json(samples.ALL[name]())
    jsonschema.Draft202012Validator(schema()).validate(data)
    assert json.loads(json.dumps(data)) == data


def test_the_schema_is_one_and_refuses_surprises() -> None:
    """The schema is a valid one, and an unknown or missing key is an error."""
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    data = to_json(samples.healthy())
    assert not validator.is_valid({**data, "extra": 1})
    assert not validator.is_valid({key: value for key, value in data.items() if key != "verdict"})
    assert not validator.is_valid({**data, "verdict": "OK"})


def test_the_published_schema_is_the_shipped_one() -> None:
    """The copy in the documentation is byte for byte the one in the package."""
    shipped = ROOT / "skoopctl" / "report" / SCHEMA_FILE
    assert (ROOT / "docs" / "schema" / SCHEMA_FILE).read_bytes() == shipped.read_bytes()


def test_a_script_finds_the_cause_and_the_place_of_death() -> None:
    """The first finding is the cause, and the last forward hop says where, why and on what evidence."""
    data = to_json(samples.dropped())
    assert (data["verdict"], data["disposition"], data["outcome"]) == ("FAIL", "DROPPED", "timeout")
    assert data["findings"][0]["cause"] is True
    assert data["findings"][0]["fix"] == {
        "summary": "Delete rule 1 of INPUT on node1-c4.",
        "node": "node1-c4",
        "commands": ["iptables -D INPUT 1"],
        "checked": True,
    }
    hop = data["forward"][-1]
    assert (hop["node"], hop["hook"], hop["depth"], hop["ends"]) == ("node1-c4", "INPUT", 1, "DROPPED")
    assert hop["evidence"][0]["text"] == "-A INPUT -s 192.168.3.87/32 -j DROP"
    assert hop["evidence"][0]["packets"] == 1284
    assert data["reply"] == []


def test_outcomes_carry_weights_and_all_branches_are_there() -> None:
    """With three endpoints there are three branches, and the outcomes' weights add up to one."""
    data = to_json(samples.service())
    assert [entry["outcome"] for entry in data["outcomes"]] == ["connected", "refused"]
    assert sum(entry["weight"] for entry in data["outcomes"]) == pytest.approx(1)
    assert len(data["branches"]) == 3
    nat = next(hop for hop in data["forward"] if hop["kind"] == "nat")
    assert (nat["before"]["destination"], nat["after"]["destination"]) == ("10.96.17.4", "10.244.2.202")


def test_a_flow_that_cannot_be_diagnosed_is_an_object_with_an_error() -> None:
    """A line of --flows that fails follows the schema too."""
    data = flow_error(Flow("10.9.9.9", "10.244.2.201", "tcp", 80), "10.9.9.9 is in no namespace", "check it")
    jsonschema.Draft202012Validator(schema()).validate(data)
    assert data["error"] == "10.9.9.9 is in no namespace"
