"""``skoopctl node prepare`` and ``node clean``: the only commands that change a node. They show all, then ask."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.cli.options import with_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.inventory import InventoryHost
    from skoopctl.prepare.row import Row

SCHEMA = "skoopctl.node/1"

_Decorated = Callable[..., Any]


def _common(command: _Decorated) -> _Decorated:
    """Add the options that both commands have."""
    options = (
        click.option("-C", "--check", is_flag=True, help="Show what would be done, and do nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON (schema skoopctl.node/1)."),
    )
    command = with_options(command, options)
    return inventory_options(required=True, list_hosts=False)(login_options(secrets=False)(command))


@click.group(epilog="Example: skoopctl node prepare -i inventory.yaml -l workers --check")
def node() -> None:
    """Install on nodes what skoopctl can use, and remove it.

    Nothing else of skoopctl changes a node, and nothing else needs this.
    """


@node.command(epilog="Example: skoopctl node prepare -i inventory.yaml -l node7 --packages nft,ipset")
@_common
@click.option(
    "--packages",
    default="iptables,nft",
    show_default=True,
    metavar="NAMES|all",
    help="bcc, iptables, nft, ipset, conntrack, ipvsadm, with commas between.",
)
def prepare(*, aim: Aim, login: LoginFlags, check: bool, yes: bool, as_json: bool, packages: str) -> int:
    """Install packages on nodes, and remember which were not there before.

    Shows the commands of each node and asks first. A node on which a package that is there would be updated or
    removed by it is left alone. Exit status: 0 done, 1 refused or failed somewhere, 3 some nodes could not be
    reached, 4 none.
    """
    from skoopctl.prepare import install
    from skoopctl.prepare.packages import asked_for
    from skoopctl.prepare.record import Record

    names, record = asked_for(packages), Record()
    return _run(
        "prepare",
        _hosts(aim, login),
        lambda host: install.plan(host, names),
        lambda host, shown: install.install(host, names, shown, record),
        check=check,
        yes=yes,
        as_json=as_json,
    )


@node.command(epilog="Example: skoopctl node clean -i inventory.yaml -l all")
@_common
def clean(*, aim: Aim, login: LoginFlags, check: bool, yes: bool, as_json: bool) -> int:
    """Remove from nodes exactly what prepare has installed.

    Shows the commands of each node and asks first. A node on which anything else would be removed along is left
    alone. Exit status as of prepare.
    """
    from skoopctl.prepare import clean as cleaning
    from skoopctl.prepare.record import Record

    record = Record()
    return _run(
        "clean",
        _hosts(aim, login),
        lambda host: cleaning.plan(host, record, forget=not check),
        lambda host, shown: cleaning.clean(host, shown, record),
        check=check,
        yes=yes,
        as_json=as_json,
    )


def _hosts(aim: Aim, login: LoginFlags) -> tuple[InventoryHost, ...]:
    """Return the nodes, which must have been named: what changes a node has no default for which."""
    if aim.limit is None:
        raise UsageError("-l PATTERN is not given: which nodes?", hint="all of them are -l all")
    return login.applied(aim.hosts())


def _run(
    action: str,
    hosts: Sequence[InventoryHost],
    plan: Callable[[InventoryHost], Row],
    act: Callable[[InventoryHost, Row], Row],
    *,
    check: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Look at every node, show what would be done, ask, do it; return the exit status."""
    from skoopctl.prepare.hosts import on_each
    from skoopctl.prepare.row import State, exit_code

    if not check and not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError(
            f"node {action} asks before it changes a node, and there is nobody to ask",
            hint="--check shows what would be done, --yes does it",
        )
    rows = on_each(hosts, plan)
    todo = {row.node: row for row in rows if row.state is State.PLANNED}
    if not as_json:
        click.echo("".join(map(_text, rows)), nl=False)
    if todo and not check and (yes or _agreed(action, len(todo))):
        done = on_each([host for host in hosts if host.name in todo], lambda host: act(host, todo[host.name]))
        if not as_json:
            click.echo("".join(map(_text, done)), nl=False)
        by_name = {row.node: row for row in done}
        rows = [by_name.get(row.node, row) for row in rows]
    if as_json:
        click.echo(json.dumps(_object(action, rows), indent=2))
    return exit_code(rows)


def _agreed(action: str, nodes: int) -> bool:
    what = "Install on" if action == "prepare" else "Remove from"
    return click.confirm(f"{what} {nodes} node{'s' if nodes > 1 else ''}?", default=False, err=True)


def _text(row: Row) -> str:
    """Return a row for people: on a plan, with every command as it would be run."""
    from skoopctl.prepare.row import State
    from skoopctl.report.escape import escape_terminal

    lines = [f"{row.node}: {row.state}: {row.detail}"]
    if row.packages:
        lines.append(f"    {' '.join(row.packages)}")
    if row.state is State.PLANNED:
        lines += [f"    # {shlex.join(command)}" for command in row.commands]
    return "".join(f"{escape_terminal(line)}\n" for line in lines)


def _object(action: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "action": action,
        "nodes": [
            {
                "node": row.node,
                "state": str(row.state),
                "detail": row.detail,
                "packages": list(row.packages),
                "commands": [list(command) for command in row.commands],
            }
            for row in rows
        ],
    }
