"""``skoopctl doctor``: what works on each node, what would, and what to do about the rest."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.cli.deadlines import deadline_options
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.cli.terminal import in_color

if TYPE_CHECKING:
    from skoopctl.doctor.examine import Report
    from skoopctl.transport.base import Deadlines

EXIT_NOT_FINE, EXIT_SOME, EXIT_NONE = 1, 3, 4


@click.command(epilog="Example: skoopctl doctor -i inventory.yaml -l 'workers:!gpu'")
@inventory_options(required=True)
@login_options()
@click.option("-f", "--forks", type=click.IntRange(min=1), help="Hosts at a time; default all, at most 100.")
@deadline_options()
@click.option("-v", "--verbose", is_flag=True, help="Show every check, also those that are ok.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schema skoopctl.doctor/1).")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def doctor(
    *,
    aim: Aim,
    login: LoginFlags,
    forks: int | None,
    verbose: bool,
    as_json: bool,
    quiet: bool,
    deadlines: Deadlines,
) -> int:
    """Find out what works on each node, and what would.

    One login and one exec a node; nothing there is changed, and nothing is left. Exit status: 0 every node has
    what a diagnosis needs, 1 some have not, 3 some gave no answer, 4 none did.
    """
    import asyncio

    from skoopctl.cli.collect import Progress
    from skoopctl.doctor.examine import examine

    if aim.list_hosts:
        click.echo(aim.listed(quiet=quiet))
        return 0
    hosts = login.applied(aim.hosts(quiet=quiet))
    transports = login.transports(hosts)
    progress = Progress(sys.stderr) if sys.stderr.isatty() and not quiet else None
    report = asyncio.run(
        examine(hosts, deadlines=deadlines, forks=forks, observer=progress, transports=transports)
    )
    click.echo(_json(report) if as_json else _text(report, verbose=verbose), nl=False)
    return exit_code(report)


def exit_code(report: Report) -> int:
    """Return the exit status: a blind tool is told before a node that lacks something."""
    if not report.answered:
        return EXIT_NONE
    if report.answered < len(report.nodes):
        return EXIT_SOME
    return 0 if report.fine == len(report.nodes) else EXIT_NOT_FINE


def _json(report: Report) -> str:
    from skoopctl.doctor.jsonout import report_object

    return json.dumps(report_object(report), indent=2) + "\n"


def _text(report: Report, *, verbose: bool) -> str:

    from skoopctl.doctor.text import report_lines
    from skoopctl.report.terminal import painted

    width = min(shutil.get_terminal_size((110, 24)).columns, 130)
    color = in_color()
    return painted(report_lines(report, verbose=verbose, width=width), color=color)
