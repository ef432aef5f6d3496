"""An inventory file becomes hosts: groups are ordered, variables get their precedence, settings their fields.

Precedence is Ansible's (``lib/ansible/inventory/group.py``, ``vars/plugins``): ``all``, then groups from
the outermost to the innermost, within one depth by ``ansible_group_priority`` and then by name, then the
host.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from skoopctl.errors import InventoryError
from skoopctl.inventory.groups import Setting, Tree, read_tree
from skoopctl.inventory.host import InventoryHost
from skoopctl.inventory.nodes import Document
from skoopctl.inventory.selection import Inventory

_ALIASES = {
    "ansible_host": "ansible_ssh_host",
    "ansible_port": "ansible_ssh_port",
    "ansible_user": "ansible_ssh_user",
    "ansible_ssh_private_key_file": "ansible_private_key_file",
}
"""Ansible's older names, used where the newer one is not set."""


def load(path: Path | str) -> Inventory:
    """Read an inventory file. Every mistake is an :class:`InventoryError` with the file and the line."""
    file = Path(path).expanduser()
    _refuse_other_kinds(file)
    document = Document(file)
    try:
        tree = read_tree(document, file.absolute().parent)
        _check_children(document, tree)
        ancestors = _ancestors(document, tree)
    except RecursionError:
        raise document.error(0, "groups or merged mappings are nested without end") from None
    depths = _depths(tree, ancestors)
    hosts = tuple(_host(document, tree, name, ancestors, depths) for name in tree.hosts)
    if not hosts:
        raise document.error(0, "the inventory holds no hosts", hint="write hosts as keys below `hosts:`")
    groups = tuple(name for name in tree.groups if name != "all")
    return Inventory(name=file.stem, path=str(file), hosts=hosts, groups=groups)


def _refuse_other_kinds(file: Path) -> None:
    convert = "convert it: ansible-inventory -i FILE --list --yaml > inventory.yaml"
    if file.is_dir():
        raise InventoryError("this is a folder, not an inventory file", path=str(file), hint=convert)
    if file.suffix.lower() in {".ini", ".cfg"}:
        raise InventoryError("INI inventories are not read, only YAML", path=str(file), hint=convert)
    if file.suffix.lower() == ".toml":
        raise InventoryError("TOML inventories are not read, only YAML", path=str(file), hint=convert)


def _check_children(document: Document, tree: Tree) -> None:
    """Refuse a child that is nowhere given a body: that is a misspelt group, not an empty one."""
    for group in tree.groups.values():
        for child, line in group.children.items():
            if tree.groups[child].defined:
                continue
            known = [other.name for other in tree.groups.values() if other.defined]
            import difflib  # noqa: PLC0415 - only a mistake needs it

            near = difflib.get_close_matches(child, known, n=1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"define it, or write `{child}: {{}}` if it is empty"
            )
            raise document.error(
                line, f"unknown group {child!r} in the children of {group.name!r}", hint=hint
            )


def _ancestors(document: Document, tree: Tree) -> dict[str, dict[str, None]]:
    """Return, for each group, its ancestors and itself; a cycle is an error that spells it out."""
    parents: dict[str, list[str]] = {name: [] for name in tree.groups}
    for group in tree.groups.values():
        for child in group.children:
            parents[child].append(group.name)
    found: dict[str, dict[str, None]] = {}

    def visit(name: str, below: tuple[str, ...]) -> dict[str, None]:
        if name in below:
            chain = " > ".join([name, *reversed(below[below.index(name) :])])
            line = tree.groups[name].children.get(below[-1], tree.groups[name].line)
            raise document.error(line, f"group {name!r} is its own descendant: {chain}")
        if name not in found:
            mine: dict[str, None] = {}
            for parent in parents[name]:
                mine.update(visit(parent, (*below, name)))
            mine[name] = None
            found[name] = mine
        return found[name]

    for name in tree.groups:
        visit(name, ())
    return found


def _depths(tree: Tree, ancestors: dict[str, dict[str, None]]) -> dict[str, int]:
    """Return how deep each group lies: ``all`` is 0, and a group is one deeper than its deepest parent."""
    depths: dict[str, int] = {}
    for name in sorted(tree.groups, key=lambda name: len(ancestors[name])):
        over = [depths[parent] for parent in ancestors[name] if name in tree.groups[parent].children]
        depths[name] = 0 if name == "all" else 1 + max(over, default=0)
    return depths


def _host(
    document: Document,
    tree: Tree,
    name: str,
    ancestors: dict[str, dict[str, None]],
    depths: dict[str, int],
) -> InventoryHost:
    member_of = {
        over for group in tree.groups.values() if name in group.hosts for over in ancestors[group.name]
    }
    if "all" in tree.groups:
        member_of.add("all")
    ordered = sorted(member_of, key=lambda group: (depths[group], _priority(tree, group), group))
    settings: dict[str, Setting] = {}
    for group_name in ordered:
        settings.update(tree.groups[group_name].variables)
    settings.update(tree.hosts[name])
    settings.pop("ansible_group_priority", None)
    return _with_fields(document, name, tuple(g for g in ordered if g != "all"), settings)


def _priority(tree: Tree, group: str) -> int:
    setting = tree.groups[group].variables.get("ansible_group_priority")
    return 1 if setting is None else cast("int", setting.value)


def _with_fields(
    document: Document,
    name: str,
    groups: tuple[str, ...],
    settings: dict[str, Setting],
) -> InventoryHost:
    def text(variable: str) -> str | None:
        setting = settings.get(variable) or settings.get(_ALIASES.get(variable, ""))
        return None if setting is None else cast("str | None", setting.value)

    port = settings.get("ansible_port") or settings.get("ansible_ssh_port")
    connection = cast("Literal['ssh', 'local']", text("ansible_connection") or "ssh")
    if connection == "local" and (netns := settings.get("skoop_netns")) is not None:
        raise document.error(netns.line, f"host {name!r}: skoop_netns is for connection ssh, not local")
    become = settings.get("ansible_become")
    return InventoryHost(
        name=name,
        address=text("ansible_host") or name,
        port=22 if port is None else cast("int", port.value),
        user=text("ansible_user"),
        key_file=text("ansible_ssh_private_key_file"),
        known_hosts=text("skoop_known_hosts"),
        netns=text("skoop_netns"),
        connection=connection,
        become=become is not None and cast("bool", become.value),
        become_user=text("ansible_become_user"),
        python=text("ansible_python_interpreter"),
        groups=groups or ("ungrouped",),
        variables=MappingProxyType({key: setting.value for key, setting in settings.items()}),
        port_given=port is not None,
    )
