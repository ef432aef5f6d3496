"""Files that people write in YAML become models; each mistake is one line with its file and line."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from skoopctl.errors import ConfigurationError, InventoryError, PlanError
from skoopctl.inventory.nodes import Document

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from yaml.nodes import Node

    Written = TypeVar("Written", bound=BaseModel)


def read_written(
    path: Path,
    model: type[Written],
    error: type[PlanError | ConfigurationError],
    what: str,
    lacks: str,
    **defaults: object,
) -> Written:
    """Return what a file says, as ``model``; ``defaults`` count where the file says nothing.

    ``what`` is the file's kind, for people; ``lacks`` says what an empty one should hold. Raises ``error``.
    """
    try:
        document, value = read_mapping(path)
    except InventoryError as wrong:
        raise error(
            wrong.message.partition(": ")[2], path=str(path), line=wrong.line, hint=wrong.hint
        ) from None
    if document.root is None or value is None:
        raise error(f"the {what} is empty", path=str(path), hint=f"write {lacks}")
    if not isinstance(value, dict):
        raise error(f"a {what} is a mapping of keys", path=str(path), line=1)
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    try:
        return model.model_validate({**defaults, **value})
    except ValidationError as wrong:
        said, line, hint = _in_words(wrong, model, document.root)
        raise error(said, path=str(path), line=line, hint=hint) from None


def read_mapping(path: Path) -> tuple[Document, object]:
    """Return a YAML file's document and value, no key of which stands twice. Raises `InventoryError`."""
    document = Document(path)
    if document.root is None or document.is_empty(document.root):
        return document, None
    _refuse_repetition(document, document.root)
    return document, document.value(document.root)


def _refuse_repetition(document: Document, root: Node) -> None:
    """Refuse a mapping with one key twice: YAML takes the last, and the first would be ignored in silence."""
    import yaml  # noqa: PLC0415 - the document has loaded it

    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            todo += [value for _, _, value in document.pairs(node, "the file")]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _in_words(error: ValidationError, model: type[BaseModel], root: Node) -> tuple[str, int, str]:
    """Name the first mistake with its line; the others are counted."""
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: line_of(root, problem["loc"]))
    where = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
    said = _said(first, where, model)
    more = len(problems) - 1
    hint = f"and {more} more mistakes" if more > 1 else "and one more mistake" if more else ""
    return said, line_of(root, first["loc"]), hint


def _said(problem: Any, where: str, model: type[BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        keys = _keys_beside(problem["loc"], model)
        near = difflib.get_close_matches(str(problem["loc"][-1]), keys, 1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(keys)}"
        return f"unknown key {where}: {meant}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{where}: {message}" if where else message
    shown = repr(problem["input"])[:60]
    return f"{where}: {message[:1].lower()}{message[1:]}, found {shown}"


def _keys_beside(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the keys that the part has in which an unknown one stands."""
    part = model
    for step in loc[:-1]:
        below = _fields(part).get(str(step))
        part = _part_in(below) or part
    return list(_fields(part))


def _fields(part: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in part.model_fields.items()}


def _part_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in ``Part``, ``Part | None`` or ``list[Part]``."""
    from pydantic import BaseModel  # noqa: PLC0415 - the caller has loaded it

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _part_in(each))), None)


def _is_branch(part: int | str) -> bool:
    """Tell whether a step of a location is pydantic's own: which member of a union it tried."""
    return isinstance(part, str) and (part in {"str", "int", "float"} or "[" in part)


def line_of(root: Node, loc: tuple[int | str, ...]) -> int:
    """Return the line of what a location names, as far as the document has it."""
    import yaml  # noqa: PLC0415 - the caller has loaded it

    node, line = root, root.start_mark.line + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if getattr(k, "value", None) == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
