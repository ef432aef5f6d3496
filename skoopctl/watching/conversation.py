"""One run of a program that goes on: what it says as it comes, until it ends, breaks or falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from skoopctl.errors import DeadlineError, SkoopError, TransportError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Job, Transport
from skoopctl.transport.handing import HandingOn
from skoopctl.transport.verdict import complaint, unforeseen

_T = TypeVar("_T")
LAST_WORDS = b"."
"""As remote/lease.py has it."""


class Reader(Protocol[_T]):
    """Makes of bytes what they say."""

    ended: bool
    """Whether all that was asked for has come."""

    def feed(self, data: bytes) -> list[_T]:
        """Take what came, in pieces of any size; raise `SkoopError` when it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Talk(Generic[_T]):
    """What a conversation is about: the job, what reads it, and what is said when it goes wrong."""

    job: Job
    reader: Reader[_T]
    silence_s: float
    """How long nothing may come."""
    words: str
    """What comes, in the plural: ``rounds``."""


class Conversation(Generic[_T]):
    """One exec on a connected transport, with its silence watched."""

    def __init__(
        self,
        host: InventoryHost,
        talk: Talk[_T],
        heard: Callable[[_T], None],
        check: Callable[[int, float], None] = lambda _came, _seconds: None,
    ) -> None:
        """Give each thing that comes to ``heard``.

        ``check`` is told before how many have come, in how many seconds, and raises `SkoopError` when that cannot be.
        """
        self._host = host
        self._talk = talk
        self._receiver = HandingOn(self._take, begins=talk.job.begins)
        self._heard = heard
        self._check = check
        self._came = 0
        self._began = 0.0
        self._timer: asyncio.Timeout | None = None

    async def hold(self, transport: Transport, first_s: float) -> None:
        """Listen until all has come; ``first_s`` is for the first of it.

        Raises `SkoopError` for whatever else ends it.
        """
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        limit = max(first_s, self._talk.silence_s)
        try:
            async with asyncio.timeout(limit) as self._timer:
                await transport.run(self._talk.job, self._receiver)
        except TimeoutError:
            if self._timer is None or not self._timer.expired():
                raise
            raise self._silent(transport, limit) from None
        finally:
            self._timer = None
        if self._receiver.error is not None:
            raise self._receiver.error
        if not self._talk.reader.ended:
            raise complaint(self._host, self._receiver) or TransportError(
                self._host.name, f"the program there ended by itself after {self._came} {self._talk.words}"
            )

    def ask_for_last_words(self) -> None:
        """Tell the program to say what it still has to say, and to end. One that has not begun is not waited for."""
        if self._receiver.write is not None:
            self._receiver.write(LAST_WORDS)

    def _take(self, data: bytes) -> None:
        """Read what came and tell it. Raises `SkoopError`: the caller is the transport's event handler."""
        try:
            # What came whole before a break is given first; what broke is told when it is asked again.
            while said := self._talk.reader.feed(data):
                for each in said:
                    self._note()
                    self._heard(each)
                data = b""
        except SkoopError:
            raise
        except Exception as fault:
            raise unforeseen(self._host, fault) from fault

    def _note(self) -> None:
        """Count what came, and put off the silence's end."""
        now = asyncio.get_running_loop().time()
        self._came += 1
        self._check(self._came, now - self._began)
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(now + self._talk.silence_s)

    def _silent(self, transport: Transport, first_s: float) -> DeadlineError:
        words = self._talk.words
        if not self._came:
            nothing = f"no {words.removesuffix('s')} came"
            hint = f"waited for {transport.waiting_for}" if not self._receiver.begun else nothing
            return DeadlineError(self._host.name, "program", first_s, hint=hint)
        return DeadlineError(
            self._host.name,
            words.removesuffix("s"),
            self._talk.silence_s,
            hint=f"{self._came} {words} came, and then nothing: is the node overloaded, or its network gone?",
        )
