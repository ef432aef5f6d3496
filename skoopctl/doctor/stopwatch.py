"""When a host was asked and when its answer was there, by the workstation's clocks: for its clock and its speed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Job, Receiver, Transport, TransportFactory


@dataclass(frozen=True, slots=True)
class Timing:
    """One exchange. Zero where it did not come so far."""

    login_s: float = 0.0
    """From the first byte of the connection to being logged in."""
    answer_s: float = 0.0
    """From the exec to its end."""
    asked_wall_ns: int = 0
    """The workstation's wall clock when the program was started, just before the first byte was sent."""
    answered_wall_ns: int = 0
    """The same when the last byte was there."""


@dataclass(slots=True)
class TimedTransports:
    """Transports that are timed; by host in ``timings``."""

    inner: TransportFactory
    timings: dict[str, Timing] = field(default_factory=dict)

    def __call__(self, host: InventoryHost) -> Transport:
        """Return the host's transport, with a watch."""
        return _Timed(self.inner(host), host.name, self.timings)

    def lasting(self) -> None:
        """Pass it on."""
        self.inner.lasting()

    async def close(self) -> None:
        """Close what the hosts shared."""
        await self.inner.close()


class _Timed:
    """One transport, unchanged but for the time that it takes."""

    def __init__(self, inner: Transport, name: str, timings: dict[str, Timing]) -> None:
        self._inner = inner
        self._name = name
        self._timings = timings
        self._login_s = 0.0

    @property
    def waiting_for(self) -> str:
        """What has not come yet."""
        return self._inner.waiting_for

    def turn(self, connect_s: float) -> AbstractAsyncContextManager[None]:
        """Wait for leave to log in; that is not timed."""
        return self._inner.turn(connect_s)

    async def __aenter__(self) -> Self:
        started = time.monotonic()
        await self._inner.__aenter__()
        self._login_s = time.monotonic() - started
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    async def run(self, job: Job, receiver: Receiver) -> None:
        """Run the job and note when."""
        with self._timed():
            await self._inner.run(job, receiver)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started, asked = time.monotonic(), time.time_ns()
        try:
            yield
        finally:
            self._timings[self._name] = Timing(
                self._login_s, time.monotonic() - started, asked, time.time_ns()
            )
