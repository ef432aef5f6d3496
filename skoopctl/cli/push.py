"""``skoopctl push``: metrics of all nodes, for as long as it runs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.pushing.config import PushConfig
    from skoopctl.pushing.load import Wanted
    from skoopctl.pushing.surroundings import Fleet, Surroundings
    from skoopctl.transport.choice import RealTransports

_EPILOG = """\b
Examples:
  skoopctl push /etc/skoopctl/push.yaml
  skoopctl push -i inventory.yaml --gateway http://pushgateway:9091
  skoopctl push -i inventory.yaml --listen 127.0.0.1:9102 --probe tcp --probe tcpext
  skoopctl push push.yaml --check
  skoopctl push --kubeskoop-config config.yaml -i inventory.yaml --listen 127.0.0.1:9102 --check
  skoopctl push -i inventory.yaml --once > /var/lib/node_exporter/skoopctl.prom

\b
Signals: HUP reads the configuration and the inventory again · TERM and INT end it, after a last push
Exit status: 0 ended as asked · 2 usage, inventory or configuration · with --once: 3 some nodes or pushes failed,
4 all of them · 70 a bug · 130 interrupted
"""


@click.command(epilog=_EPILOG)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@inventory_options(list_hosts=False)
@login_options()
@click.option(
    "--kubeskoop-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take probes and labels from KubeSkoop's configuration.",
)
@click.option("--kubeconfig", metavar="FILE", help="Name pods by the API, whatever the configuration says.")
@click.option("--cluster", metavar="NAME", help="The cluster's name in groups at the gateway.")
@click.option("--gateway", metavar="URL", help="A Pushgateway, instead of the configuration's.")
@click.option("--listen", metavar="ADDRESS", help="Serve /metrics, /status and /healthz on HOST:PORT.")
@click.option(
    "--insecure", is_flag=True, help="Let --listen be reached by others without a password and TLS."
)
@click.option("--interval", type=click.FloatRange(1, 3600), metavar="SECONDS", help="Between two rounds.")
@click.option("-p", "--probe", "probes", multiple=True, metavar="NAME", help="Only these probes.")
@click.option("--once", is_flag=True, help="One round of every node, pushed or else printed; then end.")
@click.option("-C", "--check", is_flag=True, help="Print what would be done; ask nobody, push nothing.")
@click.option("--delete", is_flag=True, help="Delete this cluster's groups at the gateway, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="With --check: print one JSON object.")
@click.option("--log-json", is_flag=True, help="Write the log as a JSON object a line.")
def push(
    *,
    config: Path | None,
    aim: Aim,
    login: LoginFlags,
    kubeskoop_config: Path | None,
    kubeconfig: str | None,
    cluster: str | None,
    gateway: str | None,
    listen: str | None,
    insecure: bool,
    interval: float | None,
    probes: tuple[str, ...],
    once: bool,
    check: bool,
    delete: bool,
    as_json: bool,
    log_json: bool,
) -> int:
    """Measure all nodes again and again, and hand the series to a Pushgateway, a page, or both.

    CONFIG is a YAML file; flags win over it. One connection to each node is kept, and nothing is installed there.
    """
    from skoopctl.pushing.load import Wanted, load_config

    if sum((once, check, delete)) > 1:
        raise UsageError("--once, --check and --delete exclude each other")
    if as_json and not check:
        raise UsageError("--json goes with --check")
    wanted = Wanted(
        file=config,
        kubeskoop=kubeskoop_config,
        inventories=aim.sources,
        hosts=aim.limit,
        cluster=cluster,
        kubeconfig=kubeconfig,
        gateway=gateway,
        listen=listen,
        insecure=insecure,
        interval=interval,
        probes=probes,
        once=once or delete,
    )
    loaded = load_config(wanted)
    for note in loaded.notes:
        click.echo(f"skoopctl: note: {note}", err=True)
    fleet = _fleet(loaded.config, aim, login)
    if check:
        from skoopctl.pushing.check import check_text, checked

        found = checked(loaded.config, fleet)
        click.echo(json.dumps(found, indent=2) if as_json else check_text(found, loaded.config), nl=as_json)
        return 0
    return _run(loaded.config, fleet, _around(wanted, aim, login, fleet), once, delete, log_json)


def _run(
    config: PushConfig, fleet: Fleet, around: Surroundings, once: bool, delete: bool, log_json: bool
) -> int:
    from skoopctl.pushing.journal import Journal
    from skoopctl.pushing.notify import Notifier

    # Cron mails what is printed: with --once, only what went wrong.
    journal = Journal(sys.stderr, as_json=log_json, unsaid=frozenset({"up"} if once else ()))
    if delete:
        from skoopctl.pushing.deleting import delete_groups

        return delete_groups(config, fleet, journal)
    if once:
        from skoopctl.pushing.once import run_once

        write = sys.stdout.buffer.write
        return asyncio.run(run_once(config, fleet, around, journal, write=write))
    from skoopctl.pushing.service import Service

    async def serve() -> int:
        return await Service(config, fleet, around, journal, Notifier()).run()

    return asyncio.run(serve())


def _fleet(config: PushConfig, aim: Aim, login: LoginFlags) -> Fleet:
    """Return the hosts that are meant: the inventories' own, as the flags change them."""
    from skoopctl.pushing.surroundings import Fleet

    sources = Aim(tuple(config.inventories), None, aim.playbook_dir, skip_vaulted=aim.skip_vaulted)
    inventory = sources.load(quiet=True)
    hosts = login.applied(inventory.select(config.hosts))
    return Fleet(hosts, config.cluster or inventory.name)


def _around(wanted: Wanted, aim: Aim, login: LoginFlags, fleet: Fleet) -> Surroundings:
    """Return what the service gets from outside. Whoever must be asked for a password is asked now, once."""
    from skoopctl.pushing.load import load_config
    from skoopctl.pushing.surroundings import Lists, Surroundings

    made = login.transports(fleet.hosts)
    fresh = [made]

    def transports() -> RealTransports:
        return fresh.pop() if fresh else made.renewed()

    return Surroundings(
        config=lambda: load_config(wanted),
        fleet=lambda config: _fleet(config, aim, login),
        transports=transports,
        names=Lists(),
    )
