"""The forms that a report can have, by the ending of its file's name; each is made from the same context."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from skoopctl.errors import UsageError
from skoopctl.report.incident import SCHEMA_FILE
from skoopctl.report.rendering import Look, render_markdown, render_page

Json = dict[str, Any]


def _json(context: Mapping[str, Any], _: Look) -> bytes:
    # ASCII alone: what a node said cannot reach a terminal as anything but words.
    return (json.dumps(context, indent=2) + "\n").encode()


def _html(context: Mapping[str, Any], look: Look) -> bytes:
    return render_page(context, look).encode()


def _markdown(context: Mapping[str, Any], look: Look) -> bytes:
    return render_markdown(context, look).encode()


def _pdf(context: Mapping[str, Any], look: Look) -> bytes:
    from skoopctl.report.pdf import render_pdf  # noqa: PLC0415 - loads what only PDF needs

    return render_pdf(context, look)


FORMS: Mapping[str, Callable[[Mapping[str, Any], Look], bytes]] = {
    "html": _html,
    "pdf": _pdf,
    "md": _markdown,
    "json": _json,
}
ENDINGS = {".html": "html", ".htm": "html", ".pdf": "pdf", ".md": "md", ".json": "json"}


def form_of(flag: str, file: str) -> str:
    """Return the form that a file's name asks for. Raises `UsageError` for a name that asks for none."""
    form = ENDINGS.get(Path(file).suffix.lower())
    if form is None:
        raise UsageError(f"{flag} {file}: the name must end in {', '.join(ENDINGS)}")
    return form


def render(context: Mapping[str, Any], form: str, look: Look | None = None) -> bytes:
    """Return a report in a form of `FORMS`. The same context gives the same bytes, whenever and wherever."""
    return FORMS[form](context, look or Look())


def report_schema() -> Json:
    """Return the JSON Schema (2020-12) of a report's context."""
    text = resources.files("skoopctl.report").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    loaded: Json = json.loads(text)
    return loaded
