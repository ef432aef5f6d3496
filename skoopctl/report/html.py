"""A diagnosis as one page that stands alone: no script, nothing fetched, made to be read and printed."""

from __future__ import annotations

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.report.incident import incident_context
from skoopctl.report.messages import messages
from skoopctl.report.rendering import render_page


def render_html(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as one self-contained HTML document, in English."""
    return render_page(incident_context(diagnosis, messages()))
