"""Where a command's evidence comes from: a bundle on disk, or hosts asked now."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.cli.aim import LAB_INVENTORY, Aim
from skoopctl.cli.login import LoginFlags
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.checks.snapshot import Snapshot
    from skoopctl.evidence.bundle import Bundle
    from skoopctl.inventory import InventoryHost
    from skoopctl.transport.base import Deadlines, FleetObserver
    from skoopctl.transport.choice import RealTransports


@dataclass
class Asking:
    """Hosts that can be asked, once and again: secrets are asked for when it is made, and never after."""

    hosts: tuple[InventoryHost, ...]
    transports: RealTransports
    inventory: str
    kubeconfig: str | None
    deadlines: Deadlines | None
    _fresh: bool = True

    async def collect(self, observer: FleetObserver | None) -> Bundle:
        """Ask every host now."""
        from skoopctl.evidence.collect import collect

        transports = self.transports if self._fresh else self.transports.renewed()
        self._fresh = False
        return await collect(
            self.hosts,
            deadlines=self.deadlines,
            observer=observer,
            inventory=self.inventory,
            kubeconfig=self.kubeconfig,
            transports=transports,
        )


@dataclass(frozen=True, slots=True)
class Gathered:
    """Decoded evidence, and how to ask again, where hosts were asked."""

    snapshot: Snapshot
    asking: Asking | None = None


def gather(
    aim: Aim,
    bundle: str | None,
    *,
    kubeconfig: str | None = None,
    save: str | None = None,
    quiet: bool = False,
    login: LoginFlags | None = None,
    deadlines: Deadlines | None = None,
) -> Gathered:
    """Return the decoded evidence that the flags ask for."""
    from skoopctl.checks.load import snapshot_of

    if bool(aim.sources) == (bundle is not None):
        raise UsageError(
            "give either -i INVENTORY or --bundle FILE", hint="'skoopctl collect' makes a bundle"
        )
    known = login or LoginFlags()
    if bundle is not None:
        live = {"--kubeconfig": kubeconfig, "--save": save}
        for flag in (
            *aim.given(),
            *known.given(),
            *(flag for flag, value in live.items() if value is not None),
        ):
            raise UsageError(f"{flag} goes with -i, not with --bundle")
        from skoopctl.evidence import read_bundle

        return Gathered(snapshot_of(read_bundle(bundle)))
    asking = _asking(aim, kubeconfig, quiet, known, deadlines)
    collected = _collect(asking, quiet)
    if save is not None:
        from skoopctl.evidence import write_bundle

        write_bundle(save, collected)
    _say_what_is_missing(collected, quiet)
    return Gathered(snapshot_of(collected), asking)


def _asking(
    aim: Aim, kubeconfig: str | None, quiet: bool, login: LoginFlags, deadlines: Deadlines | None
) -> Asking:
    hosts = login.applied(aim.hosts(quiet=quiet))
    lab_config = LAB_INVENTORY.with_name("kubeconfig")
    if kubeconfig is None and aim.is_lab and lab_config.is_file():
        kubeconfig = str(lab_config)
    if kubeconfig is not None and not Path(kubeconfig).expanduser().is_file():
        raise UsageError(f"--kubeconfig {kubeconfig}: there is no such file")
    return Asking(hosts, login.transports(hosts), aim.label, kubeconfig, deadlines)


def _collect(asking: Asking, quiet: bool) -> Bundle:
    import asyncio

    from skoopctl.cli.collect import Progress

    progress = Progress(sys.stderr) if sys.stderr.isatty() and not quiet else None
    return asyncio.run(asking.collect(progress))


def _say_what_is_missing(bundle: Bundle, quiet: bool) -> None:
    """One line for each host that did not answer wholly."""
    if quiet:
        return
    for name, record in bundle.results.items():
        if record.detail:
            click.echo(f"skoopctl: {name}: {record.status.value}: {record.detail}", err=True)
    if bundle.cluster_problem:
        click.echo(f"skoopctl: {bundle.cluster_problem}", err=True)
