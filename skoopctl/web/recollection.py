"""Collecting again while the page is open: one collection at a time, and the old evidence until it is done."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from skoopctl.checks.load import snapshot_of
from skoopctl.errors import SkoopError
from skoopctl.evidence.bundle import Bundle
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import FleetObserver, HostResult
from skoopctl.web.held import Held

Collect = Callable[[FleetObserver], Awaitable[Bundle]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. ``problem`` is why the last one gave nothing; ``number`` is which evidence is shown."""

    running: bool
    done: int
    total: int
    problem: str
    number: int


class Recollection:
    """The button. ``token`` is in our own forms only: a page of another site cannot press it."""

    def __init__(self, collect: Collect, held: Held) -> None:
        self.token = secrets.token_urlsafe(32)
        self._collect = collect
        self._held = held
        self._task: asyncio.Task[None] | None = None
        self._problem = ""
        self._done = self._total = 0

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        return Progress(self._running, self._done, self._total, self._problem, self._held.now.number)

    @property
    def _running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> bool:
        """Begin, unless one runs already; tell whether it began."""
        if self._running:
            return False
        self._done = self._total = 0
        self._problem = ""
        self._task = asyncio.create_task(self._again())
        return True

    async def stop(self) -> None:
        """End it, and wait until its connections are closed."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _again(self) -> None:
        try:
            bundle = await self._collect(self)
            snapshot = await self._held.work(lambda: snapshot_of(bundle))
        except SkoopError as error:
            self._problem = str(error)
        except Exception as error:  # noqa: BLE001 - the page must go on, and say so
            traceback.print_exc()
            self._problem = f"this is a bug in skoopctl: {type(error).__name__}: {error}"
        else:
            if snapshot.hosts:
                self._held.replace(snapshot)
            else:
                self._problem = bundle.coverage()

    # --- what the fleet tells --------------------------------------------------------------------------

    def run_started(self, hosts: Sequence[InventoryHost]) -> None:
        """Hear how many there are."""
        self._total = len(hosts)

    def host_started(self, host: InventoryHost) -> None:
        """Nothing: hosts start faster than anybody reads."""

    def host_finished(self, result: HostResult) -> None:  # noqa: ARG002 - the observer's signature
        """Count one more."""
        self._done += 1

    def run_finished(self, results: Sequence[HostResult]) -> None:
        """Nothing: the evidence is decoded first."""
