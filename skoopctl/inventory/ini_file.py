"""An Ansible-style inventory in INI: ``[group]``, ``[group:vars]``, ``[group:children]``, hosts with ``key=value``.

Values are typed as Ansible types them: what reads as a Python literal is one (``22``, ``True``, ``['a']``),
everything else is text (docs.ansible.com, ``ansible.builtin.ini``).
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from pathlib import Path

from skoopctl.inventory.hostnames import read_hosts
from skoopctl.inventory.tree import Place, Setting, Tree, read_setting

_SECTION = re.compile(r"\[(?P<name>[^:\]\s]+)(?::(?P<kind>\w+))?\]\s*(?:#.*)?")
_CHILD = re.compile(r"(?P<name>[^:\]\s]+)\s*(?:#.*)?")
KINDS = ("hosts", "vars", "children")
LONGEST_VALUE = 65536


def read_ini(text: str, path: str, folder: Path, tree: Tree) -> None:
    """Read every section of a file into ``tree``; relative paths in variables start at ``folder``."""
    reader = _Reader(path, folder, tree)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in ";#":
            reader.line(stripped, Place(path, number))


class _Reader:
    """Reads line after line; the last section says what a line is."""

    def __init__(self, path: str, folder: Path, tree: Tree) -> None:
        self.folder = folder
        self.tree = tree
        self._group = "ungrouped"
        self._kind = "hosts"
        self._seen: dict[str, int] = {}
        tree.group("ungrouped", Place(path)).defined = True

    def line(self, text: str, place: Place) -> None:
        """Read one line that is neither empty nor a comment."""
        section = _SECTION.fullmatch(text)
        if section is not None:
            self._section(section["name"], section["kind"] or "hosts", place)
        elif text.startswith("[") and text.endswith("]"):
            raise place.error(
                f"{text} is no section",
                hint="write [group], [group:vars] or [group:children], without spaces",
            )
        else:
            {"hosts": self._host, "vars": self._variable, "children": self._child}[self._kind](text, place)

    def _section(self, name: str, kind: str, place: Place) -> None:
        if kind not in KINDS:
            import difflib  # noqa: PLC0415 - only a mistake needs it

            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean [{name}:{near[0]}]?" if near else "write [group:vars] or [group:children]"
            raise place.error(f"[{name}:{kind}]: there is no such kind of section", hint=hint)
        self._group, self._kind, self._seen = name, kind, {}
        group = self.tree.group(name, place)
        group.defined |= kind != "vars"

    def _host(self, text: str, place: Place) -> None:
        name, *words = self._words(text, place)
        settings: dict[str, Setting] = {}
        for word in words:
            variable, separator, value = word.partition("=")
            if not separator:
                raise place.error(
                    f"host {name!r}: expected key=value, found {_shown(word)}",
                    hint="quote a value that holds spaces: key='a b'",
                )
            if variable in settings:
                raise place.error(f"host {name!r} has {variable!r} twice")
            settings[variable] = self._setting(variable, value, place, f"host {name!r}")
        names, port = self._names(name, place)
        for host in names:
            self.tree.add_host(
                host, self._group, settings, None if port is None else Setting(port, port, place)
            )

    def _names(self, text: str, place: Place) -> tuple[list[str], int | None]:
        if text == "---" or text.endswith(":"):
            raise place.error(
                f"{text!r} cannot be a host's name", hint="if this is YAML, name the file *.yaml"
            )
        return read_hosts(text, place)

    def _words(self, text: str, place: Place) -> list[str]:
        try:
            return shlex.split(text, comments=True)
        except ValueError as error:
            raise place.error(
                f"cannot be split into words: {str(error).lower()}", hint="check the quotation marks"
            ) from None

    def _variable(self, text: str, place: Place) -> None:
        name, separator, value = (part.strip() for part in text.partition("="))
        if not separator or not name:
            raise place.error(f"vars of group {self._group!r}: expected key=value, found {_shown(text)}")
        if name in self._seen:
            raise place.error(
                f"vars of group {self._group!r} has {name!r} twice (first in line {self._seen[name]})"
            )
        self._seen[name] = place.line
        group = self.tree.groups[self._group]
        group.variables[name] = self._setting(name, value, place, f"vars of group {self._group!r}")

    def _child(self, text: str, place: Place) -> None:
        found = _CHILD.fullmatch(text)
        if found is None:
            raise place.error(
                f"children of group {self._group!r}: expected the name of a group, found {text!r}"
            )
        name = found["name"]
        if name == "all":
            raise place.error("group 'all' cannot be the child of another group")
        self.tree.group(name, place)
        self.tree.groups[self._group].children.setdefault(name, place)

    def _setting(self, name: str, text: str, place: Place, what: str) -> Setting:
        try:
            written = typed(text)
        except ValueError as error:
            raise place.error(f"{what}: {name}: {error}") from None
        return read_setting(name, written, place, self.folder, what)


def _shown(word: str) -> str:
    """Return a stray word for an error, unless it may be a piece of a secret value."""
    return repr(word) if word.startswith(("ansible_", "skoop_", "[")) else "a word without '='"


def typed(text: str) -> object:
    """Return the value that Ansible makes of a text: a Python literal where it is one, else the text.

    Raises `ValueError` for a text that is too long or too deep to be looked at.
    """
    if len(text) > LONGEST_VALUE:
        raise ValueError(f"a value of {len(text)} characters is too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _plain(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text
    except (RecursionError, MemoryError):
        raise ValueError("the value is nested too deeply") from None
    except TypeError as error:
        raise ValueError(f"no value: {error}") from None


def _plain(value: object) -> object:
    """Turn what only Python has into what YAML has too, as Ansible does."""
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if value is ...:
        return "..."
    return str(value) if isinstance(value, complex) else value
