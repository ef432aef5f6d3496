"""An Ansible-style inventory in YAML: groups that hold hosts, vars and children.

``all: {hosts: {a: {ansible_host: 10.0.0.1}}, vars: {}, children: {nodes: {…}}}`` — every top-level key is a
group, and so is every key under ``children`` (docs.ansible.com, "How to build your inventory").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skoopctl.inventory import variables
from skoopctl.inventory.hostnames import read_hosts
from skoopctl.inventory.nodes import Document
from skoopctl.inventory.tree import Group, Setting, Tree, read_setting

if TYPE_CHECKING:
    from yaml.nodes import Node

KEYS = ("hosts", "vars", "children")


def read_yaml(document: Document, folder: Path, tree: Tree) -> None:
    """Read every group of a document into ``tree``; relative paths in variables start at ``folder``."""
    if document.root is None or document.is_empty(document.root):
        raise document.error(0, "the inventory is empty", hint="write `all:` with `hosts:` below it")
    reader = _Reader(document, folder, tree)
    hint = "an inventory begins with a group, such as `all:`"
    try:
        for name, key, body in document.pairs(document.root, "an inventory", hint=hint):
            reader.group(name, key, body, top=True)
    except RecursionError:
        raise document.error(0, "groups or merged mappings are nested without end") from None


def read_variables(document: Document, node: Node, folder: Path, what: str) -> dict[str, Setting]:
    """Read a mapping of variables, each with its line; ``what`` says whose they are."""
    return {
        name: read_setting(name, document.value(body), document.place(key), folder, what)
        for name, key, body in document.pairs(node, what)
    }


class _Reader:
    """Walks the nodes of one document and fills a tree."""

    def __init__(self, document: Document, folder: Path, tree: Tree) -> None:
        self.document = document
        self.folder = folder
        self.tree = tree
        self._open: list[str] = []

    def group(self, name: str, key: Node, body: Node, *, top: bool) -> None:
        """Read one group's body into the tree."""
        document = self.document
        if top:
            self._refuse_other_kinds(name, key)
        if name in self._open:
            chain = " > ".join([*self._open[self._open.index(name) :], name])
            raise document.error(key, f"group {name!r} is its own descendant: {chain}")
        group = self.tree.group(name, document.place(key))
        group.defined |= top or not document.is_empty(body)
        self._open.append(name)
        for word, word_node, value in document.pairs(body, f"group {name!r}"):
            if word == "hosts":
                self._hosts(group, value)
            elif word == "vars":
                group.variables |= read_variables(document, value, self.folder, f"vars of group {name!r}")
            elif word == "children":
                self._children(group, value)
            else:
                raise self._unknown_key(group, word, word_node)
        self._open.pop()

    def _refuse_other_kinds(self, name: str, key: Node) -> None:
        if name == "plugin":
            raise self.document.error(
                key,
                "this configures an Ansible inventory plugin, which is not run",
                hint="write the hosts out: ansible-inventory -i FILE --list --yaml > inventory.yaml",
            )
        if name in KEYS:
            hint = f"write `all:` first and put `{name}:` below it, indented"
            raise self.document.error(key, f"{name!r} is not a group", hint=hint)

    def _children(self, group: Group, node: Node) -> None:
        what = f"children of group {group.name!r}"
        for name, key, body in self.document.pairs(node, what, hint="write each child group as `name:`"):
            if name == "all":
                raise self.document.error(key, "group 'all' cannot be the child of another group")
            group.children.setdefault(name, self.document.place(key))
            self.group(name, key, body, top=False)

    def _hosts(self, group: Group, node: Node) -> None:
        what = f"hosts of group {group.name!r}"
        hint = "write each host as `name:`, with a colon"
        for text, key, body in self.document.pairs(node, what, hint=hint):
            settings = read_variables(self.document, body, self.folder, f"host {text!r}")
            place = self.document.place(key)
            names, port = read_hosts(text, place)
            for host in names:
                self.tree.add_host(
                    host, group.name, settings, None if port is None else Setting(port, port, place)
                )

    def _unknown_key(self, group: Group, word: str, node: Node) -> Exception:
        import difflib  # noqa: PLC0415 - only a mistake needs it

        near = difflib.get_close_matches(word.lower(), KEYS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else "a group holds hosts, vars and children"
        if not near and (word in variables.HONOURED or word.startswith(("ansible_", "skoop_"))):
            hint = f"variables of a group stand under `vars:`; indent {word} below it"
        elif not near:
            hint += "; a group inside a group stands under `children:`"
        return self.document.error(node, f"unknown key {word!r} in group {group.name!r}", hint=hint)
