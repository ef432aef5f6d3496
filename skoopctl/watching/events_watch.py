"""The second exec on a host's connection: its events, beside its rounds.

What goes wrong here costs events and no rounds: a server that allows one exec a connection, a node without eBPF.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skoopctl.errors import DeniedError, SkoopError, UnsupportedError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.base import Transport
from skoopctl.transport.verdict import unforeseen
from skoopctl.watching.conversation import Conversation
from skoopctl.watching.events_asked import ARCHITECTURES, EventsAsked
from skoopctl.watching.listener import EventListener

if TYPE_CHECKING:
    from skoopctl.bpf.stream import Said

LAST_WORDS_S = 3.0
"""How long the end of events is waited for when all rounds have come: what was counted comes last."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted now: of which architecture the node is, and until when; 0 is without end."""

    asked: EventsAsked
    architecture: str
    until: float = 0.0


class EventsWatch:
    """Holds one conversation after another on one connection, for what is wanted at its time."""

    def __init__(
        self, host: InventoryHost, listener: EventListener, backoff: Backoff, first_s: float
    ) -> None:
        self._host = host
        self._listener = listener
        self._backoff = backoff
        self._first_s = first_s
        self._wanted: Wanted | None = None
        self._changed = asyncio.Event()
        self._scope: asyncio.Timeout | None = None
        self._talking: Conversation[Said] | None = None
        self._came = False
        self.over = asyncio.Event()
        """Whether nothing more is to come of what is wanted."""
        self.over.set()

    def want(self, wanted: Wanted | None) -> None:
        """Ask for something else from now on."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._changed.set()
        self.over.clear()
        if wanted is None:
            self.over.set()
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def last_words(self, seconds: float) -> None:
        """Have the program say what it has counted since the last time, and end; wait for that, and not for long."""
        if self._talking is None:
            return
        self._talking.ask_for_last_words()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.over.wait()

    async def run(self, transport: Transport) -> None:
        """Listen until cancelled. No failure is raised: the listener hears of it."""
        failures = 0
        while True:
            await self._changed.wait()
            wanted, self._came = self._wanted, False
            error = await self._once(transport, wanted) if wanted is not None else None
            if self._wanted != wanted:
                failures = 0
                continue
            if error is None:
                self._rest()
                continue
            failures = 1 if self._came else failures + 1
            again_in_s = None if _is_final(error) else self._backoff.wait_s(error, failures)
            self._listener.events_broken(self._host, error, again_in_s)
            if again_in_s is None:
                self._rest()
            else:
                await asyncio.sleep(again_in_s)

    def _rest(self) -> None:
        """Do nothing more until something else is wanted."""
        self._changed.clear()
        self.over.set()

    async def _once(self, transport: Transport, wanted: Wanted) -> SkoopError | None:
        """Hold one conversation; return what broke it, or nothing at its end, or when something else is wanted."""
        try:
            async with asyncio.timeout(None) as self._scope:
                await self._hold(transport, wanted)
        except TimeoutError:
            if self._scope is None or not self._scope.expired():
                raise
        except DeniedError as error:
            why = error.message.removeprefix(f"{self._host.name}: ")
            said = f"no second exec on the connection, which event probes need: {why}"
            return DeniedError(self._host.name, said, hint="is MaxSessions 1 in the server's sshd_config?")
        except SkoopError as error:
            return error
        except Exception as fault:  # noqa: BLE001 - a fault of ours here must not cost the rounds
            return unforeseen(self._host, fault)
        finally:
            self._scope = None
        return None

    async def _hold(self, transport: Transport, wanted: Wanted) -> None:
        if wanted.architecture not in ARCHITECTURES:
            raise UnsupportedError(
                self._host.name,
                f"its machine is {wanted.architecture or 'not told'}: there are event probes for "
                f"{' and '.join(ARCHITECTURES)}",
            )
        left = max(wanted.until - asyncio.get_running_loop().time(), 0.1) if wanted.until else 0.0
        talk = wanted.asked.talk(self._host.name, wanted.architecture, round(left, 1))
        self._talking = Conversation(self._host, talk, self._hear)
        try:
            await self._talking.hold(transport, self._first_s)
        finally:
            self._talking = None

    def _hear(self, said: Said) -> None:
        self._came = True
        self._listener.said(self._host, said)


def _is_final(error: SkoopError) -> bool:
    """Return whether another try on this connection would end like this one."""
    return isinstance(error, DeniedError | UnsupportedError)
