"""What ``skoopctl run`` prints and writes: the recap, JSON, and the plan's reports."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.report_options import ReportFlags, write_whole
from skoopctl.cli.terminal import in_color, text_width
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skoopctl.plans.model import Plan
    from skoopctl.runs.changes import Changes
    from skoopctl.runs.result import RunResult


def print_result(
    result: RunResult, changes: Changes | None, *, as_json: bool, quiet: bool, diff: bool
) -> None:
    """Print the result on standard output."""
    if as_json:
        from skoopctl.runs.as_json import run_to_json

        click.echo(json.dumps(run_to_json(result, changes), indent=2))
        return
    if quiet:
        return
    from skoopctl.runs.text import render_run

    text = render_run(result, changes, width=text_width(), color=in_color(), diff=diff)
    click.echo(text, nl=False)


def write_reports(
    result: RunResult, changes: Changes | None, plan: Plan, file: Path, kept: Path | None = None
) -> None:
    """Write the plan's reports; each is the old file or the whole new one. ``kept`` is where the run is kept."""
    for report in plan.reports:
        names = {
            "plan": result.plan,
            "cluster": result.cluster,
            "time": f"{result.started:%Y%m%dT%H%M%SZ}",
        }
        target = Path(os.path.expanduser(_filled(report.file, names)))  # noqa: PTH111 - text first, a path then
        if not target.is_absolute():
            target = file.absolute().parent / target
        try:
            write_whole(target, _rendered(result, changes, report.format, kept))
        except UsageError as error:
            click.echo(f"skoopctl: {error}", err=True)


def context_of(
    result: RunResult, changes: Changes | None, kept: Path | None, look: ReportFlags
) -> Mapping[str, Any]:
    """Return the context of a run's report, with the earlier runs that are kept beside it."""
    from skoopctl.runs.as_json import run_to_json
    from skoopctl.runs.inspection import inspection_context
    from skoopctl.runs.saved import earlier_runs

    run = run_to_json(result, changes)
    earlier = earlier_runs(kept, run) if kept is not None else []
    return inspection_context(run, earlier, look.words, look.about)


def _filled(pattern: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        pattern = pattern.replace(f"{{{name}}}", value.replace("/", "_"))
    return pattern


def _rendered(result: RunResult, changes: Changes | None, kind: str, kept: Path | None) -> bytes:
    if kind == "json":
        from skoopctl.runs.as_json import run_to_json

        return (json.dumps(run_to_json(result, changes), indent=2) + "\n").encode()
    if kind == "text":
        from skoopctl.runs.text import render_run

        return render_run(result, changes).encode(errors="surrogateescape")
    from skoopctl.report.form import render

    return render(context_of(result, changes, kept, ReportFlags()), kind)
