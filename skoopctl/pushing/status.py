"""What /status says, in KubeSkoop's shape (``pkg/exporter/cmd/server.go``), for whoever reads that already."""

from __future__ import annotations

from collections.abc import Sequence

from skoopctl.events.catalogue import EVENT_PROBES
from skoopctl.probes.catalogue import PROBES
from skoopctl.probes.sample import Availability, State
from skoopctl.pushing.book import Book, NodeRecord

_RUNNING = frozenset({State.AVAILABLE, State.DEGRADED})


def status_of(book: Book) -> dict[str, object]:
    """Return probes in use with their states, and those that there are."""
    in_use = [{"name": name, "state": _state(book, name)} for name in book.measured.probes]
    events = [{"name": name, "state": _event_state(book, name)} for name in book.measured.events]
    return {
        "inuse_probes": {"metrics": in_use, "event": events},
        "available_probes": {"event": list(EVENT_PROBES), "metrics": list(PROBES)},
    }


def _state(book: Book, probe: str) -> str:
    """Return ``Running`` if the probe works on any node, ``Starting`` before any round, else ``Failed``."""
    return _in_short([record.series.availability().get(probe) for record in _measured(book)])


def _event_state(book: Book, probe: str) -> str:
    """Return the same of an event probe."""
    said = [
        record.events.availability().get(probe) for record in _measured(book) if record.events is not None
    ]
    return _in_short([each for each in said if each is not None and each.state is not State.UNKNOWN])


def _measured(book: Book) -> list[NodeRecord]:
    return [record for record in book.nodes.values() if record.rounds]


def _in_short(said: Sequence[Availability | None]) -> str:
    if not said:
        return "Starting"
    return "Running" if any(each is not None and each.state in _RUNNING for each in said) else "Failed"
