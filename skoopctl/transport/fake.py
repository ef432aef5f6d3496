"""Scripted hosts for tests of everything above the transport seam, and a clock that tests can move."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from skoopctl.errors import SkoopError, UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Job, Receiver
from skoopctl.transport.heartbeat import heartbeat


@dataclass(frozen=True, slots=True)
class Script:
    """How one fake host behaves, in order: connect, pour out ``stdout`` and ``stderr``, then end or fail."""

    stdout: bytes = b""
    pours: Callable[[Job], AsyncIterator[bytes]] | None = None
    """Gives more of stdout, piece by piece, after it."""
    stderr: bytes = b""
    exit_status: int | None = 0
    turn_s: float = 0.0
    """How long it waits before it may connect."""
    connect_s: float = 0.0
    run_s: float = 0.0
    refuses: SkoopError | None = None
    """Raised instead of connecting."""
    breaks: SkoopError | None = None
    """Raised after the output, instead of ending."""


@dataclass(slots=True)
class FakeTransports:
    """A transport factory for :func:`skoopctl.transport.fleet.run_fleet`. Hosts without a script refuse."""

    scripts: Mapping[str, Script]
    jobs: dict[str, Job] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    """Hosts that are connected now."""
    most_open: int = 0
    closed: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)
    """Hosts in the order in which they were connected to, or refused."""
    execs: list[str] = field(default_factory=list)
    """Hosts in the order in which jobs began on them."""
    beats: dict[str, int] = field(default_factory=dict)
    """How often each job's host has had a byte on stdin."""
    said: dict[str, bytes] = field(default_factory=dict)
    """What else each job's host has had on stdin."""
    over: bool = False
    """Whether the run has closed what its hosts share."""

    def __call__(self, host: InventoryHost) -> FakeTransport:
        """Return the scripted transport of a host."""
        missing = Script(refuses=UnreachableError(host.name, "no script for this host"))
        return FakeTransport(host, self.scripts.get(host.name, missing), self)

    def lasting(self) -> None:
        """Nothing: fake hosts share nothing."""

    async def close(self) -> None:
        """Note the end of the run."""
        self.over = True


@dataclass(slots=True)
class FakeTransport:
    """One scripted host."""

    host: InventoryHost
    script: Script
    log: FakeTransports
    waiting_for: str = "the script"

    @asynccontextmanager
    async def turn(self, connect_s: float) -> AsyncIterator[None]:
        """Wait as the script says."""
        del connect_s
        await asyncio.sleep(self.script.turn_s)
        yield

    async def __aenter__(self) -> Self:
        self.log.dialled.append(self.host.name)
        await asyncio.sleep(self.script.connect_s)
        if self.script.refuses is not None:
            raise self.script.refuses
        self.log.open.add(self.host.name)
        self.log.most_open = max(self.log.most_open, len(self.log.open))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.log.open.discard(self.host.name)
        self.log.closed.append(self.host.name)

    async def run(self, job: Job, receiver: Receiver) -> None:
        """Play the script."""
        self.log.jobs[self.host.name] = job
        self.log.execs.append(self.host.name)
        receiver.add_stderr(self.script.stderr)
        receiver.opened(self._say)
        with heartbeat(self._beat, job.heartbeat_s):
            whole = await self._pour(job, receiver)
            await asyncio.sleep(self.script.run_s)
        if self.script.breaks is not None:
            raise self.script.breaks
        if whole:
            receiver.exit_status = self.script.exit_status

    async def _pour(self, job: Job, receiver: Receiver) -> bool:
        """Give what the script says; return whether all of it was taken."""
        whole = receiver.add_stdout(self.script.stdout)
        if whole and self.script.pours is not None:
            async for piece in self.script.pours(job):
                if not receiver.add_stdout(piece):
                    return False
        return whole

    def _say(self, data: bytes) -> None:
        self.log.said[self.host.name] = self.log.said.get(self.host.name, b"") + data

    def _beat(self, data: bytes) -> None:
        self.log.beats[self.host.name] = self.log.beats.get(self.host.name, 0) + len(data)


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: tells its loop how long it would have waited."""

    slept: float = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now, and let the clock jump over the wait."""
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits for something that no timer will bring")
        if not ready and timeout:
            self.slept += timeout
        return ready


class MovedClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing else is to be done.

    Deadlines of minutes pass in no time: ``asyncio.Runner(loop_factory=MovedClockLoop).run(…)``.
    """

    def __init__(self) -> None:
        self._jumps = _JumpingSelector()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Return the moved clock's seconds."""
        return self._jumps.slept
