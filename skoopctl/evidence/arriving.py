"""Frames as they come, of a program that goes on and on: each as soon as it is whole."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.evidence.frames import MAGIC, BrokenAnswerError, Frame, read_frame, whole_bytes
from skoopctl.transport.base import MOST_NOISE


class Arriving:
    """What of a stream has come and is no whole frame yet; its size is bounded by what a frame may claim."""

    def __init__(self) -> None:
        self._coming = bytearray()
        self._noise = 0
        self._begun = False

    @property
    def waiting(self) -> int:
        """How many bytes of a frame have come that is not whole."""
        return len(self._coming)

    def frames(self, data: bytes) -> Iterator[tuple[Frame, int]]:
        """Take ``data``, and yield each frame that is whole, with its size on the wire.

        Raises `BrokenAnswerError` for what is no frame.
        """
        self._coming += data
        if not self._begun and not self._begin():
            return
        while size := whole_bytes(self._coming):
            if len(self._coming) < size:
                return
            whole = bytes(self._coming[:size])
            del self._coming[:size]
            yield read_frame(whole, len(MAGIC))[0], size

    def clear(self) -> None:
        """Forget what is not whole."""
        self._coming.clear()

    def _begin(self) -> bool:
        """Skip what a login shell says before the first frame; return whether that is here."""
        at = self._coming.find(MAGIC)
        skipped = at if at >= 0 else max(0, len(self._coming) - len(MAGIC) + 1)
        del self._coming[:skipped]
        self._noise += skipped
        if self._noise > MOST_NOISE:
            raise BrokenAnswerError(f"no frame within {MOST_NOISE} bytes of output")
        self._begun = at >= 0
        return self._begun
