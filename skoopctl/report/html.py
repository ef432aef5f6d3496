"""A diagnosis as one page that stands alone: no script, nothing fetched, made to be read and printed."""

from __future__ import annotations

from functools import lru_cache

import jinja2
from markupsafe import Markup

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.dataplane.trace import Branch, Evidence
from skoopctl.report.jsonout import SCHEMA
from skoopctl.report.page import environment, style_hash, style_sheet
from skoopctl.report.stations import places
from skoopctl.report.svg import render_svg
from skoopctl.report.svg_style import DARK, STYLE
from skoopctl.report.words import (
    chosen,
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

BRANCHES_SHOWN = 24
RAW_LINES_SHOWN = 500


def render_html(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as one self-contained HTML document."""
    path = diagnosis.path
    order = sorted(path.branches, key=lambda branch: (branch.works, -branch.weight))
    raw = _raw_lines(path.branches)
    css = style_sheet()
    # The only markup that is not the template's own is the style sheet and the picture: both are ours,
    # and the picture escapes every word itself.
    page: str = (
        _templates()
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
            style_hashes=Markup(" ".join(style_hash(text) for text in (css, f"{STYLE}{DARK}"))),  # noqa: S704
            schema=SCHEMA,
        )
    )
    return page


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    made = environment().overlay()
    made.filters.update(
        places=places,
        header=header,
        rule_place=rule_place,
        share_of=share_of,
        settled=settled,
        chosen=chosen,
        deciding_walk=deciding_walk,
        ended=ended,
        fate=fate,
    )
    return made


def _raw_lines(branches: tuple[Branch, ...]) -> list[Evidence]:
    """Return every raw line on any way, once, in the order of the ways."""
    lines = (
        item for branch in branches for walk in branch.walks for step in walk.steps for item in step.evidence
    )
    return list(dict.fromkeys(lines))
