"""Ask many hosts at once: each within its deadlines, one result for each, nothing left behind.

A host that fails, hangs or lies costs its own row and nothing else. When the run is cancelled (Ctrl-C),
every connection is closed before the cancellation goes on: no task outlives :func:`run_fleet`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from skoopctl.errors import SkoopError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import (
    Answer,
    Deadlines,
    FleetObserver,
    HostResult,
    Job,
    TransportFactory,
)
from skoopctl.transport.deadline import deadline
from skoopctl.transport.verdict import complaint, status_of, unforeseen

MOST_FORKS = 100


async def run_fleet(
    hosts: Sequence[InventoryHost],
    job: Job,
    *,
    deadlines: Deadlines | None = None,
    forks: int | None = None,
    observer: FleetObserver | None = None,
    transports: TransportFactory | None = None,
    keep_output: bool = True,
) -> list[HostResult]:
    """Run ``job`` on every host, at most ``forks`` at a time, and return one result per host, in order.

    No host's failure is raised: it is in that host's result, with whatever had arrived.
    ``transports`` replaces the real ones (in tests). Without ``keep_output``, the observer alone gets what hosts wrote
    to stdout: of many hosts, all answers at once are much.
    """
    if observer is not None:
        observer.run_started(hosts)
    limits = deadlines or Deadlines()
    began = asyncio.get_running_loop().time()
    factory = transports or _real_transports()
    run = _Run(job, limits, factory, observer, began, _turns(len(hosts), forks), keep_output)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run.ask(host), name=f"ask {host.name}") for host in hosts]
    finally:
        await factory.close()
    results = [task.result() for task in tasks]
    if observer is not None:
        observer.run_finished(results)
    return results


def _turns(hosts: int, forks: int | None) -> asyncio.Semaphore:
    return asyncio.Semaphore(max(1, min(hosts, MOST_FORKS) if forks is None else forks))


def _real_transports() -> TransportFactory:
    from skoopctl.transport.choice import RealTransports  # noqa: PLC0415 - not needed with the caller's own

    return RealTransports()


@dataclass(frozen=True, slots=True)
class _Run:
    """What the hosts of one run have in common."""

    job: Job
    deadlines: Deadlines
    factory: TransportFactory
    observer: FleetObserver | None
    began: float
    """The loop's time at which it began."""
    turns: asyncio.Semaphore
    keep_output: bool

    @property
    def end(self) -> float:
        """The loop's time at which all of it must be over."""
        return self.began + self.deadlines.run_s

    async def ask(self, host: InventoryHost) -> HostResult:
        """Wait for this host's turn, ask it, and turn whatever happens into its result."""
        loop = asyncio.get_running_loop()
        answer = Answer(self.job.max_output, self.job.begins)
        started = loop.time()
        began_s: float | None = None
        error: SkoopError | None = None
        try:
            async with deadline(host.name, "run", self.deadlines.run_s, until=self.end), self.turns:
                started = loop.time()
                began_s = started - self.began
                if self.observer is not None:
                    self.observer.host_started(host)
                await self._converse(host, answer)
            error = complaint(host, answer)
        except SkoopError as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001 - a fault of ours at one host must not cost the others
            error = unforeseen(host, caught)
        result = HostResult(
            host=host.name,
            status=status_of(error, answer),
            stdout=answer.stdout,
            stderr=answer.stderr,
            exit_status=answer.exit_status,
            error=error,
            elapsed_s=loop.time() - started,
            began_s=began_s,
        )
        if self.observer is not None:
            self.observer.host_finished(result)
        return result if self.keep_output else replace(result, stdout=b"")

    async def _converse(self, host: InventoryHost, answer: Answer) -> None:
        """Wait until the host may log in, connect, run the job, and close, whatever happens in between."""
        transport = self.factory(host)

        def waiting() -> str:
            return f"waited for {transport.waiting_for}"

        connect_s, program_s = self.deadlines.connect_s, self.deadlines.program_s
        async with AsyncExitStack() as login:
            await login.enter_async_context(transport.turn(connect_s))
            async with deadline(host.name, "host", self.deadlines.host_s), AsyncExitStack() as stack:
                async with deadline(host.name, "connect", connect_s, hint=waiting):
                    await stack.enter_async_context(transport)
                await login.aclose()
                async with deadline(host.name, "program", program_s, hint=waiting):
                    await transport.run(self.job, answer)
