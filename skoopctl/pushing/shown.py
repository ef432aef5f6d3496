"""What the service's page shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from skoopctl.pushing.self_metrics import Standing
from skoopctl.pushing.status import status_of
from skoopctl.sinks.pages import Render


@dataclass(frozen=True, slots=True)
class ShownNodes:
    """The nodes of a book, as `skoopctl.sinks.site.Shown` wants them."""

    standing: Standing
    own_page: Callable[[bool], bytes]
    """The service's own series; with OpenMetrics, the end of the page too."""

    def counts(self) -> tuple[int, int]:
        """Return how many nodes' series are to be had, of how many."""
        return len(self.standing.book.shown()), len(self.standing.book.nodes)

    def texts(self, node: str | None, *, openmetrics: bool) -> Sequence[Render] | None:
        """Return what gives each node's text, or that of one; ``None`` where there is no such node."""
        book = self.standing.book
        if node is not None and node not in book.nodes:
            return None
        records = book.distinct() if node is None else [each for each in book.shown() if each.name == node]
        return [partial(book.text, record, openmetrics=openmetrics) for record in records]

    def status(self) -> dict[str, object]:
        """Return what /status says."""
        return status_of(self.standing.book)

    def unhealthy(self) -> str:
        """Return why rounds do not come, or nothing while they do."""
        return self.standing.book.unhealthy()

    def scraped(self, status: int) -> None:
        """Count an answer of /metrics."""
        key = str(status)
        self.standing.scrapes[key] = self.standing.scrapes.get(key, 0) + 1
