"""What a program that runs for long writes, handed on as it comes: nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from skoopctl.errors import SkoopError
from skoopctl.transport.base import MOST_NOISE, MOST_STDERR, Write

Take = Callable[[bytes], None]
"""Is given each piece of stdout; raises a `SkoopError` when it cannot be used, which ends the conversation."""


@dataclass(slots=True)
class HandingOn:
    """A `skoopctl.transport.base.Receiver` that gives what comes to ``take``, from the answer's beginning on.

    What may come is bounded by ``take``: it says when it cannot use what it gets.
    """

    take: Take
    begins: bytes = b""
    exit_status: int | None = None
    exit_signal: str | None = None
    overflowed: bool = False
    noisy: bool = False
    size: int = 0
    error: SkoopError | None = None
    """Why ``take`` wants no more."""
    write: Write | None = None
    """Writes to the program's stdin, once it has what it needs."""
    _before: bytearray = field(default_factory=bytearray)
    """What came before the beginning, and after it nothing."""
    _stderr: bytearray = field(default_factory=bytearray)

    def add_stdout(self, data: bytes) -> bool:
        """Hand ``data`` on; return whether more may come."""
        if self.stopped:
            return False
        self.size += len(data)
        data = self._from_the_beginning(data)
        if data:
            try:
                self.take(data)
            except SkoopError as error:
                self.error = error
        return not self.stopped

    def add_stderr(self, data: bytes) -> None:
        """Keep the beginning of stderr."""
        self._stderr += data[: MOST_STDERR - len(self._stderr)]

    def opened(self, write: Write) -> None:
        """Keep what writes to the program."""
        self.write = write

    @property
    def max_output(self) -> int:
        """What may come before the beginning; behind it, ``take`` decides."""
        return MOST_NOISE

    @property
    def stopped(self) -> bool:
        """Whether what came cannot be used."""
        return self.noisy or self.error is not None

    @property
    def begun(self) -> bool:
        """Whether the answer has begun."""
        return self.size > 0 and not self.begins

    @property
    def stdout(self) -> bytes:
        """What came before the beginning, as long as that has not come."""
        return bytes(self._before)

    @property
    def stderr(self) -> str:
        """The beginning of stderr, as text."""
        return self._stderr.decode("utf-8", "replace")

    def _from_the_beginning(self, data: bytes) -> bytes:
        """Return what of ``data`` belongs to the answer."""
        if not self.begins:
            return data
        searched = max(len(self._before) - len(self.begins), 0)
        self._before += data
        at = self._before.find(self.begins, searched)
        if at < 0:
            self.noisy = len(self._before) > MOST_NOISE
            return b""
        data, self.begins = bytes(self._before[at:]), b""
        self._before.clear()
        return data
