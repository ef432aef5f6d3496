"""``skoopctl demo``: the manual's example from beginning to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.cli.signals import end_politely
from skoopctl.cli.terminal import in_color, text_width
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.lab.story import Stage, Told

EXIT_FAILED = 1


@click.command(
    epilog="Example: sudo skoopctl demo, or skoopctl demo --recorded without root.",
)
@click.option("--recorded", is_flag=True, help="Tell it from recorded evidence: takes no root.")
@click.option(
    "--report",
    metavar="FILE",
    default="skoopctl-demo.html",
    show_default=True,
    help="Where the report of the broken moment goes.",
)
@click.option("--picture", metavar="FILE.svg", help="Also write the picture of the broken path.")
@click.option("--keep-evidence", metavar="DIR", help="Keep the three bundles (not with --recorded).")
@click.option(
    "--metrics", is_flag=True, help="Show metrics instead: a Prometheus beside the lab, and a pod in trouble."
)
@click.option("--keep", is_flag=True, help="With --metrics: leave it running until Ctrl-C.")
def demo(
    *, recorded: bool, report: str, picture: str | None, keep_evidence: str | None, metrics: bool, keep: bool
) -> int:
    """Build the lab, break it as in the manual's example, diagnose it, mend it, take the lab down.

    Three hosts of network namespaces with real SSH servers; a rule on one drops what another sends. Exit
    status 1 if anything of the story is not as told.

    With --metrics: the lab with Debian's prometheus and prometheus-pushgateway and skoopctl push beside it, a pod
    that stops listening, and what Prometheus says of it.
    """
    if recorded and keep_evidence:
        raise UsageError("--keep-evidence has nothing to keep with --recorded")
    if metrics and (recorded or picture or keep_evidence):
        raise UsageError("--metrics shows no path: leave out --recorded, --picture and --keep-evidence")
    if keep and not metrics:
        raise UsageError("--keep goes with --metrics")
    if metrics:
        from skoopctl.cli.demo_metrics import demo_metrics

        return demo_metrics(keep=keep)
    for flag, name in (("--report", report), ("--picture", picture)):
        if name and not Path(name).absolute().parent.is_dir():
            raise UsageError(f"{flag} {name}: there is no folder {Path(name).parent}", hint="make it first")
    from skoopctl.lab.story import RecordedStage
    from skoopctl.report.form import form_of

    form_of("--report", report)
    if recorded:
        return _tell(RecordedStage(), report, picture)
    with _stage(Path(keep_evidence) if keep_evidence else None) as stage:
        return _tell(stage, report, picture)


@contextmanager
def _stage(keep: Path | None) -> Iterator[Stage]:
    """A lab of three nodes, gone afterwards, also when we are told to stop."""
    from skoopctl.lab.story import live_stage

    end_politely()
    began = time.monotonic()
    click.echo("Building the lab: three hosts, real SSH servers, pods, kube-proxy's rules …")
    with live_stage(None, keep) as stage:
        click.echo(f"The lab is up after {time.monotonic() - began:.1f} s.\n")
        yield stage
        began = time.monotonic()
    click.echo(f"The lab is down again after {time.monotonic() - began:.1f} s; nothing of it is left.")


def _tell(stage: Stage, report: str, picture: str | None) -> int:
    from skoopctl.lab.story import tell

    problems = []
    for number, told in enumerate(tell(stage), 1):
        click.echo(_heading(number, told))
        click.echo(_text(told))
        if told.moment.fault:
            _write(told, report, picture)
        if told.problem:
            problems.append(f"step {number}: {told.problem}")
    for problem in problems:
        click.echo(f"skoopctl: demo: {problem}", err=True)
    if problems:
        return EXIT_FAILED
    click.echo(f"The fault was found, and the path works again. Report: {report}")
    return 0


def _heading(number: int, told: Told) -> str:
    line = f"── {number}. {told.moment.title} "
    real = f"\nA real connect() from the pod: {told.connected}." if told.connected else ""
    return line + "─" * max(0, 100 - len(line)) + real


def _text(told: Told) -> str:
    from skoopctl.report.text import render_headline, render_text

    render = render_text if told.moment.fault else render_headline
    return render(told.diagnosis, width=text_width(), color=in_color())


def _write(told: Told, report: str, picture: str | None) -> None:
    from skoopctl.report.form import form_of, render
    from skoopctl.report.incident import incident_context
    from skoopctl.report.messages import messages
    from skoopctl.report.svg import render_svg

    context = incident_context(told.diagnosis, messages())
    Path(report).write_bytes(render(context, form_of("--report", report)))
    if picture:
        Path(picture).write_text(render_svg(told.diagnosis), encoding="utf-8")
