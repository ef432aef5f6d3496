"""A run as one page that stands alone: no script, nothing fetched, made to be read and printed."""

from __future__ import annotations

from skoopctl.report.messages import messages
from skoopctl.report.rendering import render_page
from skoopctl.runs.as_json import run_to_json
from skoopctl.runs.changes import Changes
from skoopctl.runs.inspection import inspection_context
from skoopctl.runs.result import RunResult


def render_run_html(result: RunResult, changes: Changes | None = None) -> str:
    """Return a run as one self-contained HTML document, in English, without earlier runs."""
    return render_page(inspection_context(run_to_json(result, changes), (), messages()))
