"""A run as one page that stands alone: no script, nothing fetched, made to be read and printed."""

from __future__ import annotations

from markupsafe import Markup

from skoopctl import __version__
from skoopctl.checks.finding import Severity
from skoopctl.report.page import environment, style_hash, style_sheet
from skoopctl.runs.as_json import SCHEMA
from skoopctl.runs.changes import Changes
from skoopctl.runs.result import RunResult


def render_run_html(result: RunResult, changes: Changes | None = None) -> str:
    """Return a run as one self-contained HTML document."""
    css = style_sheet()
    template = environment().get_template("run.html.j2")
    page: str = template.render(
        r=result,
        changes=changes,
        counts=[(each.word, result.count(each)) for each in reversed(Severity)],
        css=Markup(css),  # noqa: S704 - the style sheet is ours
        style_hashes=Markup(style_hash(css)),  # noqa: S704
        schema=SCHEMA,
        version=__version__,
    )
    return page
