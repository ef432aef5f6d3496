"""``skoopctl probe run``: metrics of nodes for a while, as a live table, and what in them is not as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.cli.aim import LAB, LAB_INVENTORY, Aim, inventory_options
from skoopctl.cli.deadlines import deadline_options
from skoopctl.cli.event_options import event_options
from skoopctl.cli.fail_on import fail_on_option
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.cli.loki_options import loki_options
from skoopctl.cli.probe_options import (
    Duration,
    check_times,
    chosen_metric,
    chosen_pod,
    chosen_probes,
    chosen_thresholds,
    complete_metric,
    complete_probe,
    complete_threshold,
)
from skoopctl.cli.terminal import in_color, text_width
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.plans.loki_part import LokiPart
    from skoopctl.transport.base import Deadlines
    from skoopctl.watching.events_asked import EventsHow
    from skoopctl.watching.summary import Summary

EXIT_INTERRUPTED = 130
INTERVAL_S = 5.0

_EPILOG = """\b
Examples:
  skoopctl probe run tcp tcpext -i inventory.yaml --duration 1m
  skoopctl probe run -i inventory.yaml -l node7 --interval 1s
  skoopctl probe run all -i inventory.yaml --pod shop/web-0 --sort tcp_retranssegs
  skoopctl probe run -i inventory.yaml --threshold tcp-retransmit-rate=0.05 --fail-on warning
  skoopctl probe run udp -i inventory.yaml --json | jq -c 'select(.type == "summary")'

\b
Exit status: 0 clean · 1 findings at or above --fail-on · 2 usage or inventory · 3 some nodes were not measured, or
none of the event probes ran there · 4 none were · 70 a bug · 130 interrupted (the summary is printed all the same)
"""


@click.command("run", epilog=_EPILOG)
@click.argument("probes", nargs=-1, metavar="[PROBE]...", shell_complete=complete_probe)
@inventory_options()
@login_options()
@click.option("-f", "--forks", type=click.IntRange(min=1), help="Logins at a time; default all, at most 100.")
@deadline_options(("connect", "program"))
@click.option("-d", "--duration", type=Duration(), default="30s", show_default=True, help="How long.")
@click.option("--interval", type=Duration(), help="Time between two rounds; default 5s.")
@click.option(
    "--kubeconfig", metavar="FILE", help="Ask the API for the pods' names; without, nodes tell them."
)
@click.option("--pod", metavar="NS/NAME", help="Show this pod only.")
@click.option(
    "--sort",
    metavar="METRIC",
    shell_complete=complete_metric,
    help="Sort by this metric, and not by trouble.",
)
@fail_on_option()
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="NAME=N",
    shell_complete=complete_threshold,
    help="From what number on something is a finding; may be given several times.",
)
@event_options()
@loki_options()
@click.option("--sysfs", metavar="DIR", default="/sys", hidden=True, help="Where the nodes' /sys is.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "kubeskoop"]),
    default="text",
    show_default=True,
    help="For people, JSON lines (schema skoopctl.probe-run/1), or events alone in KubeSkoop's JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-q", "--quiet", is_flag=True, help="No live table, and no word about nodes that break.")
def probe_run(
    *,
    probes: tuple[str, ...],
    aim: Aim,
    login: LoginFlags,
    forks: int | None,
    deadlines: Deadlines,
    duration: float,
    interval: float | None,
    kubeconfig: str | None,
    pod: str | None,
    sort: str | None,
    fail_on: str,
    thresholds: tuple[str, ...],
    how: EventsHow,
    loki: LokiPart | None,
    sysfs: str,
    form: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """Watch metrics of nodes and their pods for a while, then say what was not as it should be.

    PROBE is a name that 'skoopctl probe list' shows; 'all' is all of them; without any, those that cost little.
    One login and one exec a node for the whole time; nothing there is changed, and nothing is left. On a terminal,
    a table shows the rates meanwhile. Ctrl-C ends it early, with the summary; a second one does not wait for what
    nodes have still to tell. Without -i, the running lab is asked.
    """
    from skoopctl.checks.finding import Severity
    from skoopctl.cli.probe_session import Session
    from skoopctl.watching.for_a_while import Stay

    aim = _aimed(aim)
    form = "json" if as_json else form
    as_json = form != "text"
    if aim.list_hosts:
        click.echo(aim.listed(quiet=quiet))
        return 0
    chosen, events = chosen_probes(probes)
    if loki is not None and not events:
        raise UsageError("--loki without a probe of events", hint="name one: skoopctl probe list")
    every_s = interval if interval is not None else min(INTERVAL_S, duration / 2)
    check_times(duration, every_s)
    session = Session(
        probes=chosen,
        events=events,
        stay=Stay(duration, every_s),
        hosts=login.applied(aim.hosts(quiet=quiet or as_json)),
        inventory=aim.label,
        deadlines=deadlines,
        forks=forks,
        kubeconfig=_kubeconfig(aim, kubeconfig),
        thresholds=chosen_thresholds(thresholds),
        sort=chosen_metric(sort, chosen),
        pod=chosen_pod(pod),
        sysfs=sysfs,
        loki=loki,
        how=how,
    )
    if form == "kubeskoop" and not events:
        raise UsageError("--format kubeskoop without a probe of events", hint="name one: skoopctl probe list")
    summary = session.watch(login.transports(session.hosts), form=form, quiet=quiet)
    if form != "kubeskoop":
        _print(summary, as_json=as_json)
    return EXIT_INTERRUPTED if summary.interrupted else summary.exit_code(Severity[fail_on.upper()])


def _aimed(aim: Aim) -> Aim:
    """Return whom the flags mean; without -i it is the lab that runs here."""
    if aim.sources:
        return aim
    if not LAB_INVENTORY.is_file():
        raise UsageError(
            "no inventory is given, and no lab runs here", hint="give -i INVENTORY, or: sudo skoopctl lab up"
        )
    return Aim((LAB,), aim.limit, aim.playbook_dir, aim.list_hosts, aim.skip_vaulted)


def _kubeconfig(aim: Aim, given: str | None) -> str | None:
    lab = LAB_INVENTORY.with_name("kubeconfig")
    if given is None:
        return str(lab) if aim.is_lab and lab.is_file() else None
    if not Path(given).expanduser().is_file():
        raise UsageError(f"--kubeconfig {given}: there is no such file")
    return given


def _print(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        from skoopctl.sinks.json_lines import summary_to_json

        click.echo(json.dumps(summary_to_json(summary)))
        return
    from skoopctl.sinks.summary_text import render_summary

    click.echo(render_summary(summary, width=text_width(), color=in_color()), nl=False)
