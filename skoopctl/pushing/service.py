"""The service: it watches all nodes and hands their series to the gateway and the page, until it is told to end.

Everything runs in one event loop; what may block (files, the API, the gateway) is done in threads.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from skoopctl.errors import SkoopError
from skoopctl.pushing.book import Book, NodeRecord
from skoopctl.pushing.config import PushConfig
from skoopctl.pushing.delivery import SELF, Delivery
from skoopctl.pushing.journal import Journal
from skoopctl.pushing.notify import Notifier
from skoopctl.pushing.parts import Serving, delivery_of, measured_of, watch_of
from skoopctl.pushing.self_metrics import Standing, self_page, self_registry
from skoopctl.pushing.surroundings import Fleet, Surroundings, fingerprint
from skoopctl.sinks.loki import LokiSink
from skoopctl.sinks.loki_configured import loki_of
from skoopctl.transport.apart import apart
from skoopctl.watching.fleet_watch import FleetWatch

TICK_S = 1.0
STOP_S = 4.5
"""How long all of stopping may take."""
PRUNE_S = 3600.0
EXIT_INTERRUPTED = 130


class Service:
    """One run of the service. `run` does it once."""

    def __init__(
        self,
        config: PushConfig,
        fleet: Fleet,
        surroundings: Surroundings,
        journal: Journal,
        notifier: Notifier,
    ) -> None:
        self.config = config
        self.fleet = fleet
        self._around = surroundings
        self._journal = journal
        self._notifier = notifier
        self.book = Book(measured_of(config), journal, fresh=self._fresh, stale=self._stale)
        self.standing = Standing(self.book, config_hash=fingerprint(config), last_reload=time.time())
        self.standing.inventory_read = time.time()
        self._registry = self_registry(self.standing)
        self.serving = Serving(self.standing, self._own_page)
        self._delivery: Delivery | None = None
        self._loki: LokiSink | None = None
        self._watch: FleetWatch | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status. Raises `UsageError` if it cannot begin."""
        loop = asyncio.get_running_loop()
        self.serving.prepare(self.config)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        async with asyncio.TaskGroup() as self._group:
            self._begin()
            self._notifier.ready(self._status())
            hosts, probes = (
                len(self.fleet.hosts),
                len(self.config.probe_names) + len(self.config.event_names),
            )
            said = f"started: {hosts} nodes, {probes} probes, every {self.config.interval:g} s"
            self._journal.say("started", said, always=True)
            await self._stop.wait()
            self._notifier.stopping()
            await self._finish()
            for task in self._tasks.values():
                task.cancel()
        self._journal.say("stopped", "stopped", always=True)
        return 0

    def _begin(self) -> None:
        self.book.set_hosts(self.fleet.hosts)
        self._set_delivery()
        self._set_loki()
        self._serve()
        self._set_watch()
        for name, work in (
            ("tick", self._ticking()),
            ("reload", self._reloading()),
            ("refresh", self._refreshing()),
            ("names", self._naming()),
            ("prune", self._pruning()),
        ):
            self._start(name, work)

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            os._exit(
                EXIT_INTERRUPTED
            )  # asked twice: connections end with the process, and node programs with them
        self._stop.set()

    async def _finish(self) -> None:
        """End in order, within `STOP_S`: what events still count, no more rounds, the last push, the page."""
        loop = asyncio.get_running_loop()
        end = loop.time() + STOP_S
        await self._last_words(STOP_S / 3)
        await self._cancel("watch", STOP_S / 3)
        if self._delivery is not None:
            if self.config.gateway is not None and self.config.gateway.on_stop == "delete":
                for node in (*self.book.nodes, SELF):
                    self._delivery.withdraw(node)
            else:
                for record in self.book.shown():
                    if record.events is not None:
                        self._fresh(record)
                self._delivery.offer(SELF, lambda: self._own_page(False))
            if not await self._delivery.drain(max(0.5, end - loop.time() - 1.0)):
                left = self._delivery.length
                self._journal.say(
                    "not-pushed", f"{left} groups did not reach the gateway any more", always=True
                )
        if self._loki is not None and not await self._loki.drain(max(0.5, end - loop.time() - 0.5)):
            self._journal.say(
                "not-sent", f"{self._loki.length} events did not reach Loki any more", always=True
            )
        await self.serving.stop()

    async def _last_words(self, seconds: float) -> None:
        """Take in what events have counted since their last time, if it comes in time."""
        if self._watch is not None and self.config.event_names:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._watch.last_words()

    # --- what goes on meanwhile --------------------------------------------------------------------------

    async def _ticking(self) -> None:
        loop = asyncio.get_running_loop()
        own = watchdog = 0.0
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            now = loop.time()
            self.standing.loop_lag_s = max(0.0, now - due)
            self.book.tick()
            if self._delivery is not None and now >= own:
                own = now + self.config.interval
                self._delivery.offer(SELF, lambda: self._own_page(False))
            if self._notifier.watchdog_s and now >= watchdog:
                watchdog = now + self._notifier.watchdog_s / 2 - TICK_S
                self._notifier.alive(self._status())

    async def _refreshing(self) -> None:
        while True:
            await asyncio.sleep(self.config.refresh)
            await self._look_again()

    async def _look_again(self) -> None:
        """Read the inventory again; while it cannot be read, the hosts of before are asked."""
        try:
            fleet = await apart(self._around.fleet, self.config)
        except SkoopError as error:
            self.standing.inventory_ok = False
            self._journal.say("inventory-failed", f"{error} (the hosts of before are still asked)")
            return
        self.standing.inventory_ok, self.standing.inventory_read = True, time.time()
        self._set_fleet(fleet)

    async def _naming(self) -> None:
        """Ask the API for pods, again and again, and give their names on."""
        while True:
            if self.config.kubeconfig:
                try:
                    cluster = await apart(self._around.names, self.config)
                    self.standing.names_ok = True
                    if cluster is not None:
                        self.book.name_pods(cluster)
                except SkoopError as error:
                    self.standing.names_ok = False
                    self._journal.say("names-failed", f"pods keep the names that they have: {error}")
            await asyncio.sleep(self.config.names)

    async def _pruning(self) -> None:
        """Delete what nobody pushes any more: at the start, once it must be stale, and every hour."""
        for wait_s in (0.0, self.config.stale_s + TICK_S):
            await asyncio.sleep(wait_s)
            await self._prune()
        while True:
            await asyncio.sleep(PRUNE_S)
            await self._prune()

    async def _prune(self) -> None:
        part = self.config.gateway
        if self._delivery is not None and part is not None and part.prune:
            await self._delivery.prune(lambda: set(self.book.nodes), self.config.stale_s)

    # --- what may change ---------------------------------------------------------------------------------

    async def _reloading(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._notifier.reloading()
            try:
                loaded = await apart(self._around.config)
                fleet = await apart(self._around.fleet, loaded.config)
                await self._change(loaded.config, fleet)
            except SkoopError as error:
                self.standing.reloads["failed"] += 1
                self.standing.last_reload_ok = False
                self._journal.say(
                    "reload-failed", f"{error} (the configuration of before goes on)", always=True
                )
            else:
                self.standing.reloads["ok"] += 1
                self.standing.last_reload_ok, self.standing.last_reload = True, time.time()
                self.standing.inventory_ok, self.standing.inventory_read = True, time.time()
                for note in loaded.notes:
                    self._journal.say("note", note, always=True)
                self._journal.say("reloaded", f"the configuration is read: {self._status()}", always=True)
            self._notifier.ready(self._status())

    async def _change(self, config: PushConfig, fleet: Fleet) -> None:
        """Change what differs, and nothing else. Raises `UsageError` before anything is changed."""
        before, was = self.config, self.fleet
        self.serving.prepare(config)
        self.config = config
        self.standing.config_hash = fingerprint(config)
        measured = measured_of(config)
        self.book.set_measured(measured)
        if (config.gateway, fleet.cluster) != (before.gateway, was.cluster):
            self._retire_delivery()
            self.fleet = fleet
            self._set_delivery()
        if (config.loki, fleet.cluster) != (before.loki, was.cluster):
            self._retire_loki()
            self._set_loki()
        if self.serving.is_prepared:
            await self._cancel("serve", 2.0, stop=self.serving.stop_serving)
            self._serve()
        self._set_fleet(fleet, watch=False)
        anew = ("additional_labels", "deadlines", "forks")
        if any(getattr(config, name) != getattr(before, name) for name in anew):
            await self._last_words(1.0)
            await self._cancel("watch", 2.0)
            self._set_watch()
        elif self._watch is not None:
            self._watch.set_asked(self._around.asked(config, 0))
            self._watch.set_hosts(fleet.hosts)

    def _set_fleet(self, fleet: Fleet, *, watch: bool = True) -> None:
        self.fleet = fleet
        self.book.set_hosts(fleet.hosts)
        if watch and self._watch is not None:
            self._watch.set_hosts(fleet.hosts)

    def _set_watch(self) -> None:
        self._watch = watch_of(self.config, self._around, self.book)
        self._start("watch", self._watch.run(self.fleet.hosts))

    def _set_delivery(self) -> None:
        self._delivery = delivery_of(self.config, self.fleet.cluster, self._journal)
        self.standing.delivery = self._delivery
        if self._delivery is not None:
            self._start("delivery", self._delivery.run())
            for record in self.book.shown():
                self._fresh(record)

    def _retire_delivery(self) -> None:
        """Delete our groups where they are no longer pushed to, beside everything else."""
        old, task = self._delivery, self._tasks.pop("delivery", None)
        if old is None or task is None:
            return

        async def retire() -> None:
            for node in (*self.book.nodes, SELF):
                old.withdraw(node)
            await old.drain(10.0)
            task.cancel()

        self._start(f"retire-{id(old)}", retire())

    def _set_loki(self) -> None:
        """Send events to where the configuration wants them."""
        sink = loki_of(self.config.loki, self.fleet.cluster, self._journal.say)
        self._loki = self.standing.loki = sink
        if sink is None:
            self.book.happened = lambda _event: None
        else:
            self.book.happened = sink.put
            self._start("loki", sink.run())

    def _retire_loki(self) -> None:
        """Let events that wait go where they were meant to go, beside everything else."""
        old, task = self._loki, self._tasks.pop("loki", None)
        if old is None or task is None:
            return

        async def retire() -> None:
            await old.drain(10.0)
            task.cancel()

        self._start(f"retire-loki-{id(old)}", retire())

    def _serve(self) -> None:
        listener = self.serving.take_over()
        if listener is not None:
            self._start("serve", listener.serve())

    # --- the rest ----------------------------------------------------------------------------------------

    def _fresh(self, record: NodeRecord) -> None:
        if self._delivery is not None and record.shown:
            self._delivery.offer(record.name, lambda: self.book.text(record).data)

    def _stale(self, node: str) -> None:
        if self._delivery is not None:
            self._delivery.withdraw(node)

    def _own_page(self, openmetrics: bool) -> bytes:
        return self_page(self._registry, openmetrics=openmetrics)

    def _status(self) -> str:
        return f"{len(self.book.shown())} of {len(self.book.nodes)} nodes"

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None  # noqa: S101 - run() has begun
        task = self._group.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    async def _cancel(self, name: str, seconds: float, *, stop: Any = None) -> None:
        task = self._tasks.pop(name, None)
        if task is None:
            return
        (stop or task.cancel)()
        _, pending = await asyncio.wait([task], timeout=seconds)
        for each in pending:
            each.cancel()
