"""The documentation of one finding."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.checks.finding import Severity


@dataclass(frozen=True, slots=True)
class Doc:
    """The documentation of one finding. ``look`` are read-only commands that show it on the node."""

    id: str
    title: str
    severity: Severity
    why: str
    fix: str
    look: tuple[str, ...] = ()
