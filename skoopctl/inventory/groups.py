"""The groups of an Ansible-style YAML inventory, as written: hosts, variables and children with their lines.

``all: {hosts: {a: {ansible_host: 10.0.0.1}}, vars: {}, children: {nodes: {…}}}`` — every top-level key is a
group, and so is every key under ``children`` (docs.ansible.com, "How to build your inventory").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skoopctl.inventory import variables
from skoopctl.inventory.nodes import Document
from skoopctl.inventory.ranges import RangeError, expand

if TYPE_CHECKING:
    from pathlib import Path

    from yaml.nodes import Node

KEYS = ("hosts", "vars", "children")
_PORT = re.compile(r"^(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:\[\]]+|[^:]*\[.+\][^:]*):(?P<port>\d+)$")
_RANGE_END = re.compile(r"\[[^\]]*$")


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable as written: the checked value, the value as it stands in the file, and its line."""

    value: object
    written: object
    line: int


@dataclass(slots=True)
class Group:
    """One group, put together from every place that mentions it."""

    name: str
    line: int
    defined: bool = False
    hosts: dict[str, None] = field(default_factory=dict)
    variables: dict[str, Setting] = field(default_factory=dict)
    children: dict[str, int] = field(default_factory=dict)
    """Names of child groups, and the line that says so."""


@dataclass(slots=True)
class Tree:
    """All groups of a file, and what is written beside each host's own name."""

    groups: dict[str, Group] = field(default_factory=dict)
    hosts: dict[str, dict[str, Setting]] = field(default_factory=dict)


def read_tree(document: Document, folder: Path) -> Tree:
    """Read every group of a document; relative paths in variables start at ``folder``."""
    if document.root is None or document.is_empty(document.root):
        raise document.error(0, "the inventory is empty", hint="write `all:` with `hosts:` below it")
    reader = _Reader(document, folder)
    hint = "an inventory begins with a group, such as `all:`"
    for name, key, body in document.pairs(document.root, "an inventory", hint=hint):
        reader.group(name, key, body, top=True)
    return reader.tree


class _Reader:
    """Walks the nodes of one document and fills a tree."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.tree = Tree()
        self._open: list[str] = []

    def group(self, name: str, key: Node, body: Node, *, top: bool) -> None:
        """Read one group's body into the tree."""
        document = self.document
        if top and name == "plugin":
            hint = "write the hosts out: ansible-inventory -i FILE --list --yaml > inventory.yaml"
            raise document.error(
                key, "this configures an Ansible inventory plugin, which is not run", hint=hint
            )
        if top and name in KEYS:
            hint = f"write `all:` first and put `{name}:` below it, indented"
            raise document.error(key, f"{name!r} is not a group", hint=hint)
        if name in self._open:
            chain = " > ".join([*self._open[self._open.index(name) :], name])
            raise document.error(key, f"group {name!r} is its own descendant: {chain}")
        group = self.tree.groups.setdefault(name, Group(name, key.start_mark.line + 1))
        group.defined |= top or not document.is_empty(body)
        self._open.append(name)
        for word, word_node, value in document.pairs(body, f"group {name!r}"):
            if word == "hosts":
                self._hosts(group, value)
            elif word == "vars":
                for variable, setting in self._variables(value, f"vars of group {name!r}").items():
                    group.variables[variable] = setting
            elif word == "children":
                self._children(group, value)
            else:
                raise self._unknown_key(group, word, word_node)
        self._open.pop()

    def _children(self, group: Group, node: Node) -> None:
        what = f"children of group {group.name!r}"
        for name, key, body in self.document.pairs(node, what, hint="write each child group as `name:`"):
            if name == "all":
                raise self.document.error(key, "group 'all' cannot be the child of another group")
            group.children.setdefault(name, key.start_mark.line + 1)
            self.group(name, key, body, top=False)

    def _hosts(self, group: Group, node: Node) -> None:
        what = f"hosts of group {group.name!r}"
        for text, key, body in self.document.pairs(
            node, what, hint="write each host as `name:`, with a colon"
        ):
            settings = self._variables(body, f"host {text!r}")
            name, port = self._split_port(text, key)
            if port is not None:
                settings.setdefault("ansible_port", Setting(port, port, key.start_mark.line + 1))
            for host in self._expand(name, key):
                group.hosts[host] = None
                self._host_settings(host, settings)

    def _host_settings(self, host: str, settings: dict[str, Setting]) -> None:
        """Join what two groups say beside the same host; a contradiction is an error."""
        known = self.tree.hosts.setdefault(host, {})
        for name, setting in settings.items():
            if name in known and known[name].value != setting.value:
                raise self.document.error(
                    setting.line,
                    f"host {host!r} has {name} {setting.written!r} here, "
                    f"but {known[name].written!r} in line {known[name].line}",
                    hint="write a host's settings once, or give the second host another name",
                )
            known[name] = setting

    def _variables(self, node: Node, what: str) -> dict[str, Setting]:
        settings = {}
        for name, key, body in self.document.pairs(node, what):
            written = self.document.value(body)
            try:
                value = variables.read(name, written, self.folder)
            except variables.VariableError as error:
                raise self.document.error(key, f"{what}: {error}", hint=error.hint) from None
            settings[name] = Setting(value, written, key.start_mark.line + 1)
        return settings

    def _split_port(self, text: str, key: Node) -> tuple[str, int | None]:
        """Split Ansible's ``name:port`` and ``[v6]:port``; the colon of a range is not one."""
        found = _PORT.match(text)
        if found is None or _RANGE_END.search(found["name"]):
            return text.strip("[]") if re.fullmatch(r"\[[0-9A-Fa-f:.%]+\]", text) and text.count(
                ":"
            ) > 1 else text, None
        try:
            port = variables.port(found["port"], self.folder)
        except variables.VariableError as error:
            raise self.document.error(key, f"host {text!r}: {error}") from None
        name = found["name"]
        return (name[1:-1] if name.startswith("[") else name), port

    def _expand(self, name: str, key: Node) -> list[str]:
        try:
            names = expand(name)
        except RangeError as error:
            raise self.document.error(key, f"host {error}") from None
        if not name or name.startswith(("-", "!", "&", "~")) or re.search(r"[\s,*?\x00-\x1f\x7f/]", name):
            raise self.document.error(key, f"{name!r} cannot be a host's name")
        return names

    def _unknown_key(self, group: Group, word: str, node: Node) -> Exception:
        import difflib  # noqa: PLC0415 - only a mistake needs it

        near = difflib.get_close_matches(word.lower(), KEYS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else "a group holds hosts, vars and children"
        if not near and (word in variables.HONOURED or word.startswith(("ansible_", "skoop_"))):
            hint = f"variables of a group stand under `vars:`; indent {word} below it"
        elif not near:
            hint += "; a group inside a group stands under `children:`"
        return self.document.error(node, f"unknown key {word!r} in group {group.name!r}", hint=hint)
