"""``skoopctl collect``: ask the nodes once and keep what they said in a bundle."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.cli.deadlines import deadline_options
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.evidence.bundle import Bundle
    from skoopctl.inventory import InventoryHost
    from skoopctl.transport.base import Deadlines, HostResult

SCHEMA = "skoopctl.collection/1"
EXIT_SOME, EXIT_NONE = 3, 4


@click.command()
@inventory_options(required=True)
@click.option("-o", "--output", metavar="FILE", help="The bundle; default skoop-<UTC time>.skoop here.")
@click.option(
    "--kubeconfig", metavar="FILE", help="Also keep the API's nodes, pods, services, slices, policies."
)
@login_options()
@click.option("-f", "--forks", type=click.IntRange(min=1), help="Hosts at a time; default all, at most 100.")
@deadline_options()
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no recap.")
def collect(
    *,
    aim: Aim,
    output: str | None,
    kubeconfig: str | None,
    forks: int | None,
    as_json: bool,
    quiet: bool,
    login: LoginFlags,
    deadlines: Deadlines,
) -> int:
    """Collect evidence from nodes into a bundle.

    Nothing is changed on the nodes and nothing is left there. The file's name is printed on standard output.
    Exit status: 0 every host answered wholly, 3 some did not, 4 none did (then no file is written).
    """
    import asyncio

    from skoopctl.evidence import collect as live
    from skoopctl.evidence import write_bundle

    if aim.list_hosts:
        click.echo(aim.listed(quiet=quiet))
        return 0
    target = _checked_output(output)
    hosts = login.applied(aim.hosts(quiet=quiet))
    progress = Progress(sys.stderr) if sys.stderr.isatty() and not quiet else None
    bundle = asyncio.run(
        live.collect(
            hosts,
            deadlines=deadlines,
            forks=forks,
            observer=progress,
            transports=login.transports(hosts),
            inventory=aim.label,
            kubeconfig=kubeconfig,
        )
    )
    file = target or Path(f"skoop-{bundle.created.astimezone(UTC):%Y%m%dT%H%M%SZ}.skoop")
    if bundle.collected:
        write_bundle(file, bundle)
    if not quiet:
        click.echo(recap(bundle), err=True)
    if as_json:
        click.echo(json.dumps(summary(bundle, file if bundle.collected else None), indent=2))
    elif bundle.collected:
        click.echo(str(file))
    return exit_code(bundle)


def exit_code(bundle: Bundle) -> int:
    """Return the exit status that a collection gives by itself."""
    if not bundle.collected:
        return EXIT_NONE
    return EXIT_SOME if bundle.whole < len(bundle.results) or bundle.cluster_problem else 0


def recap(bundle: Bundle) -> str:
    """Return a line per host and the coverage, for people."""
    width = max((len(name) for name in bundle.results), default=0)
    lines = []
    for name, record in bundle.results.items():
        items = f"{len(record.evidence.items)} items"
        line = (
            f"{name:<{width}}  {record.status:<11}  {items:>10}  {record.elapsed_s:6.2f} s  {record.detail}"
        )
        lines.append(line.rstrip())
    if bundle.cluster:
        lines.append(f"API: {', '.join(bundle.cluster)}")
    if bundle.cluster_problem:
        lines.append(f"API: {bundle.cluster_problem}")
    return "\n".join([*lines, f"{bundle.coverage()}."])


def summary(bundle: Bundle, file: Path | None) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "schema": SCHEMA,
        "file": None if file is None else str(file),
        "created": bundle.created.isoformat(),
        "tool_version": bundle.tool_version,
        "coverage": {"hosts": len(bundle.results), "collected": bundle.collected, "whole": bundle.whole},
        "hosts": [
            {
                "host": name,
                "status": record.status,
                "detail": record.detail,
                "items": len(record.evidence.items),
                "namespaces": len(record.evidence.namespaces()),
                "elapsed_s": round(record.elapsed_s, 3),
            }
            for name, record in bundle.results.items()
        ],
        "cluster": list(bundle.cluster),
        "cluster_problem": bundle.cluster_problem,
    }


class Progress:
    """One line on a terminal that counts hosts while they answer.

    With ``tell``, who did not answer has a line at once: a run may take minutes.
    """

    def __init__(self, stream: TextIO, *, tell: bool = False) -> None:
        self.stream = stream
        self.tell = tell
        self.total = 0
        self.done = 0

    def run_started(self, hosts: Sequence[InventoryHost]) -> None:
        """Show how many there are."""
        self.total = len(hosts)
        self._show("")

    def host_started(self, host: InventoryHost) -> None:
        """Nothing: hosts start faster than anybody reads."""

    def host_finished(self, result: HostResult) -> None:
        """Count one more."""
        self.done += 1
        if self.tell and result.error is not None:
            from skoopctl.evidence.untrusted import printable

            self.stream.write(f"\r\x1b[K{result.status}: {printable(str(result.error))}\n")
        self._show(f"  {result.host} {result.status}")

    def run_finished(self, results: Sequence[HostResult]) -> None:  # noqa: ARG002 - the observer's signature
        """Leave the line empty."""
        self.stream.write("\r\x1b[K")
        self.stream.flush()

    def _show(self, last: str) -> None:
        self.stream.write(f"\r\x1b[Kcollecting {self.done}/{self.total}{last[:60]}")
        self.stream.flush()


def _checked_output(output: str | None) -> Path | None:
    """Refuse, before any host is asked, a file that cannot be written in the end."""
    if output is None:
        return None
    if output == "-":
        raise UsageError(
            "-o -: a bundle is a file, not a stream", hint="name a file, such as -o cluster.skoop"
        )
    target = Path(output)
    if target.is_dir():
        raise UsageError(
            f"-o {output}: is a folder", hint=f"name a file in it, such as {target / 'cluster.skoop'}"
        )
    if not target.absolute().parent.is_dir():
        raise UsageError(f"-o {output}: there is no folder {target.parent}", hint="make it first")
    return target
