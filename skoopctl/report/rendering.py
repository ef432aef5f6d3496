"""A report's context becomes a page: templates of ours, or people's own in their place.

A template sees the context's keys, and the fixed words of the language as functions:

- ``t(KEY, name=value …)``: words of ``reports/messages``, values filled in and escaped
- ``n(KEY, NUMBER, name=value …)``: words for a number of things
- ``word(TABLE, VALUE)``: the word for a value of a closed set
- ``css``, ``picture``, ``policy`` (HTML only): style sheets, the picture, and the policy that lets only these in
- ``paper``, ``most_detailed`` (HTML only): whether a PDF is made from it, and how many findings it tells in full then
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from skoopctl.errors import TemplateError, UsageError
from skoopctl.report.assets import reports_folder
from skoopctl.report.markdown import escape_markdown, fenced, in_code
from skoopctl.report.messages import messages
from skoopctl.report.page import style_hash, style_sheet
from skoopctl.report.svg_style import DARK, STYLE
from skoopctl.report.template_words import clean, functions, in_html

MARKDOWN, HTML = "md", "html"
MOST_DETAILED = 100
"""Findings of a run that are told with their evidence on paper; the rest is listed by node."""
TEMPLATES = tuple(f"{kind}.{form}.j2" for kind in ("incident", "inspection") for form in (HTML, MARKDOWN))

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """How a report looks: ``templates`` is a folder whose files stand in place of ours of the same name."""

    templates: Path | None = None

    def check(self) -> None:
        """Raise `UsageError` unless the folder has a template that would be used."""
        if self.templates is None:
            return
        if not self.templates.is_dir():
            raise UsageError(f"--template {self.templates}: there is no such folder")
        if not any((self.templates / name).is_file() for name in TEMPLATES):
            raise UsageError(
                f"--template {self.templates}: holds none of {', '.join(TEMPLATES)}",
                hint="docs/reports.md says what they are given",
            )


def render_page(context: Json, look: Look | None = None, *, paper: str = "") -> str:
    """Return a report as one self-contained HTML document; with ``paper``, its style sheet, what a PDF is made from.

    Raises `TemplateError` that names the file and line when a template of the user's is at fault.
    """
    css = style_sheet() + paper
    picture = str(context.get("picture", ""))
    sheets = (css, f"{STYLE}{DARK}") if picture else (css,)
    # The only markup that is not the template's own is the style sheet and the picture: both are ours,
    # and the picture escapes every word itself.
    ours = {
        "css": Markup(css),  # noqa: S704
        "picture": Markup(picture),  # noqa: S704
        "policy": Markup(  # noqa: S704
            f"default-src 'none'; style-src {' '.join(map(style_hash, sheets))}; base-uri 'none'; form-action 'none'"
        ),
        "paper": bool(paper),
        "most_detailed": MOST_DETAILED,
    }
    return _rendered(HTML, context, look or Look(), ours)


def render_markdown(context: Json, look: Look | None = None) -> str:
    """Return a report as Markdown (CommonMark with tables). Raises `TemplateError`, as `render_page` does."""
    return _rendered(MARKDOWN, context, look or Look(), {})


def _rendered(form: str, context: Json, look: Look, ours: Json) -> str:
    made = _environment(form, str(context["lang"]), look.templates)
    name = f"{context['kind']}.{form}.j2"
    try:
        page = made.get_template(name).render({**context, **ours})
    except Exception as error:
        if look.templates is None:
            raise
        raise _fault(error, look.templates, name) from error
    return page.rstrip("\n") + "\n"


@lru_cache(maxsize=8)
def _environment(form: str, lang: str, folder: Path | None) -> jinja2.Environment:
    """Return an environment in which everything is escaped, no value can be marked safe, and a name must exist."""
    folders = [*([folder] if folder else []), reports_folder() / "templates"]
    words = messages(lang)
    made = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown if form == HTML else _written,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    del made.filters["safe"]
    made.filters.update(clean=clean, fenced=fenced, code=in_code)
    made.globals.update(functions(words, in_html if form == HTML else _in_markdown))
    return made


def _shown(value: Any) -> Any:
    """Make every value that a page prints safe to read; Jinja escapes it for HTML after this."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else clean(value)


def _written(value: Any) -> Any:
    """Make every value that Markdown prints words, and nothing else."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else escape_markdown(clean(value))


def _in_markdown(text: str, names: Mapping[str, object]) -> str:
    # Not Markup's own format: that would escape what is filled in for HTML.
    filled = {
        name: str(_written(value if isinstance(value, Markup) else str(value)))
        for name, value in names.items()
    }
    return Markup(text.format(**filled))  # noqa: S704


def _one_line(error: Exception) -> str:
    return clean(str(error) or type(error).__name__)


def _fault(error: Exception, folder: Path, name: str) -> Exception:
    """Return a user's mistake with its file and line; what is no mistake of theirs, as it is."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return TemplateError(error.message or "syntax error", path=error.filename or name, line=error.lineno)
    if isinstance(error, jinja2.TemplateNotFound):
        return TemplateError(f"there is no template {error.name!r}", path=str(folder))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(folder):
            return TemplateError(_one_line(error), path=frame.filename, line=frame.lineno or 0)
    return error
