"""Series on their way to a gateway: one place in the queue for each node, where the newest wins.

A gateway that is slow or down delays nobody: what comes meanwhile takes the place of what waits, and is counted
as dropped. After a failure one push at a time tries it, later each time, until one succeeds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from skoopctl.errors import PushError
from skoopctl.pushing.journal import Journal
from skoopctl.sinks.gateway import JOB, Access, GatewayClient, Pushed, RefusedError

SELF = ""
"""In place of a node's name: the service's own group."""
FIRST_BACKOFF_S = 1.0
Render = Callable[[], bytes]
T = TypeVar("T")


@dataclass(slots=True)
class Tally:
    """What became of pushes since the start."""

    pushes: int = 0
    deletions: int = 0
    dropped: int = 0
    """Rounds that were never pushed, because a newer one came first."""
    failures: Counter[str] = field(default_factory=Counter)
    """By kind: ``gateway`` could not be reached or refused all, ``text`` was not taken."""
    seconds: float = 0.0
    up: bool | None = None


class Delivery:
    """The queue and the connections of one gateway. All but threads' work happens in the event loop."""

    def __init__(
        self,
        access: Access,
        *,
        cluster: str,
        service: str = "push",
        connections: int = 4,
        most_backoff_s: float = 10.0,
        journal: Journal | None = None,
        client: Callable[[Access], GatewayClient] = GatewayClient,
    ) -> None:
        self.access = access
        self.cluster = cluster
        self.tally = Tally()
        self._service = service
        self._connections = connections
        self._most_backoff_s = most_backoff_s
        self._journal = journal or Journal()
        self._client = client
        self._pool = ThreadPoolExecutor(connections + 1, "skoopctl-gateway")
        self._idle: list[GatewayClient] = []
        self._busy: list[GatewayClient] = []
        self._waiting: dict[str, Render | None] = {}
        self._flying: set[str] = set()
        self._failed = 0
        self._not_before = 0.0
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def group(self, node: str) -> dict[str, str]:
        """Return the labels of a node's group, or of the service's own."""
        return {"cluster": self.cluster} | ({"service": self._service} if node == SELF else {"node": node})

    def offer(self, node: str, render: Render) -> None:
        """Push what ``render`` returns, as soon as it is this node's turn; it is called then, in the event loop."""
        if self._waiting.get(node) is not None:
            self.tally.dropped += 1
        self._put(node, render)

    def withdraw(self, node: str) -> None:
        """Delete a node's group, however long that takes to succeed."""
        self._put(node, None)

    @property
    def length(self) -> int:
        """How many nodes wait or are being pushed now."""
        return len(self._waiting.keys() | self._flying)

    async def run(self) -> None:
        """Push until cancelled; then connections are closed at once."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    while (node := self._next()) is not None:
                        self._flying.add(node)
                        tasks.create_task(self._deliver(node, self._waiting.pop(node)))
        finally:
            for client in (*self._idle, *self._busy):
                client.close()
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def drain(self, seconds: float) -> bool:
        """Wait until nothing waits; return whether that came about within ``seconds``."""
        self._not_before = 0.0
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        return self._settled.is_set()

    async def prune(self, watched: Callable[[], set[str]], stale_s: float) -> None:
        """Withdraw groups of this cluster's nodes that nobody watches and nobody has pushed for ``stale_s``."""
        try:
            found = await self._in_thread(lambda client: client.groups())
        except PushError as error:
            self._journal.say("prune-failed", f"old groups were not looked for: {error}")
            return
        for node in sorted(nobodys(found, self.cluster, stale_s) - watched()):
            self._journal.say("pruned", f"{node}: nobody pushes its group any more; it is deleted", node=node)
            self.withdraw(node)

    # --- the queue ---------------------------------------------------------------------------------------

    def _put(self, node: str, render: Render | None) -> None:
        self._waiting[node] = render
        self._settled.clear()
        self._wake.set()

    def _next(self) -> str | None:
        """Return who is next: whose turn it is, and of whom nothing is being pushed now."""
        if len(self._flying) >= (1 if self._failed else self._connections):
            return None
        if asyncio.get_running_loop().time() < self._not_before:
            return None
        return next((node for node in self._waiting if node not in self._flying), None)

    async def _deliver(self, node: str, render: Render | None) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            body = render() if render is not None else b""
            if not body:  # a group without series would look like a node without traffic
                await self._in_thread(lambda client: client.delete(self.group(node)))
                self.tally.deletions += 1
            else:
                await self._in_thread(lambda client: client.put(self.group(node), body))
                self.tally.pushes += 1
            self._succeeded()
        except RefusedError as error:
            self.tally.failures["text"] += 1
            self._journal.say("refused", f"{node or 'the service'}: {error}", node=node)
            self._succeeded()
        except PushError as error:
            self._waiting.setdefault(node, render)
            self._fail(error)
        finally:
            self.tally.seconds += loop.time() - began
            self._flying.discard(node)
            if not self._waiting and not self._flying:
                self._settled.set()
            self._wake.set()

    async def _in_thread(self, act: Callable[[GatewayClient], T]) -> T:
        client = self._idle.pop() if self._idle else self._client(self.access)
        self._busy.append(client)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, act, client)
        except asyncio.CancelledError:
            client.close()  # the thread that uses it ends with its socket
            raise
        finally:
            self._busy.remove(client)
            self._idle.append(client)

    def _succeeded(self) -> None:
        if self._failed:
            self._journal.say(
                "gateway-back", f"{self.access.url}: the gateway takes pushes again", always=True
            )
        self._failed = 0
        self._not_before = 0.0
        self.tally.up = True

    def _fail(self, error: PushError) -> None:
        self.tally.failures["gateway"] += 1
        self.tally.up = False
        wait = min(self._most_backoff_s, FIRST_BACKOFF_S * 2 ** min(self._failed, 16))
        self._failed += 1
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads services, guards nothing
        loop = asyncio.get_running_loop()
        self._not_before = loop.time() + wait
        loop.call_later(wait, self._wake.set)
        self._journal.say("gateway-failed", f"{error} (again in {wait:.1f} s)")


def nobodys(found: list[Pushed], cluster: str, stale_s: float) -> set[str]:
    """Return the nodes of a cluster whose groups are older than ``stale_s``. Others' groups are never among them."""
    return {
        pushed.group["node"]
        for pushed in found
        if {name for name, _ in pushed.labels} == {"job", "cluster", "node"}
        and dict(pushed.labels)["job"] == JOB
        and pushed.group["cluster"] == cluster
        and pushed.age_s > stale_s
    }
