"""Read a plan: from a file, whose mistakes are named by line, or one of those that come with skoopctl."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skoopctl.errors import InventoryError, PlanError
from skoopctl.inventory.nodes import Document
from skoopctl.plans.model import Plan

if TYPE_CHECKING:
    from pydantic import ValidationError
    from yaml.nodes import Node

_BUILTIN = "builtin"
_SUFFIXES = (".yaml", ".yml")


def builtin_plans() -> dict[str, Path]:
    """Return the plans that come with skoopctl, by name."""
    folder = Path(str(resources.files("skoopctl.plans") / _BUILTIN))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_plan(name: str) -> tuple[Plan, Path]:
    """Return a plan and its file. A name without a folder or suffix is one of the built-in plans.

    Raises `PlanError` with the file and the line.
    """
    built_in = builtin_plans()
    if name in built_in:
        path = built_in[name]
    elif "/" in name or name.endswith(_SUFFIXES) or Path(name).is_file():
        path = Path(name).expanduser()
    else:
        near = difflib.get_close_matches(name, built_in, 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        hint = f"{meant}there are {', '.join(built_in)}, or name a file"
        raise PlanError(f"there is no plan {name!r}", path=name, hint=hint)
    return _read(path), path


def _read(path: Path) -> Plan:
    try:
        document = Document(path)
        if document.root is None or document.is_empty(document.root):
            raise PlanError("the plan is empty", path=str(path), hint="write inspections, probes or paths")
        _refuse_repetition(document, document.root)
        value = document.value(document.root)
    except InventoryError as error:
        raise PlanError(
            error.message.partition(": ")[2], path=str(path), line=error.line, hint=error.hint
        ) from None
    if not isinstance(value, dict):
        raise PlanError("a plan is a mapping of keys", path=str(path), line=1)
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    try:
        return Plan.model_validate({"plan": path.stem, **value})
    except ValidationError as error:
        raise _in_words(error, path, document.root) from None


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
            todo += [value for _, _, value in document.pairs(node, "the plan")]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _in_words(error: ValidationError, path: Path, root: Node) -> PlanError:
    """Name the first mistake with its line; the others are counted."""
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: _line(root, problem["loc"]))
    where = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
    said = _said(first, where)
    more = len(problems) - 1
    hint = f"and {more} more mistakes" if more > 1 else "and one more mistake" if more else ""
    return PlanError(said, path=str(path), line=_line(root, first["loc"]), hint=hint)


def _said(problem: Any, where: str) -> str:
    if problem["type"] == "extra_forbidden":
        keys = _keys_beside(problem["loc"])
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


def _keys_beside(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the part has in which an unknown one stands."""
    from skoopctl.plans import model  # noqa: PLC0415 - loads pydantic

    parts: dict[str, type[model.Part]] = {
        "paths": model.Path,
        "deadlines": model.DeadlinesPart,
        "reports": model.Report,
        "push": model.Push,
        "keep": model.Keep,
    }
    part = parts.get(str(loc[0]), Plan) if len(loc) > 1 else Plan
    return [field.alias or name for name, field in part.model_fields.items()]


def _is_branch(part: int | str) -> bool:
    """Tell whether a step of a location is pydantic's own: which member of a union it tried."""
    return isinstance(part, str) and (part in {"str", "int", "float"} or "[" in part)


def _line(root: Node, loc: tuple[int | str, ...]) -> int:
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
