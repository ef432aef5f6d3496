"""Many hosts watched at once: each has a task of its own, joins and leaves by itself, and delays nobody.

Nothing outlives :meth:`FleetWatch.run`: whatever ends it, every connection is closed first.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.base import Deadlines, TransportFactory
from skoopctl.transport.fleet import MOST_FORKS
from skoopctl.watching.asked import Asked
from skoopctl.watching.host_watch import HostWatch, Shared
from skoopctl.watching.listener import WatchListener

__all__ = ["Asked", "Backoff", "FleetWatch", "WatchListener"]


class FleetWatch:
    """Watches hosts, on one event loop; :meth:`run` does it once.

    ``deadlines.connect_s`` is for each login, ``deadlines.program_s`` for the first round; the other two do not apply.
    ``forks`` is how many may be logging in at a time. Hosts start at times that their names spread over ``spread_s``
    (an interval where it is left out): the same host at the same time in each run.
    """

    def __init__(
        self,
        asked: Asked,
        listener: WatchListener,
        *,
        transports: TransportFactory,
        deadlines: Deadlines,
        forks: int | None = None,
        backoff: Backoff = Backoff(),  # noqa: B008 - frozen
        spread_s: float | None = None,
    ) -> None:
        self._asked = asked
        logins = asyncio.Semaphore(forks or MOST_FORKS)
        self._shared = Shared(listener, transports, deadlines, backoff, logins)
        self._spread_s = asked.interval_s if spread_s is None else spread_s
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, tuple[HostWatch, asyncio.Task[None]]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._bounded = asyncio.Event()
        self._wanted: Sequence[InventoryHost] | None = None

    @property
    def silent(self) -> tuple[str, ...]:
        """The hosts, of those that are watched, that have never sent a round."""
        return tuple(name for name, (watch, _) in self._tasks.items() if not watch.ever)

    async def run(self, hosts: Sequence[InventoryHost]) -> None:
        """Watch ``hosts`` until all rounds that were asked for have come; without a number, until cancelled.

        No host's failure is raised: the listener hears of it. Closes the transports.
        """
        self._shared.factory.lasting()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    self.set_hosts(hosts if self._wanted is None else self._wanted)
                    self.set_asked(self._asked)
                    await self._bounded.wait()
                except asyncio.CancelledError:
                    self._group = None  # nobody joins any more
                    raise
        finally:
            self._group = None
            await self._shared.factory.close()

    async def last_words(self) -> None:
        """Wait, and not for long, for what events have counted since the last time; they end with it.

        For whoever is about to end it before its time.
        """
        await asyncio.gather(*(watch.last_words() for watch, _ in self._tasks.values()))

    def set_hosts(self, hosts: Sequence[InventoryHost]) -> None:
        """Watch these from now on: who is new joins, who is missing leaves at once, who has changed begins anew.

        Before :meth:`run` has begun it takes the place of its argument; after its end it does nothing.
        """
        self._wanted = hosts
        if self._group is not None:
            self._change(self._group, hosts)

    def _change(self, group: asyncio.TaskGroup, hosts: Sequence[InventoryHost]) -> None:
        wanted = {host.name: host for host in hosts}
        for name, (watch, _) in list(self._tasks.items()):
            if wanted.get(name) != watch.host:
                self._leave(name, told=name not in wanted)
        for host in wanted.values():
            if host.name not in self._tasks:
                self._join(group, host)

    def set_asked(self, asked: Asked) -> None:
        """Ask all hosts for something else from now on, on the connections that stand."""
        if asked != self._asked:
            self._asked = asked
            for watch, _ in self._tasks.values():
                watch.set_asked(asked)
        if asked.rounds:
            self._bounded.set()

    def _join(self, group: asyncio.TaskGroup, host: InventoryHost) -> None:
        watch = HostWatch(host, self._asked, self._shared)
        before = self._leaving.get(host.name)
        task = group.create_task(self._watch(watch, before), name=f"watch {host.name}")
        self._tasks[host.name] = watch, task

    async def _watch(self, watch: HostWatch, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        await asyncio.sleep(start_after_s(watch.host.name, self._spread_s))
        await watch.run()

    def _leave(self, name: str, *, told: bool) -> None:
        """End a host's task; one that is replaced by another of its name is not told to have ended."""
        watch, task = self._tasks.pop(name)
        task.cancel()
        self._leaving[name] = task

        def gone(task: asyncio.Task[None]) -> None:
            if self._leaving.get(name) is task:
                del self._leaving[name]
            if told and not watch.over:
                self._shared.listener.ended(watch.host)

        task.add_done_callback(gone)


def start_after_s(name: str, spread_s: float) -> float:
    """Return when a host of that name starts, from 0 on and before ``spread_s``: the same in each run."""
    return zlib.crc32(name.encode(errors="surrogateescape")) / 2**32 * spread_s
