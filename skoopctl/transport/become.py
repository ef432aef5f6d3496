"""The talk with ``sudo`` on a program's stdin and stderr, when a password may be wanted.

Sudo asks with a random word, and the program that it starts begins by saying another. Whichever comes first tells
what stdin is for: the password goes out only when it was asked for, and the program's input only when sudo is
done. So a rule with NOPASSWD swallows no line of the input, and nothing waits for a prompt that does not come.
A second prompt means that the password was refused: no second attempt is made, for failures lock accounts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from enum import IntEnum, auto

from skoopctl.errors import DeniedError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Receiver
from skoopctl.transport.credentials import REFUSALS_AT_MOST, Trials


class _Stage(IntEnum):
    SILENT = auto()
    ASKED = auto()
    ASKED_AGAIN = auto()
    BEGUN = auto()
    ENDED = auto()


class SudoTalk:
    """One talk: :meth:`hear` is fed with stderr, :meth:`hold` writes what is wanted."""

    def __init__(self, host: InventoryHost, trials: Trials, answer: Receiver) -> None:
        word = secrets.token_hex(12)
        self.prompt = f"skoopctl-{word}-password:"
        """What sudo asks with."""
        self.ready = f"skoopctl-{word}-ready"
        """What the program says first, in a line of its own."""
        self._host = host
        self._trials = trials
        self._answer = answer
        self._pending = b""
        self._stage = _Stage.SILENT
        self._changed = asyncio.Event()

    @property
    def waiting_for(self) -> str:
        """What has not come yet, or nothing once the program runs."""
        return "" if self._stage >= _Stage.BEGUN else "sudo to ask for the password or to start the program"

    def hear(self, data: bytes) -> None:
        """Take a piece of stderr; the answer gets it without the two words."""
        if self._stage >= _Stage.BEGUN:
            self._answer.add_stderr(data)
            return
        self._pending += data
        while self._stage < _Stage.BEGUN and self._take_word():
            continue
        # The last bytes may be the beginning of a word.
        self._give(len(self._pending) - (len(self.prompt) if self._stage < _Stage.BEGUN else 0))

    def end(self) -> None:
        """Note that nothing more will be heard."""
        self._give(len(self._pending))
        self._step(_Stage.ENDED)

    async def hold(self, write: Callable[[bytes], None], stdin: bytes) -> None:
        """Bring sudo to start the program, and give the program its ``stdin``.

        Raises :class:`DeniedError` when the password is refused or is not to be sent any more. Returns when the
        program has begun, and also when all has ended before: the exit status tells then.
        """
        await self._beyond(_Stage.SILENT)
        if self._stage is _Stage.ASKED:
            await self._answer_prompt(write)
        if self._stage is _Stage.BEGUN:
            write(stdin)

    async def _answer_prompt(self, write: Callable[[bytes], None]) -> None:
        trial = await self._trials.begin()
        if trial is None:
            raise DeniedError(
                self._host.name,
                f"sudo asks for a password, and the one given was refused by {REFUSALS_AT_MOST} hosts: "
                "it is not sent to any more",
                hint="failures lock accounts; give the right one with --ask-become-pass",
                final=True,
            )
        accepted: bool | None = None
        try:
            write(self._trials.secret.reveal().encode() + b"\n")
            await self._beyond(_Stage.ASKED)
            if self._stage is _Stage.BEGUN:
                accepted = True
            elif self._stage is _Stage.ASKED_AGAIN or self._answer.exit_status not in {None, 0}:
                accepted = False
        finally:
            trial.end(accepted=accepted)
        if self._stage is _Stage.ASKED_AGAIN:
            raise refused(self._host)

    def _take_word(self) -> bool:
        """Cut the first of the two words out of what is pending; return whether there was one."""
        asked = _Stage.ASKED if self._stage is _Stage.SILENT else _Stage.ASKED_AGAIN
        words = {self.prompt.encode(): asked, self.ready.encode() + b"\n": _Stage.BEGUN}
        found = [(at, word) for word in words if (at := self._pending.find(word)) >= 0]
        if not found:
            return False
        at, word = min(found)
        self._give(at)
        self._pending = self._pending[len(word) :]
        self._step(words[word])
        return True

    def _give(self, count: int) -> None:
        if count > 0:
            self._answer.add_stderr(self._pending[:count])
            self._pending = self._pending[count:]

    def _step(self, stage: _Stage) -> None:
        self._stage = stage
        self._changed.set()

    async def _beyond(self, stage: _Stage) -> None:
        while self._stage <= stage:
            self._changed.clear()
            await self._changed.wait()


def refused(host: InventoryHost) -> DeniedError:
    """Return our error for a password that sudo did not take."""
    return DeniedError(
        host.name,
        f"sudo refused the password of {host.user or 'the user'}, which was tried once, or asks for more than it",
        hint="give the right one with --ask-become-pass, or allow sudo without a password",
        final=True,
    )
