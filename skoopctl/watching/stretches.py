"""How long something was heard of, without the time between a break and what came next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stretches:
    """The time from the first to the last word of each stretch, added up, in seconds of whatever clock tells them."""

    seconds: float = 0.0
    _last: float | None = None

    def heard(self, at: float) -> None:
        """Hear something."""
        if self._last is not None:
            self.seconds += at - self._last
        self._last = at

    def broken(self) -> None:
        """Hear no more until something is heard again."""
        self._last = None
