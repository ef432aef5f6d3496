"""What ``-i`` may name: a file, a folder of files, hosts joined by commas, the nodes of a Kubernetes cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from skoopctl.errors import InventoryError
from skoopctl.inventory.files import at_home, read_text
from skoopctl.inventory.hostnames import read_hosts
from skoopctl.inventory.ini_file import read_ini
from skoopctl.inventory.kubernetes_nodes import SOURCE, read_nodes, settings_of, words
from skoopctl.inventory.nodes import Document
from skoopctl.inventory.tree import Place, Setting, Tree
from skoopctl.inventory.yaml_file import read_yaml

IGNORED_NAMES = frozenset({"group_vars", "host_vars", "vars_plugins"})
IGNORED_ENDS = (
    *(".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst"),
    *(".orig", ".cfg", ".retry"),
)
"""What Ansible passes over in a folder of inventories (``config/base.yml: INVENTORY_IGNORE_EXTS``)."""
YAML_ENDS = frozenset({".yaml", ".yml", ".json"})
INI_ENDS = frozenset({".ini", ".cfg", ".conf"})
KUBERNETES = "k8s:"
DEEPEST = 16

_CONVERT = "write the hosts out: ansible-inventory -i FILE --list --yaml > inventory.yaml"
_YAML_LINE = re.compile(r"---|[{%]|[^\[\]=#]+:(\s|$)|(['\"]).*\2\s*:")


def read_source(source: str) -> tuple[Tree, Path | None]:
    """Read what one ``-i`` names, and return it with the folder that may hold ``group_vars`` beside it."""
    if not source.strip():
        raise InventoryError("names nothing", path="-i", hint="name a file, a folder or hosts: -i hosts.ini")
    if source.startswith(KUBERNETES):
        tree = Tree()
        read_nodes(words(source), tree)
        return tree, None
    path = at_home(source)
    if "," in source and not os.path.lexists(path):
        return _listed(source), None
    tree = Tree()
    if path.is_dir():
        _read_folder(path, tree)
        return tree, path.absolute()
    folder = path.absolute().parent
    _read_file(path, folder, tree)
    return tree, folder


def _listed(source: str) -> Tree:
    """Read ``host1,host2:2222``; one host has a comma behind it."""
    tree = Tree()
    place = Place(f"-i {source}")
    tree.group("ungrouped", place).defined = True
    for word in filter(None, (word.strip() for word in source.split(","))):
        names, port = read_hosts(word, place)
        for name in names:
            tree.add_host(name, "ungrouped", {}, None if port is None else Setting(port, port, place))
    return tree


def _read_folder(folder: Path, tree: Tree) -> None:
    """Read every file of a folder in the order of their names, as one inventory."""
    files = list(_files(folder, 0))
    if not files:
        raise InventoryError(
            "the folder holds no inventory file", path=str(folder), hint=f"without {' '.join(IGNORED_ENDS)}"
        )
    for file in files:
        _read_file(file, folder.absolute(), tree)


def _files(folder: Path, depth: int) -> Iterator[Path]:
    if depth > DEEPEST:
        raise InventoryError(f"folders are nested more than {DEEPEST} deep", path=str(folder))
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InventoryError(f"cannot be read: {error.strerror}", path=str(folder)) from None
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name in IGNORED_NAMES or name.endswith(IGNORED_ENDS):
            continue
        if entry.is_dir():
            yield from _files(entry, depth + 1)
        else:
            yield entry


def _read_file(path: Path, folder: Path, tree: Tree) -> None:
    """Read one file by its form; relative paths in it start at ``folder``."""
    if path.suffix.lower() == ".toml":
        raise InventoryError("TOML inventories are not read", path=str(path), hint=_CONVERT)
    text = _text(path)
    if not _is_yaml(path, text):
        read_ini(text, str(path), folder, tree)
        return
    document = Document(path)
    if document.root is not None and SOURCE in document.keys(document.root):
        read_nodes(settings_of(document, folder), tree)
    else:
        read_yaml(document, folder, tree)


def _text(path: Path) -> str:
    """Return a file's text, unless it is a program."""
    text = read_text(path)
    if text.startswith("#!"):
        raise InventoryError(
            "this is a program (a dynamic inventory), which is not run", path=str(path), hint=_CONVERT
        )
    return text


def _is_yaml(path: Path, text: str) -> bool:
    """Tell YAML and JSON from INI: by the name's ending, else by the first line that says something."""
    suffix = path.suffix.lower()
    if suffix in YAML_ENDS or suffix in INI_ENDS:
        return suffix in YAML_ENDS
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in ";#":
            return _YAML_LINE.match(stripped) is not None
    return False
