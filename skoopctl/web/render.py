"""Pages as HTML: our own templates, everything in them escaped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jinja2
from markupsafe import Markup

from skoopctl import __version__
from skoopctl.report.page import environment
from skoopctl.report.words import chosen, ended, header, rule_place
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


def render_diagnosis(
    page: DiagnosisPage | None, wanted: Wanted, around: Around, *, error: str = "", hint: str = ""
) -> str:
    """Return the page of a diagnosis, or the form alone with what is wrong with the question."""
    # The picture is the only markup that is not the template's own. It is made by skoopctl.report.svg, where every
    # word, title and address goes through escape_xml, and all else are numbers and words of our own tables.
    picture = Markup(page.picture) if page is not None else ""  # noqa: S704
    return _render(
        "web/diagnose.html.j2",
        page=page,
        picture=picture,
        wanted=wanted,
        around=around,
        error=error,
        hint=hint,
        protocols=PROTOCOLS,
        here="diagnose",
    )


def render_run_page(page: RunPage, around: Around) -> str:
    """Return the page of a kept run."""
    return _render("web/run.html.j2", page=page, run=page.run, around=around, here="run")


def _render(template: str, **context: object) -> str:
    text: str = _templates().get_template(template).render(version=__version__, **context)
    return text


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    made = environment().overlay()
    made.filters = {
        **made.filters,
        "chosen": chosen,
        "ended": ended,
        "header": header,
        "rule_place": rule_place,
    }
    return made
