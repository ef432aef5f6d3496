"""``skoopctl lab``: a cluster of network namespaces to try things on."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from skoopctl.lab import Lab


@click.group()
def lab() -> None:
    """Build a cluster of network namespaces to try things on: SSH servers, pods, kube-proxy's rules.

    Nothing of it reaches the machine's own network. It takes root.
    """


@lab.command()
@click.option(
    "--nodes", default=3, show_default=True, metavar="N", help="Nodes, the control plane included (3 to 60)."
)
@click.option(
    "--proxy",
    type=click.Choice(["iptables", "nftables"]),
    default="iptables",
    show_default=True,
    help="How kube-proxy writes its rules.",
)
@click.option(
    "--backend",
    type=click.Choice(["vxlan", "host-gw"]),
    default="vxlan",
    show_default=True,
    help="How pods' packets travel between nodes.",
)
@click.option(
    "--iptables",
    "flavour",
    type=click.Choice(["nft", "legacy"]),
    default="nft",
    show_default=True,
    help="Which of the kernel's two rule stores iptables writes to.",
)
@click.option("--replace", is_flag=True, help="Take down the lab that is there first.")
@click.option("--json", "as_json", is_flag=True, help="Print the lab as JSON.")
def up(*, nodes: int, proxy: str, backend: str, flavour: str, replace: bool, as_json: bool) -> None:
    """Build a lab."""
    from skoopctl.lab import Backend, IptablesFlavour, LabOptions, ProxyMode
    from skoopctl.lab import up as build

    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    options = LabOptions(nodes, ProxyMode(proxy), Backend(backend), IptablesFlavour(flavour))
    built = build(options, lambda step: click.echo(f"lab: {step}", err=True), replace=replace)
    _show(built, as_json)


@lab.command()
@click.option("--dead", is_flag=True, help="Only if nothing runs in it: what a crash has left.")
def down(*, dead: bool) -> None:
    """Take the lab down, whole or half built, and leave nothing of it."""
    from skoopctl.lab import down as take_down

    none = "there was no dead one" if dead else "there was none"
    click.echo(f"lab: {'gone' if take_down(only_dead=dead) else none}", err=True)


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Print the lab as JSON.")
def status(as_json: bool) -> None:
    """Show what is in the lab, and which faults are applied."""
    from skoopctl.lab import Lab

    _show(Lab.load(), as_json)


@lab.group()
def fault() -> None:
    """Break the lab in known ways, and mend it."""


@fault.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the faults as JSON.")
def fault_list(as_json: bool) -> None:
    """Show every fault, what it runs, and what undoes it."""
    from skoopctl.lab import fault_rows

    rows = fault_rows()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        mark = "*" if row["applied"] else " "
        click.echo(f"{mark} {row['name']}: {row['title']}{' (harmless)' if row['harmless'] else ''}")
        for step in row["runs"]:
            click.echo(f"      {step}")


@fault.command("apply")
@click.argument("name")
def fault_apply(name: str) -> None:
    """Break the lab with the fault NAME."""
    from skoopctl.lab import apply_fault

    applied = apply_fault(name)
    if applied is None:
        click.echo(f"lab: {name} is applied already", err=True)
        return
    for step in applied.steps:
        click.echo(f"lab: {step}", err=True)


@fault.command("undo")
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Undo all faults, the last one first.")
def fault_undo(name: str | None, every: bool) -> None:
    """Mend what the fault NAME broke."""
    from skoopctl.lab import Lab, undo_fault

    if (name is None) == (not every):
        raise click.UsageError("give the name of one fault, or --all")
    names = list(reversed(Lab.load().applied_faults())) if name is None else [name]
    for each in names:
        undone = undo_fault(each)
        click.echo(f"lab: {each} is undone" if undone else f"lab: {each} was not applied", err=True)


def _interrupt(*_: object) -> NoReturn:
    """Treat a polite end as an interrupt, so that what was built is taken down."""
    raise KeyboardInterrupt


def _show(running: Lab, as_json: bool) -> None:
    """Print the lab as JSON, or as tables with commands to try."""
    if as_json:
        click.echo(json.dumps(running.summary(), indent=2))
        return
    summary = running.summary()
    for title, columns in TABLES.items():
        click.echo(f"{title}\n{_table(summary[title.lower()], columns)}\n")
    options, faults = summary["options"], ", ".join(summary["faults"]) or "none"
    click.echo(f"kube-proxy: {options['proxy']}; network: {options['backend']}; faults: {faults}")
    click.echo(f"pods' UIDs can be read from: {summary['pod_identity']}")
    click.echo(f"inventory: {summary['inventory']}\nkubeconfig: {summary['kubeconfig']}\n\nTry:")
    for line in TRY:
        click.echo(f"  {line}")


TABLES = {
    "Hosts": ("name", "address", "pod_cidr", "role"),
    "Pods": ("namespace", "name", "node", "address", "ports", "ready"),
    "Services": ("namespace", "name", "type", "cluster_ip", "ports", "external", "policy"),
}

TRY = (
    "skoopctl diagnose -i lab -s 10.244.3.70 -d 10.244.2.201 -p 8080",
    "skoopctl lab fault apply input-drop",
    "skoopctl lab down",
)


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Return some columns of the summary's rows, aligned; never cut, whatever the terminal's width."""
    head = [column.replace("_", " ").upper() for column in columns]
    cells = [head, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _cell(value: Any) -> str:
    """Return a value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
