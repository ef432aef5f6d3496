"""Findings about sizes: places where large packets pass only by a detour, or perhaps not at all."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Confidence, Finding, Where
from skoopctl.dataplane.trace import PathResult, Step


def mtu_findings(path: PathResult) -> Iterator[Finding]:
    """Yield one finding for each such place on the branches of a path."""
    seen: set[tuple[str, int, str]] = set()
    for branch in path.branches:
        for step in branch.mtu.concerns if branch.mtu is not None else ():
            place = step.node, step.netns, step.device
            if place not in seen:
                seen.add(place)
                yield _finding(step)


def _finding(step: Step) -> Finding:
    doc = DOCS[step.cause]
    where = step.node if step.namespace == "host" else f"{step.namespace} on {step.node}"
    return Finding(
        id=doc.id,
        severity=doc.severity,
        where=Where(step.node, step.namespace),
        summary=f"On {where}, {step.decision}",
        evidence=step.evidence,
        why=doc.why,
        confidence=Confidence.POSSIBLE if "hardware" in step.decision else Confidence.CERTAIN,
    )
