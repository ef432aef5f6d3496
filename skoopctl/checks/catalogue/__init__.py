"""Every finding that skoopctl knows, by its id: what it means, what the kernel does, what to look at.

``skoopctl explain ID`` and docs/findings.md print these tables.
"""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.catalogue.drops import DROPS
from skoopctl.checks.catalogue.evidence import EVIDENCE
from skoopctl.checks.catalogue.fleet import FLEET
from skoopctl.checks.catalogue.happenings import HAPPENINGS
from skoopctl.checks.catalogue.links import LINKS
from skoopctl.checks.catalogue.metrics import METRICS
from skoopctl.checks.catalogue.routing import ROUTING
from skoopctl.checks.catalogue.rules import RULES
from skoopctl.checks.catalogue.tunnels import TUNNELS
from skoopctl.checks.catalogue.ways import WAYS

__all__ = ["DOCS", "EVENTS", "Doc"]

EVENTS = (*DROPS, *HAPPENINGS)
"""Findings that events of a watched node tell."""
DOCS = {
    doc.id: doc for doc in (*RULES, *ROUTING, *LINKS, *TUNNELS, *WAYS, *EVIDENCE, *FLEET, *METRICS, *EVENTS)
}
