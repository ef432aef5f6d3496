"""Reports as HTML, made as the commands make them: in English, from a diagnosis or from a run."""

from __future__ import annotations

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.report.form import render
from skoopctl.report.incident import incident_context
from skoopctl.report.messages import messages
from skoopctl.runs.as_json import run_to_json
from skoopctl.runs.changes import Changes
from skoopctl.runs.inspection import inspection_context
from skoopctl.runs.result import RunResult


def page_of(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as a page."""
    return render(incident_context(diagnosis, messages()), "html").decode()


def page_of_run(result: RunResult, changes: Changes | None = None) -> str:
    """Return a run as a page, without earlier runs."""
    return render(inspection_context(run_to_json(result, changes), (), messages()), "html").decode()
