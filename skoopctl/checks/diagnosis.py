"""One diagnosis: a flow's path, its findings, and what could not be seen. Every output is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from skoopctl.checks.finding import Finding
from skoopctl.dataplane.trace import PathResult


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of the question, as asked and as found.

    ``kind`` is ``pod node service external unknown``; ``name`` is ``tools/demo-…``, a node's name, and so on;
    ``node`` is where it runs, when known.
    """

    asked: str
    address: str
    kind: str = "unknown"
    name: str = ""
    node: str = ""

    @property
    def label(self) -> str:
        """A name with the address, for people."""
        return f"{self.kind} {self.name} ({self.address})" if self.name else self.address


@dataclass(frozen=True, slots=True)
class HostCoverage:
    """What was seen of one host. ``status`` is one of the design's seven; ``gaps`` name unread items.

    ``took_s`` is how long asking it took, in seconds, and ``began_s`` when that began, after the first host; None
    when that is not known.
    """

    host: str
    status: str
    detail: str = ""
    gaps: tuple[str, ...] = ()
    took_s: float | None = field(default=None, compare=False)
    began_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was seen at all: every report opens with it."""

    hosts: tuple[HostCoverage, ...]
    api: str = "not asked"
    redacted: bool = False
    """Whether names and addresses are not the cluster's own."""

    @property
    def collected(self) -> int:
        """How many hosts gave an answer, whole or partial."""
        return sum(host.status in {"ok", "partial"} for host in self.hosts)

    def sentence(self) -> str:
        """Return the coverage in words."""
        other = ", names and addresses redacted" if self.redacted else ""
        return f"{self.collected} of {len(self.hosts)} hosts collected{other}"


@dataclass(frozen=True, slots=True)
class Detected:
    """What the cluster was found to be, without any flag."""

    network_plugin: str = ""
    underlay_interfaces: tuple[str, ...] = ()
    proxy_mode: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer to one question."""

    source: Endpoint
    destination: Endpoint
    path: PathResult
    findings: tuple[Finding, ...]
    coverage: Coverage
    detected: Detected
    collected_at: str = ""
    tool_version: str = ""
