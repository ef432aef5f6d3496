"""``skoopctl probe list``: which probes there are, and how each fares on nodes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.cli.deadlines import deadline_options
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.cli.probe_options import complete_probe
from skoopctl.cli.terminal import in_color

if TYPE_CHECKING:
    from skoopctl.bpf.catalogue import BpfProbe
    from skoopctl.inventory import InventoryHost
    from skoopctl.probes.metric import Probe
    from skoopctl.transport.base import Deadlines

EXIT_SOME, EXIT_NONE = 3, 4


@click.command("list", epilog="Example: skoopctl probe list -i inventory.yaml -l workers")
@click.argument("names", nargs=-1, metavar="[PROBE]...", shell_complete=complete_probe)
@inventory_options()
@login_options()
@click.option("-f", "--forks", type=click.IntRange(min=1), help="Logins at a time; default all, at most 100.")
@deadline_options(("connect", "program", "run"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schema skoopctl.probe-list/1).")
@click.option("-q", "--quiet", is_flag=True, help="No notes about the inventory.")
def probe_list(
    *,
    names: tuple[str, ...],
    aim: Aim,
    login: LoginFlags,
    forks: int | None,
    deadlines: Deadlines,
    as_json: bool,
    quiet: bool,
) -> int:
    """Show which probes there are; with an inventory, how each fares on its nodes.

    PROBE shows that one with its metrics. With -i, each node is asked for one round, and event probes are started
    there for a moment: a probe is available, degraded (some namespaces, processes or hooks could not be had) or
    unavailable, and why. Exit status: 0 done, 2 usage or
    inventory, 3 some nodes gave no answer, 4 none did.
    """
    from skoopctl.events.catalogue import EVENT_PROBES, known_names, parted
    from skoopctl.events.listing import event_probes_object
    from skoopctl.probes.as_json import listing_object
    from skoopctl.probes.catalogue import probes_named

    if aim.list_hosts:
        click.echo(aim.listed(quiet=quiet))
        return 0
    metrics, events = parted(names or known_names())
    probes = probes_named(metrics)
    event_probes = [EVENT_PROBES[name] for name in events]
    nodes = None
    if aim.sources:
        hosts = login.applied(aim.hosts(quiet=quiet or as_json))
        nodes = _asked(hosts, metrics, events, login=login, forks=forks, deadlines=deadlines)
    if as_json:
        click.echo(json.dumps(listing_object(probes, nodes, event_probes_object(event_probes)), indent=2))
    else:
        click.echo(_text(probes, event_probes, nodes, detailed=bool(names)), nl=False)
    return _exit_code(nodes)


def _asked(
    hosts: tuple[InventoryHost, ...],
    probes: tuple[str, ...],
    events: tuple[str, ...],
    *,
    login: LoginFlags,
    forks: int | None,
    deadlines: Deadlines,
) -> list[dict[str, Any]]:
    """Ask each node for one round; return how that went, in the hosts' order."""
    import asyncio

    from skoopctl.probes.as_json import node_object
    from skoopctl.watching.observation import Observation, kind_of
    from skoopctl.watching.one_round import ask_once

    observation = Observation(probes, hosts, events=events)
    asyncio.run(ask_once(observation, transports=login.transports(hosts), deadlines=deadlines, forks=forks))
    return [
        node_object(view.name, view.host.address, "ok", "", view.availability())
        if view.rounds
        else node_object(
            view.name,
            view.host.address,
            kind_of(view.error),
            view.why or f"no answer within the run deadline of {deadlines.run_s:g} s",
            view.availability(),
        )
        for view in observation.nodes.values()
    ]


def _exit_code(nodes: list[dict[str, Any]] | None) -> int:
    silent = sum(node["status"] != "ok" for node in nodes or ())
    if not silent:
        return 0
    return EXIT_NONE if silent == len(nodes or ()) else EXIT_SOME


def _text(
    probes: tuple[Probe, ...],
    event_probes: list[BpfProbe],
    nodes: list[dict[str, Any]] | None,
    *,
    detailed: bool,
) -> str:
    from skoopctl.cli.probe_listing import listing_lines, node_lines
    from skoopctl.report.terminal import painted

    width = min(shutil.get_terminal_size((110, 24)).columns, 130)
    color = in_color()
    shown = (
        node_lines(nodes, width=width)
        if nodes is not None
        else listing_lines(probes, event_probes, detailed, width=width)
    )
    return painted(shown, color=color)
