"""``group_vars/`` and ``host_vars/`` beside an inventory: variables in files named after a group or a host.

For a name, the first of ``NAME``, ``NAME.yml``, ``NAME.yaml`` and ``NAME.json`` is read; where it is a folder, all
files in it, in the order of their names (Ansible's ``host_group_vars`` and ``DataLoader.find_vars_files``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from skoopctl.errors import InventoryError
from skoopctl.inventory.files import is_vaulted
from skoopctl.inventory.nodes import Document
from skoopctl.inventory.tree import Setting
from skoopctl.inventory.yaml_file import read_variables

GROUPS, HOSTS = "group_vars", "host_vars"
EXTENSIONS = ("", ".yml", ".yaml", ".json")
DEEPEST = 16
_CLOSE = 0.8
MOST_STRANGERS = 50
"""With more files than this that belong to nobody, none of them is taken for a typing mistake."""


class Adjacent:
    """The files beside one inventory. ``folder`` is where the inventory is, and where relative paths start.

    With ``skip_vaulted``, encrypted files are noted and left out; otherwise they are an error.
    """

    def __init__(self, folder: Path, *, skip_vaulted: bool = False) -> None:
        self.folder = folder
        self._skip_vaulted = skip_vaulted
        self.notes: list[str] = []
        self._present = {kind: _entries(folder / kind) for kind in (GROUPS, HOSTS)}
        self._read: dict[tuple[str, str], dict[str, Setting]] = {}

    def settings(self, kind: str, name: str) -> dict[str, Setting]:
        """Return the variables of one group or host."""
        if (kind, name) not in self._read:
            self._read[kind, name] = self._settings(kind, name)
        return self._read[kind, name]

    def _settings(self, kind: str, name: str) -> dict[str, Setting]:
        found = [name + extension for extension in EXTENSIONS if name + extension in self._present[kind]]
        if not found:
            return {}
        first, *others = (self.folder / kind / entry for entry in found)
        self.notes += [f"{other}: not read, because {first} is there (as with Ansible)" for other in others]
        settings: dict[str, Setting] = {}
        for file in _files(first, 0) if first.is_dir() else [first]:
            settings |= self._file(kind, name, file)
        return settings

    def _file(self, kind: str, name: str, file: Path) -> dict[str, Setting]:
        if self._skip_vaulted and file.is_file() and is_vaulted(file):
            self.notes.append(f"{file}: not read, because it is encrypted")
            return {}
        document = Document(file)
        if document.root is None or document.is_empty(document.root):
            return {}
        what = f"vars of group {name!r}" if kind == GROUPS else f"host {name!r}"
        settings = read_variables(document, document.root, self.folder, what)
        if kind == GROUPS and (priority := settings.get("ansible_group_priority")) is not None:
            self.notes.append(
                f"{priority.place}: ansible_group_priority has no effect in group_vars; "
                "write it into the inventory file"
            )
        return settings

    def say_what_is_left(self, kind: str, names: Iterable[str]) -> None:
        """Note files that belong to nobody and nearly bear the name of somebody: that is a typing mistake."""
        known = set(names)
        strangers = {entry: _without_extension(entry) for entry in sorted(self._present[kind] - known)}
        strangers = {entry: name for entry, name in strangers.items() if name not in known}
        if len(strangers) > MOST_STRANGERS:
            return  # the folder serves other inventories too
        whose = "group" if kind == GROUPS else "host"
        for entry, name in strangers.items():
            if near := difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE):
                self.notes.append(
                    f"{self.folder / kind / entry}: there is no {whose} {name!r}; did you mean {near[0]!r}?"
                )


def _without_extension(entry: str) -> str:
    return next((entry.removesuffix(end) for end in EXTENSIONS[1:] if entry.endswith(end)), entry)


def _entries(folder: Path) -> frozenset[str]:
    """Return the names in a folder; none when it is not there."""
    if not folder.is_dir():
        return frozenset()
    return frozenset(entry.name for entry in _listed(folder))


def _files(folder: Path, depth: int) -> list[Path]:
    """Return the files of a folder of variables, and of folders in it, in the order of their names."""
    if depth > DEEPEST:
        raise InventoryError(f"folders are nested more than {DEEPEST} deep", path=str(folder))
    files: list[Path] = []
    for entry in _listed(folder):
        if entry.name.startswith(".") or entry.name.endswith("~"):
            continue
        if entry.is_dir() and not entry.suffix:
            files += _files(entry, depth + 1)
        elif entry.is_file() and entry.suffix in EXTENSIONS:
            files.append(entry)
    return files


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InventoryError(f"cannot be read: {error.strerror}", path=str(folder)) from None
