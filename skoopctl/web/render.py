"""Pages as HTML: our own templates, everything in them escaped."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import jinja2
from markupsafe import Markup

from skoopctl import __version__
from skoopctl.report.messages import LANGUAGES, Messages, messages
from skoopctl.report.overview_in import detail_in
from skoopctl.report.page import environment
from skoopctl.report.template_words import functions, in_html
from skoopctl.web.diagnosis_page import DiagnosisPage
from skoopctl.web.held import Evidence
from skoopctl.web.recollection import Progress
from skoopctl.web.run_page import RunPage
from skoopctl.web.wanted import PROTOCOLS, Wanted


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around every page: where one can go, and whether evidence can be collected again."""

    run: bool
    """Whether there is a run to go back to."""
    evidence: Evidence | None
    progress: Progress | None = None
    csrf: str = ""
    words: Messages = field(default_factory=messages)
    """The language of the page."""


def render_diagnosis(
    page: DiagnosisPage | None, wanted: Wanted, around: Around, *, error: str = "", hint: str = ""
) -> str:
    """Return the page of a diagnosis, or the form alone with what is wrong with the question."""
    # The picture is the only markup that is not the template's own. It is made by skoopctl.report.svg, where every
    # word, title and address goes through escape_xml, and all else are numbers and words of our own tables.
    picture = Markup(page.picture) if page is not None else ""  # noqa: S704
    return _render(
        "web/diagnose.html.j2",
        around,
        page=page,
        picture=picture,
        wanted=wanted,
        error=detail_in(error, around.words),
        hint=around.words.sentence(hint),
        protocols=PROTOCOLS,
        here="diagnose",
    )


def render_run_page(page: RunPage, around: Around) -> str:
    """Return the page of a kept run."""
    evidence = detail_in(page.evidence, around.words)
    return _render("web/run.html.j2", around, page=page, run=page.run, evidence=evidence, here="run")


def _render(template: str, around: Around, **context: object) -> str:
    words, progress = around.words, around.progress
    made = _templates(words.lang).get_template(template)
    text: str = made.render(
        version=__version__,
        around=around,
        seen=around.evidence.seen(words) if around.evidence is not None else None,
        problem=detail_in(progress.problem, words) if progress is not None else "",
        **context,
    )
    return text


@lru_cache(maxsize=len(LANGUAGES))
def _templates(lang: str) -> jinja2.Environment:
    made = environment().overlay()
    made.globals = {**made.globals, **functions(messages(lang), in_html)}
    return made
