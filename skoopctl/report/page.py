"""What every page has in common: templates that escape, one style sheet, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

import jinja2
from markupsafe import Markup

from skoopctl.report.assets import reports_folder
from skoopctl.report.escape import clip, escape_terminal

LONGEST = 2000
"""Characters of one value that are shown; the page says how many it left out."""


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Return the templates' environment: everything is escaped, and an unknown name is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(reports_folder() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Make every value that a template prints safe to read; Jinja escapes it for HTML after this."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return escape_terminal(clip(value, LONGEST))


@lru_cache(maxsize=1)
def style_sheet() -> str:
    """Return the style sheet of all pages."""
    return (reports_folder() / "css" / "report.css").read_text(encoding="utf-8")


def style_hash(text: str) -> str:
    """Return the source expression that lets one inline style sheet in (Content-Security-Policy)."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
