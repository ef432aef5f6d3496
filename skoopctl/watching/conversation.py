"""One run of the node program in sample mode: rounds as they come, until it ends, breaks or falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from skoopctl.errors import DeadlineError, EvidenceError, SkoopError, TransportError
from skoopctl.evidence.rounds import Round
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Transport
from skoopctl.transport.handing import HandingOn
from skoopctl.transport.verdict import complaint, unforeseen
from skoopctl.watching.asked import Asked

Heard = Callable[[Round], None]
ROUNDS_AHEAD = 4
"""Rounds that may come more than time has passed for: those that a stalled connection held back."""


class Conversation:
    """One exec on a connected transport, with its silence watched."""

    def __init__(self, host: InventoryHost, asked: Asked, rounds: int, heard: Heard) -> None:
        """``rounds`` are still to come, 0 is without end; each is given to ``heard``."""
        self._host = host
        self._asked = asked
        self._job = asked.job(rounds)
        self._reader = asked.reader(host.name)
        self._receiver = HandingOn(self._take, begins=self._job.begins)
        self._heard = heard
        self._came = 0
        self._began = 0.0
        self._timer: asyncio.Timeout | None = None

    async def hold(self, transport: Transport, first_s: float) -> None:
        """Listen until all rounds have come; ``first_s`` is for the first.

        Raises `SkoopError` for whatever else ends it.
        """
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        limit = max(first_s, self._asked.silence_s)
        try:
            async with asyncio.timeout(limit) as self._timer:
                await transport.run(self._job, self._receiver)
        except TimeoutError:
            if self._timer is None or not self._timer.expired():
                raise
            raise self._silent(transport, limit) from None
        finally:
            self._timer = None
        if self._receiver.error is not None:
            raise self._receiver.error
        if not self._reader.ended:
            raise complaint(self._host, self._receiver) or TransportError(
                self._host.name, f"the program there ended by itself after {self._came} rounds"
            )

    def _take(self, data: bytes) -> None:
        """Read what came and tell each round. Raises `SkoopError`: the caller is the transport's event handler."""
        try:
            # Rounds that came whole before a break are given first; what broke is told when it is asked again.
            while rounds := self._reader.feed(data):
                for round_ in rounds:
                    self._note()
                    self._heard(round_)
                data = b""
        except SkoopError:
            raise
        except Exception as fault:
            raise unforeseen(self._host, fault) from fault

    def _note(self) -> None:
        """Count a round and put off the silence's end; a node that sends more than was asked for is refused."""
        now = asyncio.get_running_loop().time()
        self._came += 1
        if self._came > (now - self._began) / self._asked.interval_s * 1.5 + ROUNDS_AHEAD:
            raise EvidenceError(
                f"{self._host.name}: {self._came} rounds came in {now - self._began:.1f} s, "
                f"asked for was one every {self._asked.interval_s:g} s"
            )
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(now + self._asked.silence_s)

    def _silent(self, transport: Transport, first_s: float) -> DeadlineError:
        if not self._came:
            hint = f"waited for {transport.waiting_for}" if not self._receiver.begun else "no round came"
            return DeadlineError(self._host.name, "program", first_s, hint=hint)
        return DeadlineError(
            self._host.name,
            "round",
            self._asked.silence_s,
            hint=f"{self._came} rounds came, and then nothing: is the node overloaded, or its network gone?",
        )
