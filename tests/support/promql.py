"""A small PromQL, to know what a real Prometheus must answer about series whose values and growth are known.

It knows what dashboards and rules of this repository use, and refuses everything else. Counters grow evenly, so
that ``rate`` is their growth, whatever the window.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?(?![\w]))|(?P<span>\d+(?:\.\d+)?[smhd])'
    r"|(?P<word>[A-Za-z_:][\w:]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/(){}\[\],=<>]))"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_FOLD: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "max": max,
    "min": min,
    "count": lambda values: float(len(values)),
    "avg": lambda values: sum(values) / len(values),
}
_CALLED = {"topk", "rate", "increase", "present_over_time", "time"}


@dataclass(frozen=True, slots=True)
class Grown:
    """One series: its value now, and how much it grows in a second."""

    value: float
    per_s: float


World = Mapping[tuple[str, Labels], Grown]


def answer(expr: str, world: World, now: float) -> Vector | float:
    """Return what an instant query gives at ``now``, labels without ``__name__``."""
    parser = _Parser(expr, world, now)
    result = parser.joined()
    assert not parser.rest, f"{expr}: {parser.rest[:3]} was not understood"
    return result


class _Parser:
    def __init__(self, expr: str, world: World, now: float) -> None:
        self.rest = _tokens(expr)
        self.world = world
        self.now = now

    def next(self, *wanted: str) -> str | None:
        """Take the next token if it is one of these."""
        return self.rest.pop(0) if self.rest and self.rest[0] in wanted else None

    def need(self, token: str) -> None:
        assert self.next(token), f"{token} is missing before {self.rest[:3]}"

    def joined(self) -> Vector | float:
        left = self.compared()
        while word := self.next("or", "unless"):
            right = self.compared()
            assert isinstance(left, dict)
            assert isinstance(right, dict)
            if word == "or":
                left = {**right, **left}
            else:
                left = {labels: value for labels, value in left.items() if labels not in right}
        return left

    def compared(self) -> Vector | float:
        left = self.added()
        while sign := self.next(*_COMPARE):
            left = _filtered(left, self.added(), _COMPARE[sign])
        return left

    def added(self) -> Vector | float:
        left = self.multiplied()
        while sign := self.next("+", "-"):
            left = _matched(left, self.multiplied(), operator.add if sign == "+" else operator.sub)
        return left

    def multiplied(self) -> Vector | float:
        left = self.atom()
        while sign := self.next("*", "/"):
            left = _matched(left, self.atom(), operator.mul if sign == "*" else operator.truediv)
        return left

    def atom(self) -> Vector | float:
        if self.next("("):
            inner = self.joined()
            self.need(")")
            return inner
        if self.rest[0][0].isdigit():
            return float(self.rest.pop(0))
        if self.rest[0] == "{":
            return self.selected("")
        word = self.rest.pop(0)
        if word in _FOLD:
            return self.folded(_FOLD[word])
        called = getattr(self, word) if word in _CALLED else None
        return called() if called else self.selected(word)

    def time(self) -> float:
        self.need("(")
        self.need(")")
        return self.now

    def topk(self) -> Vector | float:
        self.need("(")
        number = int(self.rest.pop(0))
        self.need(",")
        inner = self.compared()
        self.need(")")
        assert isinstance(inner, dict)
        return dict(sorted(inner.items(), key=lambda item: -item[1])[:number])

    def rate(self) -> Vector:
        return self.grown(lambda grown, _window_s: grown.per_s)

    def increase(self) -> Vector:
        return self.grown(lambda grown, window_s: grown.per_s * window_s)

    def present_over_time(self) -> Vector:
        return self.grown(lambda _grown, _window_s: 1.0)

    def grown(self, value: Callable[[Grown, float], float]) -> Vector:
        self.need("(")
        found = self.series("" if self.rest[0] == "{" else self.rest.pop(0))
        self.need("[")
        window = self.rest.pop(0)
        self.need("]")
        self.need(")")
        window_s = float(window[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[window[-1]]
        return {labels: value(grown, window_s) for labels, grown in found.items()}

    def folded(self, fold: Callable[[list[float]], float]) -> Vector:
        how, names = self.grouping()
        self.need("(")
        inner = self.compared()
        self.need(")")
        if not how:
            how, names = self.grouping()
        assert isinstance(inner, dict)
        groups: dict[Labels, list[float]] = {}
        for labels, value in inner.items():
            kept = frozenset(pair for pair in labels if (pair[0] in names) == (how != "without"))
            groups.setdefault(kept, []).append(value)
        return {labels: fold(values) for labels, values in groups.items()}

    def grouping(self) -> tuple[str, set[str]]:
        how = self.next("by", "without")
        if not how:
            return "", set()
        self.need("(")
        names = set()
        while not self.next(")"):
            names.add(self.rest.pop(0))
            self.next(",")
        return how, names

    def selected(self, name: str) -> Vector:
        return {labels: grown.value for labels, grown in self.series(name).items()}

    def series(self, name: str) -> dict[Labels, Grown]:
        matchers = []
        if self.next("{"):
            while not self.next("}"):
                label, sign, value = self.rest.pop(0), self.rest.pop(0), self.rest.pop(0)
                matchers.append((label, sign, value[1:-1]))
                self.next(",")
        return {
            labels: grown
            for (metric, labels), grown in self.world.items()
            if name in {"", metric}
            and all(_matches({**dict(labels), "__name__": metric}, *m) for m in matchers)
        }


def _tokens(expr: str) -> list[str]:
    found, at = [], 0
    expr = expr.strip()
    while at < len(expr):
        token = _TOKEN.match(expr, at)
        assert token, f"{expr}: {expr[at:]!r} was not understood"
        found.append(token.group().strip())
        at = token.end()
    return found


def _matches(labels: Mapping[str, str], label: str, sign: str, value: str) -> bool:
    """Compare a label, an absent one as the empty text, regular expressions anchored."""
    there = labels.get(label, "")
    same = bool(re.fullmatch(value, there)) if "~" in sign else there == value
    return same != sign.startswith("!")


def _matched(
    left: Vector | float, right: Vector | float, act: Callable[[float, float], float]
) -> Vector | float:
    """Join one to one on all labels, or with a number."""
    if isinstance(left, dict) and isinstance(right, dict):
        return {labels: act(left[labels], right[labels]) for labels in left.keys() & right.keys()}
    if isinstance(left, dict):
        assert not isinstance(right, dict)
        return {labels: act(value, right) for labels, value in left.items()}
    if isinstance(right, dict):
        return {labels: act(left, value) for labels, value in right.items()}
    return act(left, right)


def _filtered(left: Vector | float, right: Vector | float, holds: Callable[[float, float], bool]) -> Vector:
    """Keep what of the left side compares as asked with a number."""
    assert isinstance(left, dict)
    assert not isinstance(right, dict)
    return {labels: value for labels, value in left.items() if holds(value, right)}
