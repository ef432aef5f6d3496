"""What we know that others must not: passwords and passphrases, for one run, in memory only.

They come from a prompt on a terminal or from a file descriptor, and leave in three places: an SSH login, the
stdin of ``sudo``, and the decoder of a private key. Neither ``repr`` nor ``str`` nor pickle gives them away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

REFUSALS_AT_MOST = 3
"""pam_faillock(8) locks an account after three failures unless it is told otherwise."""


class Secret:
    """Text that is shown to nobody; :meth:`reveal` is called where it is used and nowhere else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets of one run."""

    password: Secret | None = None
    """For SSH logins to nodes, by ``password`` and ``keyboard-interactive``. Bastions never get it."""
    become_password: Secret | None = None
    """For sudo."""
    passphrase: Secret | None = None
    """Tried on every private key that is encrypted."""
    ask_passphrase: Callable[[str], Secret | None] | None = field(default=None, repr=False)
    """Asks a person for the passphrase of a key file; ``None`` when there is nobody to ask."""


class Trials:
    """How one password fares with the hosts of a run.

    An account of a directory is one account on all hosts, and failures lock it. So the password goes to one
    host at a time until one has accepted it, and to none once :data:`REFUSALS_AT_MOST` have refused it and
    none has accepted it.
    """

    def __init__(self, secret: Secret) -> None:
        self.secret = secret
        self.accepted = False
        self.refusals = 0
        self._gate = asyncio.Lock()

    @property
    def spent(self) -> bool:
        """Whether it was refused so often that it must be wrong."""
        return not self.accepted and self.refusals >= REFUSALS_AT_MOST

    async def begin(self) -> Trial | None:
        """Wait for leave to send the password; ``None`` when it is not to be sent any more."""
        if not self.accepted:
            await self._gate.acquire()
            if self.accepted or self.spent:
                self._gate.release()
            else:
                return Trial(self, self._gate)
        return None if self.spent else Trial(self, None)


class Trial:
    """One sending of a password. :meth:`end` must be called, once it is known how it went."""

    def __init__(self, trials: Trials, gate: asyncio.Lock | None) -> None:
        self._trials = trials
        self._gate = gate
        self._over = False

    def end(self, *, accepted: bool | None) -> None:
        """Note the outcome; ``None`` when the host was lost before it answered. The first call counts."""
        if self._over:
            return
        self._over = True
        if accepted:
            self._trials.accepted = True
        elif accepted is False:
            self._trials.refusals += 1
        if self._gate is not None:
            self._gate.release()
