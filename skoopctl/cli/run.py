"""``skoopctl run``: an inspection plan over an inventory, by hand and from cron."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.cli.fail_on import fail_on_option
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.cli.report_options import ReportFlags, report_options
from skoopctl.errors import PushError, UsageError

if TYPE_CHECKING:
    from skoopctl.cli.running import Running
    from skoopctl.plans.model import Plan
    from skoopctl.runs.result import RunResult

EXIT_FOUND, EXIT_SOME, EXIT_NONE, EXIT_BUG = 1, 3, 4, 70

_EPILOG = """\b
Examples:
  skoopctl run quick -i inventory.yaml
  skoopctl run nightly -i inventory.yaml --quiet --push http://pushgateway:9091
  skoopctl run plans/shop.yaml -i inventory.yaml --check
  skoopctl run plans/shop.yaml -i inventory.yaml --diff --json
  skoopctl run --list

\b
Exit status: 0 clean · 1 findings at or above --fail-on, or a path that is not as expected · 2 usage, inventory or
plan · 3 some nodes were not collected (more than --fail-percent), or a path could not be decided · 4 none were
collected · 70 a bug · 130 interrupted
"""


@click.command(epilog=_EPILOG)
@click.argument("plan", required=False)
@inventory_options()
@login_options()
@click.option("--bundle", metavar="FILE", help="Inspect evidence that was collected before; nothing is kept.")
@click.option("-f", "--forks", type=click.IntRange(min=1), help="Hosts at a time.")
@click.option("--kubeconfig", metavar="FILE", help="Also ask the API, whatever the plan says.")
@click.option("--cluster", metavar="NAME", help="The cluster's name in metrics and in the state folder.")
@click.option("-C", "--check", is_flag=True, help="Print what would run where, and as whom; touch nothing.")
@click.option(
    "-D", "--diff", is_flag=True, help="Show findings that are new or gone since the last run only."
)
@click.option(
    "--retry-failed", is_flag=True, help="Ask only hosts that did not answer wholly in the last run."
)
@fail_on_option(default=None, more="; the plan's, else critical")
@click.option(
    "--fail-percent", type=click.FloatRange(0, 100), help="Share of hosts that may fail before it is 3."
)
@click.option("--push", metavar="URL", help="A Pushgateway for findings and coverage; instead of the plan's.")
@click.option(
    "--push-delete", is_flag=True, help="Delete this plan's group from the gateway, and do nothing else."
)
@click.option(
    "--state-dir", metavar="DIR", help="Where results are kept; default ~/.local/state/skoopctl/runs."
)
@click.option("--list", "list_", is_flag=True, help="Show the built-in plans, inspections and thresholds.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@report_options(to_file=True)
@click.option(
    "-q", "--quiet", is_flag=True, help="Say nothing when all is well; else findings and coverage only."
)
def run(
    *,
    plan: str | None,
    aim: Aim,
    login: LoginFlags,
    bundle: str | None,
    forks: int | None,
    kubeconfig: str | None,
    cluster: str | None,
    check: bool,
    diff: bool,
    retry_failed: bool,
    fail_on: str | None,
    fail_percent: float | None,
    push: str | None,
    push_delete: bool,
    state_dir: str | None,
    list_: bool,
    as_json: bool,
    look: ReportFlags,
    quiet: bool,
) -> int:
    """Inspect a cluster by a PLAN: a file, or one of the built-in plans by name.

    Every host is asked once; inspections and the plan's paths are then worked out here. Nothing on the nodes
    is changed. The result is kept on this machine, so that the next run can say what is new.
    """
    from skoopctl.cli.run_listing import listing
    from skoopctl.cli.run_output import context_of, print_result, write_reports
    from skoopctl.cli.running import Running

    if list_:
        click.echo(listing(as_json=as_json))
        return 0
    if aim.list_hosts and plan is None:
        click.echo(aim.listed(quiet=quiet))
        return 0
    only_live = {"--retry-failed": retry_failed, "--check": check, "--diff": diff}
    only_live |= dict.fromkeys(login.given(), True)
    name = _checked(plan, aim, bundle, only_live)
    target = look.target()
    from skoopctl.plans.load import load_plan

    found, file = load_plan(name)
    changed = {
        "forks": forks,
        "kubeconfig": kubeconfig,
        "cluster": cluster,
        "fail_on": fail_on,
        "fail_percent": fail_percent,
    }
    wanted = found.model_copy(update={name: value for name, value in changed.items() if value is not None})
    running = Running(wanted, file, push=push, quiet=quiet or as_json, login=login)
    if bundle is not None:
        result, changes = running.of_bundle(bundle), None
    else:
        running.aim(aim, Path(state_dir) if state_dir else None)
        if aim.list_hosts or push_delete or check:
            _do_not_run(running, aim, push_delete=push_delete, as_json=as_json)
            return 0
        result, changes = running.live(retry_failed=retry_failed)
    code = exit_code(result, wanted, api_asked=bool(wanted.kubeconfig))
    write_reports(result, changes, wanted, file, running.kept)
    print_result(result, changes, as_json=as_json, quiet=quiet and code == 0, diff=diff)
    try:
        running.push_metrics(result)
    except PushError as error:
        click.echo(f"skoopctl: {error} (the run itself is not affected)", err=True)
    if target is not None:
        target.write(context_of(result, changes, running.kept, look))
    return code


def _do_not_run(running: Running, aim: Aim, *, push_delete: bool, as_json: bool) -> None:
    """Do what is asked for in place of a run: name the hosts, delete the group, or say what would be done."""
    if aim.list_hosts:
        click.echo("\n".join(host.name for host in running.hosts))
    elif push_delete:
        running.delete_group()
    else:
        click.echo(running.check(as_json=as_json))


def _checked(plan: str | None, aim: Aim, bundle: str | None, only_live: Mapping[str, object]) -> str:
    """Refuse flags that contradict each other; return the plan's name."""
    if plan is None:
        raise UsageError("no plan is given", hint="skoopctl run --list shows the built-in ones")
    if bool(aim.sources) == (bundle is not None):
        raise UsageError("give either -i INVENTORY or --bundle FILE")
    wrong = [*aim.given(), *(flag for flag, value in only_live.items() if value)]
    if wrong and bundle is not None:
        raise UsageError(f"{wrong[0]} goes with -i, not with --bundle")
    return plan


def exit_code(result: RunResult, plan: Plan, *, api_asked: bool = False) -> int:
    """Return the design's exit status for one run."""
    from skoopctl.checks.expectations import State
    from skoopctl.checks.finding import Severity

    if not result.coverage.collected:
        return EXIT_NONE
    if any(looked.fault for looked in result.looked):
        return EXIT_BUG
    worst = result.worst
    if worst is not None and worst >= Severity[plan.fail_on.upper()]:
        return EXIT_FOUND
    if result.paths_in(State.UNMET):
        return EXIT_FOUND
    blind = result.paths_in(State.UNDECIDED) + result.paths_in(State.UNKNOWN_END)
    api_failed = api_asked and result.coverage.api != "ok"
    missing = max(result.missing_share, result.unmeasured_share)
    return EXIT_SOME if blind or api_failed or missing > plan.fail_percent else 0
