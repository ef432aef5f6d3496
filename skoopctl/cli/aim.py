"""The flags that say who is meant, the same for every command that asks nodes: ``-i``, ``-l``, ``--list-hosts``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skoopctl.cli.options import with_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.inventory import Inventory, InventoryHost

F = TypeVar("F", bound=Callable[..., Any])

LAB = "lab"
LAB_INVENTORY = Path("/run/skoopctl-lab/inventory.yaml")
MOST_NOTES = 10
SOURCES_HELP = (
    "Who to ask: an inventory file or folder, 'host1,host2', 'k8s:', or 'lab' for the built-in lab. "
    "May be given several times; the last wins."
)


@dataclass(frozen=True, slots=True)
class Aim:
    """Which hosts the flags mean. No host is asked for that."""

    sources: tuple[str, ...] = ()
    limit: str | None = None
    playbook_dir: str | None = None
    list_hosts: bool = False
    skip_vaulted: bool = False

    def given(self) -> list[str]:
        """Return the flags that were given beside ``-i``, as they are written."""
        flags = {
            "--limit": self.limit,
            "--playbook-dir": self.playbook_dir,
            "--list-hosts": self.list_hosts or None,
            "--skip-vaulted": self.skip_vaulted or None,
        }
        return [flag for flag, value in flags.items() if value is not None]

    @property
    def is_lab(self) -> bool:
        """Whether the built-in lab is meant, and nothing else."""
        return self.sources == (LAB,)

    @property
    def label(self) -> str:
        """What a bundle keeps of where its hosts came from."""
        return ", ".join(self._paths())

    def load(self, *, quiet: bool = False) -> Inventory:
        """Read the inventory; what it has to note is said on standard error, unless ``quiet``."""
        from skoopctl.inventory import load_inventory

        inventory = load_inventory(self._paths(), self.playbook_dir, skip_vaulted=self.skip_vaulted)
        if not quiet:
            notes = [*inventory.notes, *self._left_aside()]
            for note in notes[:MOST_NOTES]:
                click.echo(f"skoopctl: note: {note}", err=True)
            if len(notes) > MOST_NOTES:
                more = len(notes) - MOST_NOTES
                click.echo(f"skoopctl: note: and {more} more: skoopctl inventory list --json", err=True)
        return inventory

    def hosts(self, *, quiet: bool = False) -> tuple[InventoryHost, ...]:
        """Return the chosen hosts."""
        return self.load(quiet=quiet).select(self.limit)

    def listed(self, *, quiet: bool = False) -> str:
        """Return what ``--list-hosts`` prints: a name a line."""
        if not self.sources:
            raise UsageError("--list-hosts needs -i INVENTORY")
        return "\n".join(host.name for host in self.hosts(quiet=quiet))

    def _paths(self) -> list[str]:
        if LAB in self.sources and not LAB_INVENTORY.is_file():
            raise UsageError("-i lab: there is no lab here", hint="bring one up with: sudo skoopctl lab up")
        return [str(LAB_INVENTORY) if source == LAB else source for source in self.sources]

    def _left_aside(self) -> list[str]:
        """Note variables here that Ansible would read beside a playbook, and that no flag asks for."""
        if self.playbook_dir is not None:
            return []
        here = Path.cwd()
        files = [path for path in map(Path, self.sources) if path.exists()]
        folders = {(path if path.is_dir() else path.parent).absolute() for path in files}
        there = [name for name in ("group_vars", "host_vars") if (here / name).is_dir()]
        if not there or here in folders or not files:
            return []
        return [f"./{there[0]} is not read: it is not beside the inventory (--playbook-dir . reads it)"]


def inventory_options(*, required: bool = False, list_hosts: bool = True) -> Callable[[F], F]:
    """Give a command the flags; it gets them as ``aim``, an :class:`Aim`."""
    options = [
        click.option(
            *("-i", "--inventory"), multiple=True, required=required, metavar="SOURCE", help=SOURCES_HELP
        ),
        click.option(
            *("-l", "--limit"),
            metavar="PATTERN",
            help="Only these hosts: names, groups, globs, a:b, !x, &x, @file.",
        ),
        click.option(
            "--playbook-dir", metavar="DIR", help="Also read group_vars and host_vars of this folder."
        ),
        click.option(
            "--skip-vaulted", is_flag=True, help="Leave out encrypted files in group_vars and host_vars."
        ),
    ]
    if list_hosts:
        options.append(
            click.option("--list-hosts", is_flag=True, help="Print who would be asked, and ask nobody.")
        )

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_aim(
            *,
            inventory: tuple[str, ...],
            limit: str | None,
            playbook_dir: str | None,
            skip_vaulted: bool,
            list_hosts: bool = False,
            **words: Any,
        ) -> Any:
            return function(aim=Aim(inventory, limit, playbook_dir, list_hosts, skip_vaulted), **words)

        return with_options(with_aim, options)  # type: ignore[no-any-return]

    return decorate
