"""Where a command's evidence comes from: a bundle on disk, or hosts asked now."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.cli.login import LoginFlags
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.checks.snapshot import Snapshot
    from skoopctl.evidence.bundle import Bundle


def gather(
    inventory: str | None,
    bundle: str | None,
    *,
    limit: str | None = None,
    kubeconfig: str | None = None,
    save: str | None = None,
    quiet: bool = False,
    login: LoginFlags | None = None,
) -> Snapshot:
    """Return the decoded evidence that the flags ask for."""
    from skoopctl.checks.load import snapshot_of

    if (inventory is None) == (bundle is None):
        raise UsageError(
            "give either -i INVENTORY or --bundle FILE", hint="'skoopctl collect' makes a bundle"
        )
    if bundle is not None:
        for flag, value in (("--limit", limit), ("--kubeconfig", kubeconfig), ("--save", save)):
            if value is not None:
                raise UsageError(f"{flag} goes with -i, not with --bundle")
        if flags := (login or LoginFlags()).given():
            raise UsageError(f"{flags[0]} goes with -i, not with --bundle")
        from skoopctl.evidence import read_bundle

        return snapshot_of(read_bundle(bundle))
    collected = _collect(str(inventory), limit, kubeconfig, quiet, login or LoginFlags())
    if save is not None:
        from skoopctl.evidence import write_bundle

        write_bundle(save, collected)
    _say_what_is_missing(collected, quiet)
    return snapshot_of(collected)


def _collect(
    inventory: str, limit: str | None, kubeconfig: str | None, quiet: bool, login: LoginFlags
) -> Bundle:
    import asyncio

    from skoopctl.cli.collect import LAB_INVENTORY, Progress, inventory_path
    from skoopctl.evidence.collect import collect
    from skoopctl.inventory import load_inventory

    source = inventory_path(inventory)
    lab_config = LAB_INVENTORY.with_name("kubeconfig")
    if kubeconfig is None and inventory == "lab" and lab_config.is_file():
        kubeconfig = str(lab_config)
    if kubeconfig is not None and not Path(kubeconfig).expanduser().is_file():
        raise UsageError(f"--kubeconfig {kubeconfig}: there is no such file")
    progress = Progress(sys.stderr) if sys.stderr.isatty() and not quiet else None
    hosts = login.applied(load_inventory(source).select(limit))
    transports = login.transports(hosts)
    return asyncio.run(
        collect(hosts, observer=progress, inventory=str(source), kubeconfig=kubeconfig, transports=transports)
    )


def _say_what_is_missing(bundle: Bundle, quiet: bool) -> None:
    """One line for each host that did not answer wholly."""
    if quiet:
        return
    for name, record in bundle.results.items():
        if record.detail:
            click.echo(f"skoopctl: {name}: {record.status.value}: {record.detail}", err=True)
    if bundle.cluster_problem:
        click.echo(f"skoopctl: {bundle.cluster_problem}", err=True)
