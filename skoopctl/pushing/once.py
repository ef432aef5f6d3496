"""One round of every node, for cron: pushed, or printed; and an exit status that tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from skoopctl.bpf.stream import Said
from skoopctl.errors import SkoopError
from skoopctl.evidence.rounds import Round
from skoopctl.inventory import InventoryHost
from skoopctl.pushing.book import Book, NodeRecord
from skoopctl.pushing.config import PushConfig
from skoopctl.pushing.journal import Journal
from skoopctl.pushing.parts import deadlines_of, delivery_of, measured_of
from skoopctl.pushing.surroundings import Fleet, Surroundings
from skoopctl.sinks.pages import joined
from skoopctl.transport.apart import apart
from skoopctl.watching.fleet_watch import FleetWatch

EXIT_SOME, EXIT_NONE = 3, 4


@dataclass(slots=True)
class _Once:
    """Hears the watch for the book; a host that fails is not tried again."""

    book: Book
    leave: Callable[[str], None]

    def connecting(self, host: InventoryHost) -> None:
        """Pass it on."""
        self.book.connecting(host)

    def connected(self, host: InventoryHost) -> None:
        """Pass it on."""
        self.book.connected(host)

    def round_came(self, host: InventoryHost, round_: Round) -> None:
        """Pass it on."""
        self.book.round_came(host, round_)

    def said(self, host: InventoryHost, said: Said) -> None:
        """Pass it on."""
        self.book.said(host, said)

    def events_broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Pass it on."""
        self.book.events_broken(host, error, again_in_s)

    def broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Pass it on, and do without the host."""
        del again_in_s
        self.book.broken(host, error, None)
        self.leave(host.name)

    def ended(self, host: InventoryHost) -> None:
        """Pass it on."""
        self.book.ended(host)


async def run_once(
    config: PushConfig,
    fleet: Fleet,
    around: Surroundings,
    journal: Journal,
    *,
    write: Callable[[bytes], object],
) -> int:
    """Take one round of every node to the gateway, or to ``write`` where there is none; return the exit status.

    0: everything arrived; 3: some nodes, or some pushes, did not; 4: nothing arrived.
    """
    book = Book(measured_of(config), journal)
    book.set_hosts(fleet.hosts)
    left = {host.name: host for host in fleet.hosts}

    def leave(name: str) -> None:
        left.pop(name, None)
        watch.set_hosts(tuple(left.values()))

    watch = FleetWatch(
        around.asked(config, 1),
        _Once(book, leave),
        transports=around.transports(),
        deadlines=deadlines_of(config),
        forks=config.forks,
        spread_s=0.0,
    )
    with suppress(TimeoutError):
        async with asyncio.timeout(config.deadlines.run):
            await watch.run(fleet.hosts)
    if config.kubeconfig:
        await _name(book, config, around, journal)
    silent = [name for name, record in book.nodes.items() if not record.rounds]
    if silent:
        some = ", ".join(silent[:8]) + (f" and {len(silent) - 8} more" if len(silent) > 8 else "")
        journal.say("no-round", f"no round came from {some}", always=True)
    arrived = await _deliver(book, config, fleet, journal, write)
    if not arrived:
        return EXIT_NONE
    return EXIT_SOME if arrived < len(fleet.hosts) else 0


async def _name(book: Book, config: PushConfig, around: Surroundings, journal: Journal) -> None:
    try:
        book.name_pods(await apart(around.names, config))
    except SkoopError as error:
        journal.say("names-failed", f"pods keep the names that the nodes give: {error}")


async def _deliver(
    book: Book, config: PushConfig, fleet: Fleet, journal: Journal, write: Callable[[bytes], object]
) -> int:
    """Hand all series over; return of how many nodes they arrived."""
    records = book.shown()
    delivery = delivery_of(config, fleet.cluster, journal)
    if delivery is None:
        for piece in joined([partial(book.text, record) for record in book.distinct()]):
            write(piece)
        return len(records)
    pushing = asyncio.create_task(delivery.run())
    for record in records:
        delivery.offer(record.name, partial(_data, book, record))
    await delivery.drain(3 * delivery.access.timeout_s)
    pushing.cancel()
    await asyncio.wait([pushing])
    return delivery.tally.pushes


def _data(book: Book, record: NodeRecord) -> bytes:
    return book.text(record).data
