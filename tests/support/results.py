"""Results of runs, made from small broken clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.plans.model import Plan
from skoopctl.runs.evaluate import evaluate
from skoopctl.runs.result import RunResult
from tests.support.broken import nothing, snapshot_of
from tests.support.worlds import Cluster, cluster

PATH = {"name": "a reaches b", "from": "10.244.1.10", "to": "10.244.2.10", "port": 80}


def plan_of(**more: Any) -> Plan:
    """Return a plan that makes the mesh inspection, or what is given."""
    return Plan.model_validate({"plan": "nightly", "inspections": ["mesh"], **more})


def result_of(
    damage: Callable[[Cluster], None] = nothing,
    *,
    statuses: tuple[str, ...] = ("ok", "ok"),
    api: str = "not asked",
    **plan: Any,
) -> RunResult:
    """Return what a plan finds in a small cluster, damaged or not; the hosts are n1 and n2."""
    made = cluster()
    damage(made)
    rows = tuple(HostCoverage(f"n{number}", status) for number, status in enumerate(statuses, 1))
    snapshot = snapshot_of(made)
    kept = {
        name: host
        for (name, host), status in zip(snapshot.hosts.items(), statuses, strict=False)
        if status in {"ok", "partial"}
    }
    snapshot = replace(snapshot, hosts=kept, coverage=Coverage(rows, api))
    return evaluate(plan_of(**plan), snapshot, cluster="prod", inventory="inventory.yaml")
