"""What watched metrics add to a run: findings, what they stand on, and what their absence means."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.cli.run import exit_code
from skoopctl.evidence.bundle import HostRecord
from skoopctl.evidence.item import HostEvidence
from skoopctl.inventory import InventoryHost
from skoopctl.runs.as_json import run_schema, run_to_json
from skoopctl.runs.changes import compare
from skoopctl.runs.evaluate import evaluate
from skoopctl.runs.probed import may_be_watched, probed_of
from skoopctl.runs.result import RunResult
from skoopctl.runs.text import render_run
from skoopctl.transport import HostStatus
from skoopctl.watching.observation import Observation
from tests.support.broken import snapshot_of
from tests.support.results import plan_of
from tests.support.worlds import cluster

sys.path.insert(0, str(Path(__file__).parent.parent / "watching"))
from numbers_of_nodes import numbers


def watched(*, again: int = 50, measured: tuple[str, ...] = ("n1", "n2"), **plan: object) -> RunResult:
    """Return a run that watched n1 and n2; on n1, a pod sent so many of 1,000 segments again."""
    made = plan_of(inspections=["conntrack"], probes=["tcp"], **plan)
    hosts = [InventoryHost("n1", "10.0.0.1"), InventoryHost("n2", "10.0.0.2")]
    seen = Observation(made.probes, hosts, live=False)

    async def scenario() -> None:
        for host in hosts:
            if host.name in measured:
                lost = again if host.name == "n1" else 0
                seen.round_came(host, numbers(1, sent=0))
                seen.round_came(host, numbers(2, sent=1000, again=lost))

    asyncio.run(scenario())
    probed = probed_of(seen, made, ["n1", "n2"], 2)
    rows = (HostCoverage("n1", "ok"), HostCoverage("n2", "ok"))
    snapshot = replace(snapshot_of(cluster()), coverage=Coverage(rows))
    return evaluate(made, snapshot, cluster="prod", inventory="i.yaml", probed=probed)


def as_kept(result: RunResult) -> dict[str, object]:
    """Return a result as it is read again from its file."""
    loaded: dict[str, object] = json.loads(json.dumps(run_to_json(result)))
    return loaded


def test_a_number_that_reached_its_threshold_is_a_finding_of_the_run() -> None:
    """With its place, under the name of the probes, in text and JSON."""
    result = watched()
    (found,) = result.findings
    assert (found.inspections, found.finding.id) == (("probes",), "tcp-retransmissions")
    assert str(found.finding.where) == "n1/shop/web-0"
    jsonschema.validate(as_kept(result), run_schema())
    assert "probes      2 nodes, 2 pods" in render_run(result)


@pytest.mark.parametrize(("limit", "found"), [(0.05, 1), (0.051, 0)])
def test_the_plans_threshold_decides(limit: float, found: int) -> None:
    """5 % were sent again."""
    assert len(watched(thresholds={"tcp-retransmit-rate": limit}).findings) == found


def test_the_same_place_is_the_same_finding_in_the_next_run() -> None:
    """Whatever the numbers are this time."""
    changes = compare(watched(again=70), as_kept(watched()))
    assert (len(changes.new), len(changes.unchanged), changes.gone) == (0, 1, ())


def test_a_finding_of_a_node_that_was_not_watched_is_not_gone() -> None:
    """Nobody knows."""
    before = as_kept(watched())
    assert [each["id"] for each in compare(watched(again=0), before).gone] == ["tcp-retransmissions"]
    unwatched = compare(watched(measured=("n2",)), before)
    assert (unwatched.gone, [each["id"] for each in unwatched.unseen]) == ((), ["tcp-retransmissions"])


@pytest.mark.parametrize(
    ("measured", "percent", "code"), [(("n1", "n2"), 0, 0), (("n2",), 0, 3), (("n2",), 50, 0), ((), 50, 3)]
)
def test_a_node_that_was_not_watched_counts_as_one_that_was_not_seen(
    measured: tuple[str, ...], percent: float, code: int
) -> None:
    """The exit status is 3, unless the plan lets so many fail."""
    made = {"fail-percent": percent}
    result = watched(again=0, measured=measured, **made)
    assert exit_code(result, plan_of(**made)) == code


@pytest.mark.parametrize(
    ("status", "items", "watched_too"),
    [
        (HostStatus.OK, True, True),
        (HostStatus.PARTIAL, True, True),
        (HostStatus.UNREACHABLE, False, True),
        (HostStatus.TIMEOUT, False, True),
        (HostStatus.AUTH_FAILED, False, False),
        (HostStatus.DENIED, False, False),
    ],
)
def test_who_refused_us_is_not_asked_a_second_time(
    status: HostStatus, items: bool, watched_too: bool
) -> None:
    """A refused password is sent once in a run; a host that was busy may have time now."""
    record = HostRecord(status, "", HostEvidence("n1", {}), 1.0, "10.0.0.1")
    assert record.collected is False
    made = replace(record, evidence=_some()) if items else record
    assert may_be_watched(made) is watched_too


def _some() -> HostEvidence:
    """Return evidence with an item in it."""
    from skoopctl.evidence.item import Item, ItemStatus

    item = Item(0, "identity", ItemStatus.OK, b"{}", "", 1.0)
    return HostEvidence("n1", {(0, "identity"): item})
