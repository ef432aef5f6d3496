"""Inventory sources become hosts: they are read and joined, groups are ordered, variables get into fields."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from skoopctl.errors import InventoryError, UsageError
from skoopctl.inventory.adjacent import GROUPS, HOSTS, Adjacent
from skoopctl.inventory.fields import host_of
from skoopctl.inventory.files import at_home
from skoopctl.inventory.host import InventoryHost
from skoopctl.inventory.order import Order
from skoopctl.inventory.selection import Branch, Inventory
from skoopctl.inventory.sources import read_source
from skoopctl.inventory.tree import Tree

MOST_SHARED_NAMES = 4


def load(
    sources: Sequence[str], playbook_dir: str | os.PathLike[str] | None = None, *, skip_vaulted: bool = False
) -> Inventory:
    """Read inventory sources in their order. Every mistake is an :class:`InventoryError` with file and line."""
    path = ", ".join(sources)
    tree, folders = Tree(), []
    for source in sources:
        one, folder = read_source(source)
        tree.merge(one)
        folders += [] if folder is None else [folder]
    folders += _playbook_folder(playbook_dir)
    beside = {folder: Adjacent(folder, skip_vaulted=skip_vaulted) for folder in folders}
    order = Order(tree, [beside[folder] for folder in folders])
    hosts = tuple(_host(order, name) for name in tree.hosts)
    if not hosts:
        raise InventoryError(
            "the inventory holds no hosts", path=path, hint="write hosts below `hosts:` or a [group]"
        )
    names = [name for name in tree.groups if name != "all"]
    for adjacent in beside.values():
        adjacent.say_what_is_left(GROUPS, ["all", "ungrouped", *names])
        adjacent.say_what_is_left(HOSTS, tree.hosts)
        tree.notes += adjacent.notes
    return Inventory(
        name=_name(sources),
        path=path,
        hosts=hosts,
        groups=tuple(name for name in names if name != "ungrouped" or tree.groups[name].hosts),
        notes=(*tree.notes, *_shared_names(hosts, names), *_shared_addresses(hosts)),
        branches=_branches(tree, hosts),
    )


def _playbook_folder(playbook_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Return the folder beside playbooks: what it holds wins over what lies beside inventories."""
    if playbook_dir is None:
        return []
    folder = at_home(playbook_dir)
    if not folder.is_dir():
        raise UsageError(f"--playbook-dir {playbook_dir}: there is no such folder")
    return [folder.absolute()]


def _name(sources: Sequence[str]) -> str:
    """Return a name for what these sources hold, fit for a folder and a label."""
    stems = (source if "," in source else Path(source).absolute().stem for source in sources)
    return re.sub(r"[^\w.+-]+", "_", "+".join(stems)).strip("_")


def _host(order: Order, name: str) -> InventoryHost:
    groups = order.groups_of(name)
    return host_of(name, groups, order.settings_of(name, groups))


def _shared_names(hosts: Sequence[InventoryHost], groups: Sequence[str]) -> list[str]:
    """Note names that a host and a group share: a pattern means both, and in Ansible only the group."""
    both = {host.name for host in hosts} & set(groups)
    return [f"{name!r} is a host and a group; as a pattern it means both" for name in sorted(both)]


def _shared_addresses(hosts: Sequence[InventoryHost]) -> list[str]:
    """Note hosts that are reached at one place: that may be meant (two accounts), or a copied line."""
    at: dict[tuple[object, ...], list[str]] = {}
    for host in hosts:
        if host.connection == "ssh":
            at.setdefault((host.address, host.port, host.netns, host.jump), []).append(host.name)
    return [
        f"{_shown(names)} are one machine: {address} port {port}"
        for (address, port, *_), names in at.items()
        if len(names) > 1
    ]


def _shown(names: list[str]) -> str:
    more = len(names) - MOST_SHARED_NAMES
    if more > 0:
        return f"hosts {', '.join(names[:MOST_SHARED_NAMES])} and {more} more"
    return f"hosts {', '.join(names[:-1])} and {names[-1]}"


def _branches(tree: Tree, hosts: Sequence[InventoryHost]) -> MappingProxyType[str, Branch]:
    """Return what stands below each group, ``all`` first, as ``ansible-inventory --graph`` has it."""
    below = {child for group in tree.groups.values() for child in group.children}
    branches = {
        name: Branch(tuple(group.children), tuple(group.hosts))
        for name, group in tree.groups.items()
        if name not in {"all", "ungrouped"}
    }
    alone = tuple(host.name for host in hosts if host.groups == ("ungrouped",))
    top = [name for name in branches if name not in below or name in _children(tree, "all")]
    ungrouped = {"ungrouped": Branch((), alone)} if alone else {}
    return MappingProxyType({"all": Branch((*ungrouped, *top), ()), **ungrouped, **branches})


def _children(tree: Tree, name: str) -> set[str]:
    return set(tree.groups[name].children) if name in tree.groups else set()
