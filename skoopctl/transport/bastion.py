"""The bastions of one run: each is logged in to once, and carries all the hosts behind it.

One that fails costs its own hosts' rows, and is not tried again: each row says what became of the bastion. In a run
that lasts, it is opened again for the first host that asks after a wait; who asks before hears of the failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from skoopctl.errors import DeadlineError, TransportError, UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.connection import Connection
from skoopctl.transport.deadline import deadline
from skoopctl.transport.jump import Hop
from skoopctl.transport.login import LOGINS_AT_A_TIME, Logins

_BACKOFF = Backoff()


@dataclass(frozen=True, slots=True)
class _Way:
    """What makes two ways to a bastion the same: the hops, and where we start with which files."""

    hops: tuple[Hop, ...]
    netns: str | None
    known_hosts: str | None
    key_file: str | None

    def __str__(self) -> str:
        return ",".join(str(hop) for hop in self.hops)


class Bastions:
    """All bastions of one run, by the way to them."""

    def __init__(self, logins: Logins, *, lasting: bool = False) -> None:
        self.lasting = lasting
        """Whether one that failed or hung up is opened again."""
        self._logins = logins
        self._known: dict[_Way, Bastion] = {}
        self._own_key: dict[Hop, bool] = {}

    async def reach(
        self, host: InventoryHost, hops: tuple[Hop, ...], connect_s: float, *, passed: tuple[_Way, ...] = ()
    ) -> Bastion:
        """Return the last of ``hops``, connected; the first that asks for it opens it.

        Raises what went wrong with it, told as this host's own error.
        """
        async with deadline(
            host.name, "connect", connect_s, hint=lambda: "waited for ~/.ssh/config (Match exec)"
        ):
            key_file = None if await self._has_own_key(hops[-1]) else host.key_file
        way = _Way(hops, host.netns, host.known_hosts, key_file)
        if way in passed:
            raise UnreachableError(
                host.name,
                f"the bastion {way} would be reached through itself",
                hint="correct ProxyJump in ~/.ssh/config",
            )
        bastion = self._known.get(way)
        failures = 0
        if bastion is not None and self.lasting and bastion.may_be_replaced:
            failures = bastion.failures
            await bastion.close()
            # Somebody else may have replaced it meanwhile.
            bastion = None if self._known.get(way) is bastion else self._known.get(way)
        if bastion is None:
            bastion = self._known[way] = Bastion(self, self._logins, way, connect_s, passed, failures)
        await bastion.ready(host)
        return bastion

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(bastion.close() for bastion in self._known.values()))
        self._known.clear()

    async def _has_own_key(self, hop: Hop) -> bool:
        """Return whether the keys of the hosts behind a bastion do not matter to it."""
        if hop not in self._own_key:
            self._own_key[hop] = await self._logins.names_key(_host_of(hop))
        return self._own_key[hop]


class Bastion:
    """One bastion: a connection that is being opened, is open, or has failed."""

    def __init__(
        self,
        all_: Bastions,
        logins: Logins,
        way: _Way,
        connect_s: float,
        passed: tuple[_Way, ...],
        failed_before: int,
    ) -> None:
        self.way = way
        self._all = all_
        self._logins = logins
        self._connect_s = connect_s
        self._passed = passed
        self._slots = asyncio.Semaphore(LOGINS_AT_A_TIME)
        self._before: Bastion | None = None
        self._failed_before = failed_before
        self._loop = asyncio.get_running_loop()
        self._settled_at = 0.0
        self._wait_s: float | None = None
        self._task = asyncio.create_task(self._open(), name=f"bastion {way}")
        self._task.add_done_callback(self._settled)

    async def ready(self, host: InventoryHost) -> None:
        """Wait until it is connected, or raise its failure as one of ``host``."""
        try:
            await asyncio.shield(self._task)
        except TransportError as error:
            raise _retold(host, error) from None

    def _settled(self, task: asyncio.Task[Connection]) -> None:
        """Note when it was open or had failed, and how long it then stays as it is.

        A failure is looked at here: nobody may be waiting for it any more.
        """
        self._settled_at = self._loop.time()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, TransportError):
            self._wait_s = _BACKOFF.wait_s(error, self._failed_before + 1)
        else:
            self._wait_s = _BACKOFF.first_s * 2 ** min(self._failed_before, 6)

    @property
    def failures(self) -> int:
        """How often in a row it has failed; one that hung up soon after it was opened counts."""
        opened = not self._task.cancelled() and self._task.exception() is None
        long = self._loop.time() - self._settled_at > _BACKOFF.most_s
        return 0 if opened and long else self._failed_before + 1

    @property
    def may_be_replaced(self) -> bool:
        """Whether it has failed or hung up, and is to be tried again by now."""
        if not self._task.done() or self._wait_s is None:
            return False
        opened = not self._task.cancelled() and self._task.exception() is None
        if opened and self._task.result().alive:
            return False
        return self._loop.time() - self._settled_at >= self._wait_s

    @property
    def connection(self) -> Connection:
        """The connection, once it is ready."""
        return self._task.result()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for leave to log in to a host behind it: at most 8 do at a time, at each bastion on the way."""
        async with AsyncExitStack() as stack:
            bastion: Bastion | None = self
            while bastion is not None:
                await stack.enter_async_context(bastion._slots)  # noqa: SLF001 - its own kind
                bastion = bastion._before  # noqa: SLF001
            yield

    async def close(self) -> None:
        """Give up opening it, or close it at once."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._task.cancelled() and self._task.exception() is None:
            await self._task.result().close(hard=True)

    async def _open(self) -> Connection:
        *earlier, last = self.way.hops
        hop = replace(
            _host_of(last),
            known_hosts=self.way.known_hosts,
            netns=self.way.netns,
            # The bastions before it are named already; those of ~/.ssh/config are for the first only.
            jump="none" if earlier else None,
        )
        login = await self._logins.prepare(hop, bastion=True, fallback_key=self.way.key_file)
        before = tuple(earlier) or login.hops
        through: Connection | None = None
        async with AsyncExitStack() as stack:
            if before:
                self._before = await self._all.reach(
                    replace(hop, key_file=self.way.key_file),
                    before,
                    self._connect_s,
                    passed=(*self._passed, self.way),
                )
                through = self._before.connection
                await stack.enter_async_context(self._before.turn())
            else:
                await stack.enter_async_context(self._logins.slot(hop, login))
            connection = Connection(hop, login, through)

            def waiting() -> str:
                return f"waited for {connection.waiting_for}"

            try:
                async with deadline(hop.name, "connect", self._connect_s, hint=waiting):
                    await connection.open()
            except BaseException:
                await connection.close(hard=True)
                raise
            return connection


def _host_of(hop: Hop) -> InventoryHost:
    return InventoryHost(
        name=f"bastion {hop}",
        address=hop.host,
        port=hop.port or 22,
        port_given=hop.port is not None,
        user=hop.user,
    )


def _retold(host: InventoryHost, error: TransportError) -> TransportError:
    """Return a bastion's error as one of a host behind it; the bastion's name begins the message."""
    if isinstance(error, DeadlineError):
        hint = f"{error.host} {error.hint}"
        return DeadlineError(host.name, error.stage, error.seconds, hint=hint)
    message = error.message if error.message.startswith("bastion ") else f"{error.host}: {error.message}"
    return type(error)(host.name, message, hint=error.hint)
