"""The evidence of one run: what every later room reads, live or from a file.

On disk it is a ``.skoop`` file, a zip::

    manifest.json                    schema, tool version, time, inventory; per host its status, and per item
                                     its status, detail, time, size and SHA-256
    hosts/<host>/<inode>/<item>      the raw bytes of an item (inode 0: the host); empty ones have no member, and
                                     of several with the same bytes only the first has one, which the manifest
                                     names at the others (``member``)
    cluster/<kind>.json              Kubernetes lists

The same bundle always gives the same bytes. A bundle may come from anybody: sizes are capped, names are
checked, and every item's hash is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from skoopctl import __version__
from skoopctl.evidence.item import HostEvidence
from skoopctl.transport.base import HostStatus


@dataclass(frozen=True, slots=True)
class HostRecord:
    """How asking one host went, and what it said. ``evidence`` may hold items whatever the status is.

    ``address`` is the inventory's, by which a host that gave no answer is still known on a path.
    """

    status: HostStatus
    detail: str
    evidence: HostEvidence
    elapsed_s: float = 0.0
    address: str = ""
    began_s: float | None = None
    """When its turn came, in seconds after the first host's; None where it never came, or nobody wrote it down."""

    @property
    def collected(self) -> bool:
        """Whether there is anything to analyse: at least one namespace was told of."""
        return any(netns for netns, _ in self.evidence.items)


@dataclass(frozen=True, slots=True)
class Bundle:
    """One run's evidence: hosts by their inventory names, and the API's lists by kind (``pods`` …).

    ``redacted`` tells whether names and addresses are those of a map (`skoopctl.evidence.redaction`).
    """

    results: Mapping[str, HostRecord]
    cluster: Mapping[str, bytes] = field(default_factory=dict)
    cluster_problem: str = ""
    inventory: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    tool_version: str = __version__
    redacted: bool = False

    @property
    def collected(self) -> int:
        """How many hosts there is evidence of."""
        return sum(record.collected for record in self.results.values())

    @property
    def whole(self) -> int:
        """How many hosts answered everything."""
        return sum(record.status is HostStatus.OK for record in self.results.values())

    def coverage(self) -> str:
        """Return the sentence with which every report opens."""
        total, names = len(self.results), []
        partial = self.collected - self.whole
        for name, record in self.results.items():
            if record.status is not HostStatus.OK:
                names.append(f"{name} {record.status}")
        sentence = f"{self.collected} of {total} hosts collected"
        if partial > 0:
            sentence += f", {partial} of them not wholly"
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            sentence += f" ({shown})"
        return sentence
