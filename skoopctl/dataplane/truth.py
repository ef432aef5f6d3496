"""Three values: a match is true, false, or undecided; and an undecided one says how it could be decided.

Kleene logic: false beats undecided, undecided beats true, and the opposite of undecided is undecided
(Iptables_Semantics, Common/Ternary.thy). Chance and port ranges are undecided too, but their branches
are known to happen, with weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from skoopctl.dataplane.packet import Ports


@dataclass(frozen=True, slots=True)
class Unknown:
    """The model cannot tell; ``reason`` says why, for people."""

    reason: str

    def negated(self) -> Unknown:
        """Return the opposite: still unknown."""
        return self


@dataclass(frozen=True, slots=True)
class Chance:
    """True with a known probability (``-m statistic``)."""

    probability: float
    reason: str

    def negated(self) -> Chance:
        """Return the opposite chance."""
        return replace(self, probability=1.0 - self.probability)


@dataclass(frozen=True, slots=True)
class Split:
    """True for some of the packet's ports: ``inside`` is what remains of the range then.

    ``outside`` are the ranges of the others (two, when ``inside`` lies in the middle). ``side`` is ``source`` or
    ``destination``, or ``connection`` for ports that conntrack keeps and the packet does not show.
    """

    side: str
    inside: Ports
    outside: tuple[Ports, ...]
    reason: str
    inverted: bool = False

    def negated(self) -> Split:
        """Return the match that is true for the other ports."""
        return replace(self, inverted=not self.inverted)

    @property
    def probability(self) -> float:
        """The share of the range for which this is true."""
        share = self.inside.size / (self.inside.size + sum(ports.size for ports in self.outside))
        return 1.0 - share if self.inverted else share


Undecided = Unknown | Chance | Split
Truth = bool | Undecided


def negate(truth: Truth, inverted: bool) -> Truth:
    """Apply ``!`` where ``inverted``."""
    if not inverted:
        return truth
    return not truth if isinstance(truth, bool) else truth.negated()


def any_of(truths: Iterable[Truth]) -> Truth:
    """Kleene OR. Several chances or splits at once cannot be told apart: unknown."""
    undecided: list[Truth] = []
    for truth in truths:
        if truth is True:
            return True
        if truth is not False:
            undecided.append(truth)
    if not undecided:
        return False
    if len(undecided) == 1:
        return undecided[0]
    if all(isinstance(truth, Split) for truth in undecided):
        return Unknown("the ephemeral port may or may not be in several listed ranges")
    several = Unknown("several things that are decided by chance")
    return next((truth for truth in undecided if isinstance(truth, Unknown)), several)


def all_of(truths: Iterable[Truth]) -> Truth:
    """Kleene AND. Of several that are undecided none can stand for all: unknown."""
    undecided: list[Undecided] = []
    for truth in truths:
        if truth is False:
            return False
        if truth is not True:
            undecided.append(truth)
    if len(undecided) > 1:
        reasons = dict.fromkeys(truth.reason for truth in undecided)
        return Unknown("; ".join(reasons))
    return undecided[0] if undecided else True


def ports_within(ports: Ports, low: int, high: int, side: str) -> Truth:
    """Tell whether the packet's ports lie in an inclusive range; a range that straddles it is a `Split`."""
    if low <= ports.low and ports.high <= high:
        return True
    if ports.high < low or high < ports.low:
        return False
    inside = Ports(max(ports.low, low), min(ports.high, high))
    around = (Ports(ports.low, inside.low - 1), Ports(inside.high + 1, ports.high))
    outside = tuple(rest for rest in around if rest.low <= rest.high)
    return Split(side, inside, outside, f"{side} port in {inside}")
