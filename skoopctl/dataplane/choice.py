"""Branching without threads: a walk asks, an oracle answers, and every combination of answers is walked.

A walk is ordinary sequential code. Where the model cannot decide (an unknown match) or chance decides (a
random endpoint) it calls `Choices.pick`. `explore` runs the walk again and again, each time with the next
combination of answers, until all have been seen: depth-first, deterministic, no state shared between runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

MAX_RUNS = 512
"""More combinations than this are not walked; the rest of the weight is reported as unknown."""
HOPELESS_RUNS = 64
"""Nor more than this where no further one can decide the question."""

T = TypeVar("T")


class ChoiceKind(Enum):
    """Why a walk branches."""

    CHANCE = "chance"
    """The kernel picks at random with known weights: each branch happens."""
    UNKNOWN = "unknown"
    """The model cannot tell: one of the branches happens, nobody here knows which."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One answer that was given: option ``index`` of ``labels``, with its share of the weight."""

    kind: ChoiceKind
    reason: str
    labels: tuple[str, ...]
    weights: tuple[float, ...]
    index: int

    @property
    def label(self) -> str:
        """The label of the option taken."""
        return self.labels[self.index]


class Choices:
    """The answers of one run: a given prefix, then always the first option.

    ``changed`` is what the packets of this run have changed in tables of the kernel that outlive a packet,
    such as elements that rules added to sets; its keys and values are those of whoever keeps it there.
    """

    __slots__ = ("_memory", "_prefix", "changed", "picks")

    def __init__(self, prefix: tuple[int, ...] = ()) -> None:
        self._prefix = prefix
        self._memory: dict[object, int] = {}
        self.changed: dict[object, Any] = {}
        self.picks: list[Pick] = []

    def pick(
        self,
        kind: ChoiceKind,
        reason: str,
        options: tuple[tuple[str, float], ...],
        *,
        key: object = None,
    ) -> int:
        """Return the index of the option to take.

        ``options`` are labels with weights above 0. With ``key``, the same question in the same run gets
        the same answer: a rule that cannot be decided does not match one moment and not the next.
        """
        if key is not None and key in self._memory:
            return self._memory[key]
        place = len(self.picks)
        index = self._prefix[place] if place < len(self._prefix) else 0
        total = sum(weight for _, weight in options)
        self.picks.append(
            Pick(
                kind,
                reason,
                tuple(label for label, _ in options),
                tuple(weight / total for _, weight in options),
                index,
            )
        )
        if key is not None:
            self._memory[key] = index
        return index

    def unknown(
        self, reason: str, *, key: object = None, words: tuple[str, str] = ("it goes on", "it does not go on")
    ) -> bool:
        """Ask a yes-or-no question that the model cannot answer; ``words`` are what yes and no mean."""
        options = tuple((word, 1.0) for word in words)
        return self.pick(ChoiceKind.UNKNOWN, reason, options, key=key) == 0


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """One run's result with the answers that led to it."""

    picks: tuple[Pick, ...]
    result: T

    @property
    def weight(self) -> float:
        """The share of all flows that takes this way."""
        product = 1.0
        for pick in self.picks:
            product *= pick.weights[pick.index]
        return product


@dataclass(frozen=True, slots=True)
class Exploration(Generic[T]):
    """All runs, and whether there would have been more than were walked."""

    runs: tuple[Run[T], ...]
    truncated: bool


def explore(
    walk: Callable[[Choices], T],
    limit: int = MAX_RUNS,
    hopeless: Callable[[Sequence[Run[T]]], bool] = lambda _runs: False,
) -> Exploration[T]:
    """Run ``walk`` once for every combination of answers to what it asks.

    ``hopeless`` tells of the first runs whether no other can decide; then, past `HOPELESS_RUNS`, they are enough.
    """
    runs: list[Run[T]] = []
    for prefix in _prefixes(runs):
        choices = Choices(prefix)
        result = walk(choices)
        runs.append(Run(tuple(choices.picks), result))
        if len(runs) >= limit or (_is_checked(len(runs)) and hopeless(runs)):
            return Exploration(tuple(runs), truncated=_next_prefix(runs[-1].picks) is not None)
    return Exploration(tuple(runs), truncated=False)


def _is_checked(count: int) -> bool:
    """Look at `HOPELESS_RUNS`, and whenever that has doubled: each look costs as much as there are runs."""
    return count >= HOPELESS_RUNS and not count & (count - 1)


def _prefixes(runs: list[Run[T]]) -> Iterator[tuple[int, ...]]:
    """Yield the next prefix of answers, given the runs so far (the list grows between yields)."""
    prefix: tuple[int, ...] | None = ()
    while prefix is not None:
        yield prefix
        prefix = _next_prefix(runs[-1].picks)


def _next_prefix(picks: tuple[Pick, ...]) -> tuple[int, ...] | None:
    """Return the answers of the next combination in order, or None after the last."""
    for place in range(len(picks) - 1, -1, -1):
        if picks[place].index + 1 < len(picks[place].labels):
            return (*(pick.index for pick in picks[:place]), picks[place].index + 1)
    return None
