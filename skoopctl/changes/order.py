"""Things whose order matters: the rules of one chain. What came, what went, and what only moved."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from skoopctl.changes.model import Change, Sign


def compare_rules(kind: str, place: str, a: Sequence[str], b: Sequence[str]) -> list[Change]:
    """Compare two chains of rules by their texts.

    First as multisets, which is linear; only when the rules that both have stand in another order, the longest
    part that keeps its order is looked for (n log n), and the rest of them has moved.
    """
    if a == b:
        return []
    pairs, gone, came = _matched(a, b)
    kept = _longest_rising([there for _, there in pairs])
    changes = [Change(Sign.REMOVED, kind, a[at], place, number=at + 1) for at in gone]
    changes += [Change(Sign.ADDED, kind, b[at], place, number=at + 1) for at in came]
    changes += [
        Change(Sign.MOVED, kind, b[there], place, number=there + 1, number_before=here + 1)
        for rank, (here, there) in enumerate(pairs)
        if rank not in kept
    ]
    order = {Sign.REMOVED: 0, Sign.ADDED: 1, Sign.MOVED: 2}
    return sorted(changes, key=lambda change: (change.number, order[change.sign]))


def _matched(a: Sequence[str], b: Sequence[str]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Pair equal texts, the first with the first; return pairs of places, and the places without a partner."""
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    for at in reversed(range(len(b))):
        waiting[b[at]].append(at)
    pairs: list[tuple[int, int]] = []
    gone: list[int] = []
    for at, text in enumerate(a):
        there = waiting.get(text)
        if there:
            pairs.append((at, there.pop()))
        else:
            gone.append(at)
    return pairs, gone, sorted(at for places in waiting.values() for at in places)


def _longest_rising(values: Sequence[int]) -> set[int]:
    """Return the places of a longest rising part of distinct numbers (patience sorting)."""
    if all(left < right for left, right in pairwise(values)):
        return set(range(len(values)))
    tops: list[int] = []
    at_top: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        pile = bisect_left(tops, value)
        before.append(at_top[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(value)
            at_top.append(place)
        else:
            tops[pile] = value
            at_top[pile] = place
    kept: set[int] = set()
    place = at_top[-1] if at_top else -1
    while place >= 0:
        kept.add(place)
        place = before[place]
    return kept
