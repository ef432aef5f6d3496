"""A run as one JSON object, as ``run-1.schema.json`` describes it; it is also what is kept of a run."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from skoopctl import __version__
from skoopctl.checks.expectations import Judged
from skoopctl.report.jsonout import coverage_to_json, finding_to_json
from skoopctl.runs.changes import Changes
from skoopctl.runs.result import Looked, RunFinding, RunResult

SCHEMA = "skoopctl.run/1"
SCHEMA_FILE = "run-1.schema.json"

Json = dict[str, Any]


def run_to_json(result: RunResult, changes: Changes | None = None) -> Json:
    """Return a run as an object for ``json.dumps``. Strings are as read: escape them to show them."""
    return {
        "schema": SCHEMA,
        "tool_version": __version__,
        "plan": result.plan,
        "cluster": result.cluster,
        "inventory": result.inventory,
        "started": result.started.isoformat(timespec="seconds"),
        "duration_s": round(result.duration_s, 3),
        "coverage": coverage_to_json(result.coverage),
        "inspections": [_looked(each) for each in result.looked],
        "findings": [_finding(each, changes) for each in result.findings],
        "paths": [_path(each) for each in result.paths],
        "changes": None if changes is None else changes.to_json(),
    }


def run_schema() -> Json:
    """Return the JSON Schema (2020-12) of what `run_to_json` returns."""
    text = resources.files("skoopctl.runs").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    loaded: Json = json.loads(text)
    return loaded


def _looked(looked: Looked) -> Json:
    counts = [
        {"what": what, "looked_at": done, "there_are": total} for what, (done, total) in looked.counts.items()
    ]
    return {"name": looked.name, "title": looked.title, "counts": counts, "fault": looked.fault}


def _finding(found: RunFinding, changes: Changes | None) -> Json:
    return {
        **finding_to_json(found.finding),
        "key": found.key,
        "inspections": list(found.inspections),
        "affects": list(found.noted.affects),
        "affected": found.noted.affected,
        "new": None if changes is None else changes.is_new(found.key),
    }


def _path(judged: Judged) -> Json:
    asked = judged.expectation.question
    path = judged.diagnosis.path if judged.diagnosis is not None else None
    return {
        "name": judged.expectation.name,
        "source": asked.source,
        "destination": asked.destination,
        "protocol": asked.protocol,
        "port": path.flow.port if path is not None else asked.port,
        "expect": judged.expectation.expect.value,
        "state": judged.state.value,
        "said": judged.said,
        "verdict": path.verdict.value if path is not None else None,
        "outcome": path.outcome.value if path is not None else None,
    }
