"""The keys of files that people write, as tables: from the models that read these files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from skoopctl.plans.part import Part

HEAD = "| key | value | what it says |\n|---|---|---|\n"
WORDS = (("bool", "`true` or `false`"), ("list", "list"), ("int", "number"), ("float", "number"))
"""What is in an annotation's text, and what to call it; the first that fits."""


def tables(parts: Iterable[tuple[str, type[Part]]], level: str, kinds: Mapping[str, str]) -> str:
    """Return a table for each part, below its title. ``kinds`` has what to call keys that take something special."""
    text = ""
    for title, part in parts:
        text += f"{level} {title}\n\n{HEAD}"
        for name, field in part.model_fields.items():
            key = field.alias or name
            text += f"| `{key}` | {_value(field, kinds.get(key))} | {_said(field)} |\n"
        text += "\n"
    return text


def _said(field: FieldInfo) -> str:
    said = field.description or getattr(_part(field.annotation), "__doc__", "") or ""
    return " ".join(said.replace("``", "`").split())


def _part(annotation: Any) -> type[Part] | None:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next((found for each in get_args(annotation) if (found := _part(each))), None)


def _value(field: FieldInfo, special: str | None) -> str:
    kind = special or _kind(field.annotation)
    if field.is_required():
        return f"{kind}, needed"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, bool):
        return f"{kind}, `{str(default).lower()}`"
    if default in (None, "", [], {}) or isinstance(default, Part | list):
        return kind
    return f"{kind}, `{default:g}`" if isinstance(default, float) else f"{kind}, `{default}`"


def _kind(annotation: Any) -> str:
    """Say in a word what a key takes."""
    if str(get_origin(annotation)) == "typing.Literal":
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if _part(annotation) is not None and get_origin(annotation) is not list:
        return "see below"
    return next((word for sign, word in WORDS if sign in str(annotation)), "text")
