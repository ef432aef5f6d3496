"""Which group lies over which, and what that means for variables.

Precedence is Ansible's (``lib/ansible/vars/manager.py``, ``inventory/group.py``): what inventories say of ``all``,
then of groups from the outermost to the innermost (within one depth by ``ansible_group_priority`` and then by
name), then ``group_vars/all``, then ``group_vars`` of the groups, then the host's line, then its ``host_vars``.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import cast

from skoopctl.inventory.adjacent import GROUPS, HOSTS, Adjacent
from skoopctl.inventory.tree import Group, Place, Setting, Tree


class Order:
    """The groups of a whole inventory, checked: every child is there, and no group is below itself."""

    def __init__(self, tree: Tree, adjacent: Sequence[Adjacent]) -> None:
        self.tree = tree
        self.adjacent = adjacent
        _check_names(tree)
        self._ancestors = _ancestors(tree)
        self._depths = _depths(tree, self._ancestors)
        self._groups: dict[str, set[str]] = {name: set() for name in tree.hosts}
        for group in tree.groups.values():
            for host in group.hosts:
                self._groups[host] |= self._ancestors[group.name].keys()

    def groups_of(self, host: str) -> tuple[str, ...]:
        """Return every group of a host, ancestors first, without ``all``; ``ungrouped`` when there is none."""
        member_of = self._groups[host] - {"all", "ungrouped"} or {"ungrouped"}
        return tuple(sorted(member_of, key=self._rank))

    def settings_of(self, host: str, groups: tuple[str, ...]) -> dict[str, Setting]:
        """Return the variables that a host of these groups ends up with."""
        settings: dict[str, Setting] = {}
        for name in ("all", *groups):
            group = self.tree.groups.get(name)
            if group is not None:
                settings |= {k: v for k, v in group.variables.items() if k != "ansible_group_priority"}
        for beside in self.adjacent:
            settings |= beside.settings(GROUPS, "all")
        for beside in self.adjacent:
            for name in groups:
                settings |= beside.settings(GROUPS, name)
        settings |= self.tree.hosts[host]
        for beside in self.adjacent:
            settings |= beside.settings(HOSTS, host)
        return settings

    def _rank(self, name: str) -> tuple[int, int, str]:
        group = self.tree.groups.get(name)
        setting = None if group is None else group.variables.get("ansible_group_priority")
        return self._depths.get(name, 1), 1 if setting is None else cast("int", setting.value), name


def _check_names(tree: Tree) -> None:
    """Refuse a group that is only mentioned: that is a misspelt name, not an empty group."""
    for group in tree.groups.values():
        for child, place in group.children.items():
            if not tree.groups[child].defined:
                raise _unknown(tree, child, place, f"in the children of {group.name!r}")
        if group.variables and not group.defined and group.name not in {"all", "ungrouped"}:
            raise _unknown(tree, group.name, group.place, "has variables")


def _unknown(tree: Tree, name: str, place: Place, where: str) -> Exception:
    known = [group.name for group in tree.groups.values() if group.defined]
    near = difflib.get_close_matches(name, known, n=1)
    define = f"define it: [{name}] in INI, `{name}: {{}}` in YAML when it is empty"
    hint = f"did you mean {near[0]!r}?" if near else define
    return place.error(f"unknown group {name!r} {where}", hint=hint)


def _ancestors(tree: Tree) -> dict[str, dict[str, None]]:
    """Return, for each group, its ancestors and itself; a cycle is an error that spells it out."""
    parents: dict[str, list[str]] = {name: [] for name in tree.groups}
    for group in tree.groups.values():
        for child in group.children:
            parents[child].append(group.name)
    found: dict[str, dict[str, None]] = {}

    def visit(name: str, below: tuple[str, ...]) -> dict[str, None]:
        if name in below:
            chain = " > ".join([name, *reversed(below[below.index(name) :])])
            group: Group = tree.groups[name]
            place = group.children.get(below[-1], group.place)
            raise place.error(f"group {name!r} is its own descendant: {chain}")
        if name not in found:
            mine: dict[str, None] = {}
            for parent in parents[name]:
                mine.update(visit(parent, (*below, name)))
            mine[name] = None
            found[name] = mine
        return found[name]

    for name, group in tree.groups.items():
        try:
            visit(name, ())
        except RecursionError:
            raise group.place.error("groups are nested without end") from None
    return found


def _depths(tree: Tree, ancestors: dict[str, dict[str, None]]) -> dict[str, int]:
    """Return how deep each group lies: ``all`` is 0, and a group is one deeper than its deepest parent."""
    depths: dict[str, int] = {}
    for name in sorted(tree.groups, key=lambda name: len(ancestors[name])):
        over = [depths[parent] for parent in ancestors[name] if name in tree.groups[parent].children]
        depths[name] = 0 if name == "all" else 1 + max(over, default=0)
    return depths
