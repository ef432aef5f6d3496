"""What /status says, in KubeSkoop's shape (``pkg/exporter/cmd/server.go``), for whoever reads that already."""

from __future__ import annotations

from skoopctl.probes.catalogue import PROBES
from skoopctl.probes.sample import State
from skoopctl.pushing.book import Book

_RUNNING = frozenset({State.AVAILABLE, State.DEGRADED})


def status_of(book: Book) -> dict[str, object]:
    """Return probes in use with their states, and those that there are."""
    in_use = [{"name": name, "state": _state(book, name)} for name in book.measured.probes]
    return {
        "inuse_probes": {"metrics": in_use, "event": []},
        "available_probes": {"event": [], "metrics": list(PROBES)},
    }


def _state(book: Book, probe: str) -> str:
    """Return ``Running`` if the probe works on any node, ``Starting`` before any round, else ``Failed``."""
    said = [record.series.availability().get(probe) for record in book.nodes.values() if record.rounds]
    if not said:
        return "Starting"
    return "Running" if any(each is not None and each.state in _RUNNING for each in said) else "Failed"
