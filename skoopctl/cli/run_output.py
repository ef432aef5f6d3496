"""What ``skoopctl run`` prints and writes: the recap, JSON, and the plan's reports."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
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

    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = min(max(shutil.get_terminal_size().columns, 60), 120) if sys.stdout.isatty() else 100
    click.echo(render_run(result, changes, width=width, color=color, diff=diff), nl=False)


def write_reports(result: RunResult, changes: Changes | None, plan: Plan, file: Path) -> None:
    """Write the plan's reports; each is the old file or the whole new one."""
    for report in plan.reports:
        names = {
            "plan": result.plan,
            "cluster": result.cluster,
            "time": f"{result.started:%Y%m%dT%H%M%SZ}",
        }
        target = Path(os.path.expanduser(_filled(report.file, names)))  # noqa: PTH111 - text first, a path then
        if not target.is_absolute():
            target = file.absolute().parent / target
        text = _rendered(result, changes, report.format)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            click.echo(f"skoopctl: {target}: the report cannot be written: {error.strerror}", err=True)


def _filled(pattern: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        pattern = pattern.replace(f"{{{name}}}", value.replace("/", "_"))
    return pattern


def _rendered(result: RunResult, changes: Changes | None, kind: str) -> str:
    if kind == "json":
        from skoopctl.runs.as_json import run_to_json

        return json.dumps(run_to_json(result, changes), indent=2) + "\n"
    if kind == "html":
        from skoopctl.runs.html import render_run_html

        return render_run_html(result, changes)
    from skoopctl.runs.text import render_run

    return render_run(result, changes)
