"""YAML read as marked nodes, so that every complaint can name its line.

PyYAML's loader forgets lines and lets the last of two equal keys win; both would hide mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from skoopctl.errors import InventoryError
from skoopctl.inventory.files import read_text
from skoopctl.inventory.tree import Place
from skoopctl.inventory.values import Vaulted

if TYPE_CHECKING:
    from yaml.nodes import Node

_MERGE = "tag:yaml.org,2002:merge"
DEEPEST = 64


class Document:
    """One YAML file: its root node, and what turns nodes into plain values."""

    def __init__(self, path: Path) -> None:
        import yaml  # noqa: PLC0415 - heavy, and not needed by commands that read no inventory

        self._yaml = yaml
        self.path = str(path)
        text = read_text(path)
        self._loader = _loader_class()(text)
        try:
            self.root: Node | None = self._loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            raise self.error(line, _say(error), hint=_yaml_hint(error, text, line)) from None
        except yaml.YAMLError as error:
            raise self.error(0, f"not YAML: {' '.join(str(error).split())}") from None
        except RecursionError:
            raise self.error(0, "the YAML is nested too deeply") from None

    def error(self, where: int | Node, message: str, *, hint: str = "") -> InventoryError:
        """Return an error that names this file and the line of ``where``."""
        place = Place(self.path, where) if isinstance(where, int) else self.place(where)
        return place.error(message, hint=hint)

    def place(self, node: Node) -> Place:
        """Return where a node stands."""
        return Place(self.path, node.start_mark.line + 1)

    def is_empty(self, node: Node) -> bool:
        """Return whether a node is YAML's null (nothing after the colon)."""
        return node.tag == "tag:yaml.org,2002:null"

    def keys(self, node: Node) -> set[str]:
        """Return the keys of a mapping; none of anything else."""
        if not isinstance(node, self._yaml.MappingNode):
            return set()
        return {str(key.value) for key, _ in node.value}

    def pairs(self, node: Node, what: str, *, hint: str = "") -> Iterator[tuple[str, Node, Node]]:
        """Yield (key, key node, value node) of a mapping, none of an empty one; equal keys are an error."""
        if self.is_empty(node):
            return
        if not isinstance(node, self._yaml.MappingNode):
            raise self.error(node, f"{what} must be a mapping, found {_kind(node)}", hint=hint)
        own = [pair for pair in node.value if pair[0].tag != _MERGE]
        seen: dict[str, int] = {}
        for key_node, value_node in own:
            if not isinstance(key_node, self._yaml.ScalarNode):
                raise self.error(key_node, f"a key of {what} must be plain text")
            key = str(key_node.value)
            if key in seen:
                raise self.error(key_node, f"{what} has {key!r} twice (first in line {seen[key]})")
            seen[key] = key_node.start_mark.line + 1
            yield key, key_node, value_node
        for key, key_node, value_node in self._merged(node, what):
            if key not in seen:
                seen[key] = 0
                yield key, key_node, value_node

    def _merged(self, node: Node, what: str) -> Iterator[tuple[str, Node, Node]]:
        """Yield what a mapping takes over with ``<<: *anchor`` or ``<<: [*one, *two]``, the first first."""
        for key_node, source in node.value:
            if key_node.tag != _MERGE:
                continue
            for mapping in source.value if isinstance(source, self._yaml.SequenceNode) else [source]:
                if mapping is node:
                    raise self.error(key_node, f"{what} is merged into itself")
                yield from self.pairs(mapping, what)

    def value(self, node: Node) -> object:
        """Return the plain value of a node."""
        _bound_depth(self, node)
        try:
            return self._loader.construct_object(node, deep=True)
        except self._yaml.MarkedYAMLError as error:
            raise self.error(node, _say(error)) from None
        except ValueError as error:
            raise self.error(node, f"not a YAML value: {error}") from None


def _bound_depth(document: Document, root: Node) -> None:
    """Refuse values that contain themselves or are absurdly deep; each node is looked at once."""
    seen: set[int] = set()
    level: list[Node] = [root]
    for _ in range(DEEPEST):
        following: list[Node] = []
        for node in level:
            if id(node) in seen or not isinstance(node.value, list):
                continue
            seen.add(id(node))
            for child in node.value:
                following += child if isinstance(child, tuple) else (child,)
        if not following:
            return
        level = following
    raise document.error(root, f"the value is nested more than {DEEPEST} deep")


def _loader_class() -> type:
    import yaml  # noqa: PLC0415

    fastest: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class InventoryLoader(fastest):  # type: ignore[misc,valid-type]
        """A safe loader that also knows Ansible's own tags."""

    def vaulted(_loader: yaml.SafeLoader, node: yaml.Node) -> Vaulted:
        return Vaulted(node.tag)

    def unsafe(loader: yaml.SafeLoader, node: yaml.Node) -> object:
        return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None

    InventoryLoader.add_constructor("!vault", vaulted)
    InventoryLoader.add_constructor("!vault-encrypted", vaulted)
    InventoryLoader.add_constructor("!unsafe", unsafe)
    return InventoryLoader


def _kind(node: Node) -> str:
    return "a list" if isinstance(node.value, list) else f"the text {node.value!r}"


def _say(error: object) -> str:
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    return f"YAML: {problem}" + (f" {context}" if context else "")


def _yaml_hint(error: object, text: str, line: int) -> str:
    lines = text.splitlines()
    found = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in found[: len(found) - len(found.lstrip())]:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in str(getattr(error, "problem", "")):
        return "check the indentation, and quote text that holds a colon"
    return ""
