"""Write docs/push.md from the model of the configuration, and docs/schema/push-1.schema.json.

``make docs`` runs it; with ``--check`` it only says whether the pages are fresh.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from skoopctl.plans.model import Part
from skoopctl.pushing import config
from skoopctl.pushing.config import PushConfig, config_schema

HERE = Path(__file__).parent
MARK = "<!-- keys: written by `make docs` from skoopctl/pushing/config.py -->\n"
PARTS: tuple[tuple[str, type[Part]], ...] = (
    ("The file", PushConfig),
    ("An entry of `probes`", config.ProbePart),
    ("`gateway`", config.GatewayPart),
    ("`listen`", config.ListenPart),
    ("`deadlines`", config.DeadlinesPart),
    ("`limits`", config.LimitsPart),
)
PARTS_BELOW = {"probes": "list, see below", "additional-labels": "texts by name"}


def keys() -> str:
    """Return the tables of all keys."""
    text = ""
    for title, part in PARTS:
        text += f"\n### {title}\n\n| key | value | what it says |\n|---|---|---|\n"
        for name, field in part.model_fields.items():
            key = field.alias or name
            text += f"| `{key}` | {_value(key, field)} | {_said(field)} |\n"
    return text


def _said(field: FieldInfo) -> str:
    said = field.description or getattr(_part(field.annotation), "__doc__", "") or ""
    return " ".join(said.replace("``", "`").split())


def _part(annotation: Any) -> type[Part] | None:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next((found for each in get_args(annotation) if (found := _part(each))), None)


def _value(key: str, field: FieldInfo) -> str:
    kind = PARTS_BELOW.get(key) or _kind(field.annotation)
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
    if _part(annotation) is not None:
        return "see below"
    text = str(annotation)
    words = (("bool", "`true` or `false`"), ("dict", "texts by name"), ("list", "list"), ("int", "number"))
    return next((word for sign, word in (*words, ("float", "number")) if sign in text), "text")


def page() -> str:
    """Return docs/push.md: what people wrote, and the tables behind the mark."""
    written = (HERE / "push.md").read_text(encoding="utf-8")
    before, mark, rest = written.partition(MARK)
    if not mark:
        sys.exit("docs/push.md: the mark before the tables of keys is gone")
    after = rest[rest.index("\n## ") :] if "\n## " in rest else ""
    return before + mark + keys() + after


def main() -> int:
    """Write the pages, or compare them."""
    pages = {
        HERE / "push.md": page(),
        HERE / "schema/push-1.schema.json": json.dumps(config_schema(), indent=2) + "\n",
    }
    stale = [
        path.name for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.stderr.write(f"{', '.join(stale)}: not what the code says; run: make docs\n")
        return bool(stale)
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
