"""A diagnosis as one page that stands alone: no script, nothing fetched, made to be read and printed."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

import jinja2
from markupsafe import Markup

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.dataplane.trace import Branch, Evidence
from skoopctl.report.assets import reports_folder
from skoopctl.report.escape import clip, escape_terminal
from skoopctl.report.jsonout import SCHEMA
from skoopctl.report.stations import places
from skoopctl.report.svg import render_svg
from skoopctl.report.svg_style import DARK, STYLE
from skoopctl.report.words import (
    chosen,
    counter,
    deciding_walk,
    ended,
    fate,
    header,
    overview,
    rule_place,
    settled,
    share_of,
    verdict_sentence,
)

LONGEST = 2000
"""Characters of one raw line that are shown; the page says how many it left out."""

BRANCHES_SHOWN = 24
RAW_LINES_SHOWN = 500


def render_html(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as one self-contained HTML document."""
    path = diagnosis.path
    order = sorted(path.branches, key=lambda branch: (branch.works, -branch.weight))
    raw = _raw_lines(path.branches)
    css = _css()
    # The only markup that is not the template's own is the style sheet and the picture: both are ours,
    # and the picture escapes every word itself.
    page: str = (
        _environment()
        .get_template("diagnosis.html.j2")
        .render(
            d=diagnosis,
            path=path,
            first=settled(path.representative, path),
            drawn=path.representative,
            branches=order[:BRANCHES_SHOWN],
            more_branches=len(order) - BRANCHES_SHOWN,
            causes=[finding for finding in diagnosis.findings if finding.cause],
            others=[finding for finding in diagnosis.findings if not finding.cause],
            raw=raw[:RAW_LINES_SHOWN],
            more_raw=len(raw) - RAW_LINES_SHOWN,
            sentence=verdict_sentence(diagnosis),
            overview=overview(diagnosis),
            picture=Markup(render_svg(diagnosis, captioned=False)),  # noqa: S704
            css=Markup(css),  # noqa: S704
            style_hashes=Markup(" ".join(_hash(text) for text in (css, f"{STYLE}{DARK}"))),  # noqa: S704
            schema=SCHEMA,
        )
    )
    return page


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(reports_folder() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        places=places,
        header=header,
        counter=counter,
        rule_place=rule_place,
        share_of=share_of,
        settled=settled,
        chosen=chosen,
        deciding_walk=deciding_walk,
        ended=ended,
        fate=fate,
    )
    return environment


def _shown(value: Any) -> Any:
    """Make every value that a template prints safe to read; Jinja escapes it for HTML after this."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return escape_terminal(clip(value, LONGEST))


@lru_cache(maxsize=1)
def _css() -> str:
    return (reports_folder() / "css" / "report.css").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _raw_lines(branches: tuple[Branch, ...]) -> list[Evidence]:
    """Return every raw line on any way, once, in the order of the ways."""
    lines = (
        item for branch in branches for walk in branch.walks for step in walk.steps for item in step.evidence
    )
    return list(dict.fromkeys(lines))
