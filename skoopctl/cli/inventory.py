"""``skoopctl inventory``: who would be asked, and where that is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.inventory import Inventory, InventoryHost

SCHEMA = "skoopctl.inventory/1"
FIELDS = (
    *("address", "port", "user", "connection", "jump", "key_file", "known_hosts", "accept_new"),
    *("become", "become_user", "become_method", "python", "netns"),
)
"""The fields of a host that are shown, in this order."""
_DEFAULTS = {
    "address": "the host's name",
    "port": "~/.ssh/config, then 22",
    "user": "~/.ssh/config, then your own name",
    "jump": "~/.ssh/config",
    "key_file": "~/.ssh/config, the agent, the default keys",
    "known_hosts": "~/.ssh/known_hosts and the system's",
    "python": "looked for on the node",
    "become_user": "root",
}
"""What decides a field that the inventory leaves open."""

_EPILOG = """\b
Examples:
  skoopctl inventory list -i hosts.ini -l 'workers:!worker-02'
  skoopctl inventory list -i inventory/ -i site.yaml --json
  skoopctl inventory graph -i hosts.ini
  skoopctl inventory show -i hosts.ini worker-01
"""


@click.group(epilog=_EPILOG)
def inventory() -> None:
    """Show who would be asked: hosts, groups, and where each setting is written.

    No host is asked. Values of variables that do not decide a login are never printed.
    """


@inventory.command("list", epilog="Example: skoopctl inventory list -i hosts.ini -l workers")
@inventory_options(required=True, list_hosts=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, schema skoopctl.inventory/1.")
def list_(*, aim: Aim, as_json: bool) -> None:
    """List hosts with address, port, user and groups."""
    loaded = aim.load(quiet=as_json)
    hosts = loaded.select(aim.limit)
    click.echo(json.dumps(to_json(loaded, hosts), indent=2) if as_json else table(hosts))


@inventory.command(epilog="Example: skoopctl inventory graph -i hosts.ini workers")
@inventory_options(required=True, list_hosts=False)
@click.argument("group", default="all")
def graph(*, aim: Aim, group: str) -> None:
    """Print the tree of groups and hosts, from GROUP down; default all."""
    loaded = aim.load()
    if group not in loaded.branches:
        import difflib

        near = difflib.get_close_matches(group, loaded.branches, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(loaded.branches)}"
        raise UsageError(f"there is no group {group!r}", hint=hint)
    chosen = None if aim.limit is None else {host.name for host in loaded.select(aim.limit)}
    click.echo("\n".join(_tree(loaded, group, chosen, 0)))


@inventory.command(epilog="Example: skoopctl inventory show -i hosts.ini worker-01")
@inventory_options(required=True, list_hosts=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, schema skoopctl.inventory/1.")
@click.argument("host")
def show(*, aim: Aim, as_json: bool, host: str) -> None:
    """Show every setting of HOST, and the file and line that decide it."""
    loaded = aim.load(quiet=as_json)
    found = [one for one in loaded.select(aim.limit) if one.name == host] or list(loaded.select(host))
    if len(found) > 1:
        raise UsageError(f"{host!r} stands for {len(found)} hosts", hint=f"name one, such as {found[0].name}")
    click.echo(json.dumps(to_json(loaded, found), indent=2) if as_json else page(found[0]))


def to_json(loaded: Inventory, hosts: Sequence[InventoryHost]) -> dict[str, Any]:
    """Return what ``--json`` prints: no values of variables that are not ours."""
    names = {host.name for host in hosts}
    return {
        "schema": SCHEMA,
        "inventory": loaded.path,
        "notes": list(loaded.notes),
        "hosts": [
            {
                "name": host.name,
                **{name: getattr(host, name) for name in FIELDS},
                "port_given": host.port_given,
                "groups": list(host.groups),
                "variables": sorted(host.variables),
                "origins": dict(host.origins),
            }
            for host in hosts
        ],
        "groups": {
            name: {"children": list(branch.groups), "hosts": [one for one in branch.hosts if one in names]}
            for name, branch in loaded.branches.items()
        },
    }


def table(hosts: Sequence[InventoryHost]) -> str:
    """Return a line a host, for people."""
    rows = [("HOST", "ADDRESS", "PORT", "USER", "GROUPS"), *map(_row, hosts)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(host: InventoryHost) -> tuple[str, str, str, str, str]:
    if host.connection == "local":
        return host.name, "local", "-", "-", ",".join(host.groups)
    port = str(host.port) if host.port_given else "-"
    return host.name, host.address, port, host.user or "-", ",".join(host.groups)


def page(host: InventoryHost) -> str:
    """Return one host in full: each field, its value, and what decides it."""
    rows = [_field(host, name) for name in FIELDS]
    others = [(name, "", host.origins.get(name, "")) for name in sorted(host.variables)]
    width = max(len(row[0]) for row in (*rows, *others, ("become_method", "", "")))
    wide = max(len(row[1]) for row in rows)
    lines = [host.name, f"  {'groups':<{width}}  {', '.join(host.groups)}"]
    lines += [f"  {name:<{width}}  {value:<{wide}}  {origin}".rstrip() for name, value, origin in rows]
    if others:
        lines += ["variables, without their values"]
        lines += [f"  {name:<{width}}  {origin}" for name, _, origin in others]
    return "\n".join(lines)


def _field(host: InventoryHost, name: str) -> tuple[str, str, str]:
    origin = host.origins.get(name)
    if origin is None and name in _DEFAULTS:
        return name, host.name if name == "address" else "-", f"default: {_DEFAULTS[name]}"
    value = getattr(host, name)
    shown = ("no", "yes")[value] if isinstance(value, bool) else str(value or "-")
    return name, shown, origin or "default"


def _tree(loaded: Inventory, group: str, chosen: set[str] | None, depth: int) -> Iterator[str]:
    """Yield the lines of a group, as ``ansible-inventory --graph`` draws them."""
    yield _line(f"@{group}:", depth)
    branch = loaded.branches[group]
    for child in branch.groups:
        yield from _tree(loaded, child, chosen, depth + 1)
    for host in branch.hosts:
        if chosen is None or host in chosen:
            yield _line(host, depth + 1)


def _line(text: str, depth: int) -> str:
    return f"{'  |' * depth}--{text}" if depth else text
