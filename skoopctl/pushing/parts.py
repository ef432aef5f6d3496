"""The service's parts, as a configuration wants them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from skoopctl.pushing.book import Book, Measured
from skoopctl.pushing.config import LimitsPart, ListenPart, PushConfig
from skoopctl.pushing.delivery import Delivery
from skoopctl.pushing.journal import Journal
from skoopctl.pushing.self_metrics import Standing
from skoopctl.pushing.shown import ShownNodes
from skoopctl.pushing.surroundings import Surroundings
from skoopctl.sinks.access import access_of
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.base import Deadlines
from skoopctl.watching.fleet_watch import FleetWatch

if TYPE_CHECKING:
    from skoopctl.sinks.listener import Listener


def measured_of(config: PushConfig) -> Measured:
    """Return what series are made of."""
    return Measured(
        config.probe_names,
        dict(config.additional_labels),
        config.limits.node_series,
        config.stale_s,
        config.event_names,
    )


def deadlines_of(config: PushConfig) -> Deadlines:
    """Return the four deadlines."""
    part = config.deadlines
    return Deadlines(part.connect, part.program, part.host, part.run)


def watch_of(config: PushConfig, around: Surroundings, book: Book) -> FleetWatch:
    """Return the watch. A node that is back is found within an interval, so that two rounds are missed at most."""
    return FleetWatch(
        around.asked(config, 0),
        book,
        transports=around.transports(),
        deadlines=deadlines_of(config),
        forks=config.forks,
        backoff=Backoff(most_s=min(60.0, max(2.0, config.interval))),
    )


def delivery_of(config: PushConfig, cluster: str, journal: Journal) -> Delivery | None:
    """Return the queue to the gateway, if there is one."""
    part = config.gateway
    if part is None:
        return None
    return Delivery(
        access_of(part),
        cluster=cluster,
        service=part.service,
        connections=part.connections,
        most_backoff_s=min(30.0, max(1.0, config.interval)),
        journal=journal,
    )


class Serving:
    """The page's server: the next one is prepared whole before the one of before ends."""

    def __init__(self, standing: Standing, own_page: Callable[[bool], bytes]) -> None:
        self._standing = standing
        self._own_page = own_page
        self._is: tuple[ListenPart | None, LimitsPart | None] = (None, None)
        self._sock: socket.socket | None = None
        self._listener: Listener | None = None
        self._next: tuple[Listener | None, socket.socket | None] | None = None

    def prepare(self, config: PushConfig) -> None:
        """Get ready what ``config`` wants, if that differs. Raises `UsageError`; then all is as before."""
        wanted = (config.listen, config.limits)
        self._next = None
        if wanted == self._is:
            return
        if config.listen is None:
            self._next = None, None
        else:
            self._next = self._prepared(config.listen, config.limits)
        self._is = wanted

    def _prepared(self, listen: ListenPart, limits: LimitsPart) -> tuple[Listener, socket.socket]:
        from skoopctl.sinks.listener import Listener, bind  # noqa: PLC0415 - loads the web server
        from skoopctl.sinks.site import Site  # noqa: PLC0415 - the same

        place = listen.place
        kept = self._is[0]
        same = (
            self._sock is not None
            and kept is not None
            and (kept.place.host, kept.place.port) == (place.host, place.port)
        )
        sock = self._sock if same and self._sock is not None else bind(place)
        site = Site(
            ShownNodes(self._standing, self._own_page), place, scrapes=limits.scrapes, scrape_s=limits.scrape
        )
        try:
            return Listener(site, place, sock), sock
        except BaseException:
            if not same:
                sock.close()
            raise

    @property
    def is_prepared(self) -> bool:
        """Whether something else is to be served now."""
        return self._next is not None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 where none is."""
        return int(self._sock.getsockname()[1]) if self._sock is not None else 0

    def take_over(self) -> Listener | None:
        """Return the server that was prepared, if any; the socket of before is closed if it is another."""
        if self._next is None:
            return None
        before = self._sock
        (self._listener, self._sock), self._next = self._next, None
        if before is not None and before is not self._sock:
            before.close()
        return self._listener

    def stop_serving(self) -> None:
        """Tell the server to end."""
        if self._listener is not None:
            self._listener.stop()

    async def stop(self) -> None:
        """End it all."""
        self.stop_serving()
        with suppress(OSError):
            if self._sock is not None:
                self._sock.close()
