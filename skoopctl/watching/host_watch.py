"""One host for as long as it takes: connect, listen, and after each break wait and begin again."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from skoopctl.errors import DeniedError, SkoopError, UnreachableError
from skoopctl.evidence.rounds import Round
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.base import Deadlines, Transport, TransportFactory
from skoopctl.transport.deadline import deadline
from skoopctl.transport.verdict import unforeseen
from skoopctl.watching.asked import Asked
from skoopctl.watching.conversation import Conversation
from skoopctl.watching.listener import WatchListener


@dataclass(frozen=True, slots=True)
class Shared:
    """What the hosts of one watch have in common."""

    listener: WatchListener
    factory: TransportFactory
    deadlines: Deadlines
    backoff: Backoff
    logins: asyncio.Semaphore
    """How many may be logging in at a time; a host that is connected holds no place."""


class HostWatch:
    """One host. :meth:`run` ends when all rounds have come, or when trying again would do harm."""

    def __init__(self, host: InventoryHost, asked: Asked, shared: Shared) -> None:
        self.host = host
        self.rounds = 0
        """How many rounds of what is asked for now have come."""
        self.ever = 0
        """How many rounds have come at all."""
        self.over = False
        """Whether all rounds have come, and the listener was told so."""
        self._asked = asked
        self._shared = shared
        self._scope: asyncio.Timeout | None = None
        self._good = False

    def set_asked(self, asked: Asked) -> None:
        """Ask for something else: at once where a conversation is going on, on the same connection."""
        self._asked = asked
        self.rounds = 0
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Watch the host, and tell the listener how it goes. No failure of the host is raised."""
        failures = 0
        while True:
            self._good = False
            error = await self._once()
            if error is None:
                self.over = True
                self._shared.listener.ended(self.host)
                return
            failures = 1 if self._good else failures + 1
            again_in_s = self._shared.backoff.wait_s(error, failures)
            self._shared.listener.broken(self.host, error, again_in_s)
            if again_in_s is None:
                return
            await asyncio.sleep(again_in_s)

    async def _once(self) -> SkoopError | None:
        """Connect and listen; return what broke it, or nothing when all rounds have come."""
        try:
            await self._connect_and_listen()
        except SkoopError as error:
            return error
        except Exception as fault:  # noqa: BLE001 - a fault of ours at one host must not cost the others
            return unforeseen(self.host, fault)
        return None

    async def _connect_and_listen(self) -> None:
        """Wait for leave to log in, connect, listen, and close, whatever happens in between."""
        shared, name = self._shared, self.host.name
        shared.listener.connecting(self.host)
        transport = shared.factory(self.host)

        def waiting() -> str:
            return f"waited for {transport.waiting_for}"

        connect_s = shared.deadlines.connect_s
        async with AsyncExitStack() as login:
            # First the turn at its own server: whoever waits for a bastion keeps no place from the others.
            await login.enter_async_context(transport.turn(connect_s))
            await login.enter_async_context(shared.logins)
            async with AsyncExitStack() as stack:
                async with deadline(name, "connect", connect_s, hint=waiting):
                    await stack.enter_async_context(transport)
                await login.aclose()
                shared.listener.connected(self.host)
                await self._listen(transport)

    async def _listen(self, transport: Transport) -> None:
        """Hold one conversation after another on one connection, each for what is asked for at its time."""
        before: Asked | None = None
        while True:
            asked = self._asked
            try:
                async with asyncio.timeout(None) as self._scope:
                    left = max(asked.rounds - self.rounds, 1) if asked.rounds else 0
                    talk = Conversation(self.host, asked, left, self._hear)
                    await talk.hold(transport, self._shared.deadlines.program_s)
            except TimeoutError:
                if self._scope is None or not self._scope.expired():
                    raise
            except DeniedError as error:
                if before is None or self.host.become:
                    raise
                # A server with MaxSessions 1 may not have seen the end of the exec before.
                raise UnreachableError(
                    self.host.name, f"no second exec on the connection: {error.message}"
                ) from None
            finally:
                self._scope = None
            if asked is self._asked:
                return
            before = asked

    def _hear(self, round_: Round) -> None:
        self.rounds += 1
        self.ever += 1
        self._good = True
        self._shared.listener.round_came(self.host, round_)
