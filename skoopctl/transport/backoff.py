"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from skoopctl.errors import AuthenticationError, DeniedError, HostKeyError, SkoopError, TransportError

REFUSALS = (AuthenticationError, DeniedError, HostKeyError)
"""What does not mend itself: each attempt is a line in somebody's log of failed logins, or a mail."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double, in seconds, and are not the same for all who wait."""

    first_s: float = 1.0
    most_s: float = 60.0
    refused_s: float = 300.0
    """The first wait after one of `REFUSALS`."""
    most_refused_s: float = 1800.0
    jitter: float = 0.5
    """The share of a wait that is drawn by lot: what broke for all at once shall not be tried by all at once."""

    def wait_s(self, error: SkoopError, failures: int) -> float | None:
        """Return how long to wait after ``failures`` in a row (1 is the first), the last of them ``error``.

        ``None`` is never again: a password was refused, and failures lock accounts.
        """
        if isinstance(error, TransportError) and error.final:
            return None
        refused = isinstance(error, REFUSALS)
        first, most = (self.refused_s, self.most_refused_s) if refused else (self.first_s, self.most_s)
        wait = min(most, first * 2.0 ** min(max(failures, 1) - 1, 30))
        return wait * (1 - self.jitter * random.random())  # noqa: S311 - spreads load, guards nothing
