"""One host for as long as it takes: connect, listen, and after each break wait and begin again."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from skoopctl.errors import DeniedError, SkoopError, UnreachableError
from skoopctl.evidence.rounds import Round
from skoopctl.evidence.who import identity_in
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.base import Deadlines, Transport, TransportFactory
from skoopctl.transport.deadline import deadline
from skoopctl.transport.verdict import unforeseen
from skoopctl.watching.asked import Asked
from skoopctl.watching.conversation import Conversation
from skoopctl.watching.events_watch import LAST_WORDS_S, EventsWatch, Wanted
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
        self._events: EventsWatch | None = None
        self._machine = ""

    def set_asked(self, asked: Asked) -> None:
        """Ask for something else: at once where a conversation is going on, on the same connection."""
        self._asked = asked
        self.rounds = 0
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def last_words(self) -> None:
        """Wait for what its events have counted since the last time, and not for long: they end with it."""
        if self._events is not None:
            await self._events.last_words(LAST_WORDS_S)

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
        """Listen to rounds, and beside them to events, if any are asked for."""
        shared = self._shared
        self._events = EventsWatch(self.host, shared.listener, shared.backoff, shared.deadlines.program_s)
        self._machine = ""
        listening = asyncio.create_task(self._events.run(transport), name=f"events of {self.host.name}")
        try:
            await self._listen_to_rounds(transport)
            await self.last_words()
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            self._events = None

    async def _listen_to_rounds(self, transport: Transport) -> None:
        """Hold one conversation after another on one connection, each for what is asked for at its time."""
        before: Asked | None = None
        while True:
            asked = self._asked
            try:
                async with asyncio.timeout(None) as self._scope:
                    left = max(asked.rounds - self.rounds, 1) if asked.rounds else 0
                    talk = asked.talk(self.host.name, left)
                    self._want_events(asked)
                    conversation = Conversation(self.host, talk, self._hear, asked.check(self.host.name))
                    await conversation.hold(transport, self._shared.deadlines.program_s)
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

    def _want_events(self, asked: Asked) -> None:
        """Have events listened to, once a round has told which machine it is."""
        if self._events is None or (asked.events is not None and not self._machine):
            return
        if asked.events is None:
            self._events.want(None)
            return
        left = max(asked.rounds - self.rounds, 0) * asked.interval_s if asked.rounds else 0.0
        until = asyncio.get_running_loop().time() + left if asked.rounds else 0.0
        self._events.want(Wanted(asked.events, self._machine, until))

    def _hear(self, round_: Round) -> None:
        self.rounds += 1
        self.ever += 1
        self._good = True
        self._shared.listener.round_came(self.host, round_)
        if not self._machine and self._asked.events is not None:
            self._machine = machine_of(round_)
            self._want_events(self._asked)


def machine_of(round_: Round) -> str:
    """Return which machine the node is (``x86_64``), as its first round tells; "" when it does not."""
    return str(identity_in(round_).get("machine", ""))
