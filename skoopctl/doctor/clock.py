"""How far a node's clock is off, from one exchange, with the error that this way of asking can have.

The node tells its time twice, when its program has begun and when it is about to end. The first cannot be before
the workstation sent the program, the second not after it had the answer. That bounds the offset on both sides,
whatever the network does; where in between it is, nobody can tell (RFC 5905, section 8, takes the middle, too).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offset:
    """The node's clock minus the workstation's, in seconds, and by how much that may be wrong at most."""

    seconds: float
    uncertainty_s: float

    @property
    def least_s(self) -> float:
        """The smallest distance between the clocks that the exchange allows."""
        return max(0.0, abs(self.seconds) - self.uncertainty_s)

    @property
    def most_s(self) -> float:
        """The largest one."""
        return abs(self.seconds) + self.uncertainty_s

    def words(self) -> str:
        """Return the offset for people: ``12 ms ahead, ± 30 ms``."""
        side = "ahead" if self.seconds >= 0 else "behind"
        return f"{_amount(abs(self.seconds))} {side}, ± {_amount(self.uncertainty_s)}"


def offset(asked_ns: int, begun_ns: int, ending_ns: int, answered_ns: int) -> Offset | None:
    """Return the offset, or ``None`` when the times contradict each other: a clock was set meanwhile.

    ``asked_ns`` and ``answered_ns`` are the workstation's wall clock, the other two the node's.
    """
    most, least = begun_ns - asked_ns, ending_ns - answered_ns
    if most < least:
        return None
    return Offset((most + least) / 2e9, (most - least) / 2e9)


def _amount(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 600:
        return f"{seconds:.1f} s"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86_400:.0f} days"
