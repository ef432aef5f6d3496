"""What is looked at in a whole cluster, without anybody having asked for a path. Pure, as all checks are."""

from __future__ import annotations

from skoopctl.checks.inspections import alike, each_pod, evidence, forwarding, mesh, services, tables  # noqa: F401 - they register
from skoopctl.checks.inspections.registry import (
    INSPECTIONS,
    THRESHOLDS,
    Inspected,
    Inspection,
    Noted,
    Threshold,
)

__all__ = ["INSPECTIONS", "THRESHOLDS", "Inspected", "Inspection", "Noted", "Threshold"]
