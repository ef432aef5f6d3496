"""``skoopctl diff``: what differs between two bundles, in terms of the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from skoopctl.cli.terminal import in_color
from skoopctl.errors import EvidenceError, UsageError

if TYPE_CHECKING:
    from skoopctl.checks.snapshot import Snapshot

EXIT_DIFFERS = 1


@click.command(epilog="Example: skoopctl diff before.skoop after.skoop --only iptables,route")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts: names, globs, a:b, !x, &x.")
@click.option("--only", metavar="KIND,…", help="Only these kinds of things; 'help' lists them.")
@click.option("--all", "volatile", is_flag=True, help="Also what changes by itself, such as connections.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, schema skoopctl.diff/1.")
def diff(*, a: str, b: str, limit: str | None, only: str | None, volatile: bool, as_json: bool) -> int:
    """Show what differs from bundle A to bundle B.

    Hosts are compared by name, network namespaces by their pod. What one bundle could not see is shown as not seen,
    never as removed. Exit status: 0 no difference, 1 differences, 2 usage, or nothing that can be compared.
    """
    from skoopctl.changes import difference
    from skoopctl.changes.difference import KIND_NAMES
    from skoopctl.checks.load import snapshot_of
    from skoopctl.evidence import read_bundle

    if only == "help":
        click.echo("\n".join(KIND_NAMES))
        return 0
    kinds = _kinds(only, KIND_NAMES)
    before, after = (snapshot_of(read_bundle(file)) for file in (a, b))
    found = difference(before, after, kinds=kinds, hosts=_hosts(limit, before, after), volatile=volatile)
    if not found.hosts and not found.objects:
        raise EvidenceError(f"{a} and {b} have no host in common", hint="nothing can be compared")
    if as_json:
        from skoopctl.report.difference_json import difference_json

        click.echo(json.dumps(difference_json(found, a=a, b=b), indent=2))
    else:
        from skoopctl.report.difference import render_difference

        color = in_color()
        click.echo(render_difference(found, color=color), nl=False, color=color)
    return EXIT_DIFFERS if found.differs else 0


def _kinds(only: str | None, known: tuple[str, ...]) -> frozenset[str] | None:
    if only is None:
        return None
    wanted = frozenset(word.strip() for word in only.split(",") if word.strip())
    unknown = sorted(wanted - set(known))
    if unknown or not wanted:
        raise UsageError(
            f"--only {only}: there is no kind {', '.join(unknown) or 'in it'}",
            hint=f"there are {', '.join(known)}",
        )
    return wanted


def _hosts(limit: str | None, before: Snapshot, after: Snapshot) -> frozenset[str] | None:
    """Return the hosts that a pattern chooses among those of both bundles."""
    if limit is None:
        return None
    from skoopctl.inventory import InventoryHost
    from skoopctl.inventory.selection import Inventory

    names = dict.fromkeys(row.host for snapshot in (before, after) for row in snapshot.coverage.hosts)
    inventory = Inventory("bundles", "--limit", tuple(InventoryHost(name, name) for name in names))
    return frozenset(host.name for host in inventory.select(limit))
