"""A finding: what is wrong, where, on what evidence, what the kernel does with it, and what would fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from skoopctl.dataplane.trace import Evidence


class Severity(IntEnum):
    """How bad, in rising order."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2
    FATAL = 3

    @property
    def word(self) -> str:
        """The severity as JSON and people write it."""
        return self.name.lower()


class Confidence(StrEnum):
    """How sure the model is that the finding is true."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Where:
    """The place: a node, and on it a namespace (``host`` or ``tools/demo``); both empty: the cluster."""

    node: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.node, self.namespace) if part) or "cluster"


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do. ``commands`` are for an administrator to read, and run on ``node``: skoopctl never does.

    ``checked`` is true when the model was edited this way and walked again, and the verdict became PASS.
    """

    summary: str
    node: str = ""
    commands: tuple[str, ...] = ()
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. ``cause`` marks the one that decides the flow in question; it sorts first."""

    id: str
    severity: Severity
    where: Where
    summary: str
    evidence: tuple[Evidence, ...] = ()
    why: str = ""
    fix: Fix | None = None
    confidence: Confidence = Confidence.CERTAIN
    cause: bool = False
