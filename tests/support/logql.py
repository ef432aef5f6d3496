"""A small LogQL, to know that what a dashboard asks of Loki is well formed, and what Loki must answer.

It knows what the dashboard of events uses, as Loki's documentation of LogQL has it, and refuses everything else.
Loki itself is not there to be asked.
"""

from __future__ import annotations

import json
import operator
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<span>\d+(?:\.\d+)?(?:ms|[smhd]))|(?P<number>\d+(?:\.\d+)?)'
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>=~|!~|!=|==|>=|<=|\|=|[|(){}\[\],=<>]))"
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_TEXT: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "=~": lambda value, wanted: re.fullmatch(wanted, value) is not None,
    "!~": lambda value, wanted: re.fullmatch(wanted, value) is None,
}
_FOLD: dict[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min}
_OVER_LINES = {"count_over_time", "rate"}
_OVER_VALUES: dict[str, Callable[[list[float]], float]] = {"max_over_time": max}
_FIELD = re.compile(r"\{\{(if )?\.(\w+)\}\}|\{\{end\}\}")
_MARKED = re.compile(r"\{\{if \.(\w+)\}\}((?:(?!\{\{if ).)*?)\{\{end\}\}", re.DOTALL)
_WORD = re.compile(r"\{\{\.(\w+)\}\}")


class LogQLError(ValueError):
    """An expression that is not LogQL, or more of it than is known here."""


class Line(Protocol):
    """What Loki keeps of an entry."""

    labels: dict[str, str]
    wall_ns: int
    line: str
    metadata: dict[str, str]


@dataclass(frozen=True)
class Matcher:
    """``name op "value"``, of a selector or of a filter behind the parser."""

    name: str
    op: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels fit; a label that is missing is empty."""
        return _TEXT[self.op](labels.get(self.name, ""), self.value)


@dataclass(frozen=True)
class Log:
    """A selector and its stages: filters, ``json``, ``unwrap``, ``line_format``."""

    selector: tuple[Matcher, ...]
    stages: tuple[tuple[str, Any], ...] = ()

    @property
    def unwraps(self) -> str:
        """The field whose value counts; empty where lines count."""
        return next((str(given) for name, given in self.stages if name == "unwrap"), "")


@dataclass(frozen=True)
class Over:
    """A function over the lines of some time."""

    name: str
    log: Log
    seconds: float
    by: tuple[str, ...] | None = None
    """The labels that are kept, where values are unwrapped; all of them without it."""


@dataclass(frozen=True)
class Fold:
    """``sum by (…) (…)`` and the like; ``topk`` has a number and keeps labels."""

    name: str
    by: tuple[str, ...]
    inner: Over | Fold
    most: int = 0


@dataclass
class _Parser:
    rest: list[tuple[str, str]]
    text: str = ""
    seen: list[str] = field(default_factory=list)

    def take(self, kind: str, *wanted: str) -> str:
        """Take the next token, which must be of a kind, and one of those that are wanted."""
        found = self.rest[0] if self.rest else ("end", "")
        if found[0] != kind or (wanted and found[1] not in wanted):
            raise LogQLError(
                f"{self.text}: expected {' or '.join(wanted) or kind}, found {found[1] or 'the end'!r}"
            )
        self.rest.pop(0)
        return found[1]

    def next_is(self, *signs: str) -> bool:
        """Tell whether the next token is one of these."""
        return bool(self.rest) and self.rest[0][1] in signs

    def query(self) -> Log | Over | Fold:
        """Take a whole query."""
        return self.log() if self.next_is("{") else self.metric()

    def metric(self) -> Over | Fold:
        name = self.take("word", "topk", *_FOLD, *_OVER_LINES, *_OVER_VALUES)
        if name in _OVER_LINES or name in _OVER_VALUES:
            return self.over(name)
        by = self.labels() if name != "topk" and self.next_is("by") else ()
        self.take("sign", "(")
        most = 0
        if name == "topk":
            most = int(self.take("number"))
            self.take("sign", ",")
        inner = self.metric()
        self.take("sign", ")")
        return Fold(name, by, inner, most)

    def over(self, name: str) -> Over:
        self.take("sign", "(")
        log = self.log()
        self.take("sign", "[")
        span = self.take("span")
        self.take("sign", "]")
        self.take("sign", ")")
        if bool(log.unwraps) != (name in _OVER_VALUES):
            raise LogQLError(f"{self.text}: {name} and unwrap do not go together so")
        if any(stage == "line_format" for stage, _ in log.stages):
            raise LogQLError(f"{self.text}: line_format changes no number")
        number, unit = re.fullmatch(r"([\d.]+)(\w+)", span).groups()  # type: ignore[union-attr]
        by = self.labels() if log.unwraps and self.next_is("by") else None
        return Over(name, log, float(number) * _SECONDS[unit], by)

    def labels(self) -> tuple[str, ...]:
        self.take("word", "by")
        self.take("sign", "(")
        found = [self.take("word")]
        while self.next_is(","):
            self.take("sign", ",")
            found.append(self.take("word"))
        self.take("sign", ")")
        return tuple(found)

    def matcher(self) -> Matcher:
        name, op = self.take("word"), self.take("sign", *_TEXT)
        value = str(json.loads(self.take("string")))
        if op in {"=~", "!~"}:
            re.compile(value)
        return Matcher(name, op, value)

    def log(self) -> Log:
        self.take("sign", "{")
        selector = [self.matcher()]
        while self.next_is(","):
            self.take("sign", ",")
            selector.append(self.matcher())
        self.take("sign", "}")
        if all(each.holds({}) for each in selector):
            raise LogQLError(f"{self.text}: at least one matcher must not fit everything")
        stages: list[tuple[str, Any]] = []
        while self.next_is("|", "|="):
            stages.append(self.stage())
        return Log(tuple(selector), tuple(stages))

    def stage(self) -> tuple[str, Any]:
        if self.next_is("|="):
            self.take("sign", "|=")
            return "contains", json.loads(self.take("string"))
        self.take("sign", "|")
        name = self.rest[0][1] if self.rest else ""
        if name == "json":
            self.take("word")
            return "json", None
        if name == "unwrap":
            self.take("word")
            return "unwrap", self.take("word")
        if name == "line_format":
            self.take("word")
            return "line_format", template(json.loads(self.take("string")))
        return "filter", self.matcher()


def template(text: str) -> str:
    """Return a template of ``line_format``. Raises `LogQLError` for more than fields and ``if`` without ``else``."""
    depth = 0
    for found in _FIELD.finditer(text):
        depth += (found[1] is not None) - (found[0] == "{{end}}")
        if depth not in {0, 1}:
            raise LogQLError(f"{text}: if and end do not pair")
    if depth or "{{" in _FIELD.sub("", text):
        raise LogQLError(f"{text}: a template that is not known here")
    return text


def parse(text: str) -> Log | Over | Fold:
    """Return an expression. Raises `LogQLError`."""
    tokens, at = [], 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise LogQLError(f"{text}: {text[at : at + 20]!r} is no token")
        tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
        at = found.end()
    parser = _Parser(tokens, text)
    result = parser.query()
    if parser.rest:
        raise LogQLError(f"{text}: {parser.rest[0][1]!r} comes too much")
    return result


def names(node: Log | Over | Fold) -> Iterator[tuple[str, str]]:
    """Yield every label and field that an expression names: ``stream`` in selectors, ``field`` elsewhere."""
    if isinstance(node, Fold):
        yield from (("field", name) for name in node.by)
        yield from names(node.inner)
        return
    log = node.log if isinstance(node, Over) else node
    if isinstance(node, Over):
        yield from (("field", name) for name in node.by or ())
    yield from (("stream", each.name) for each in log.selector)
    parsed = False
    for stage, given in log.stages:
        parsed |= stage == "json"
        if stage in {"filter", "unwrap"}:
            if not parsed:
                raise LogQLError(f"{given}: a field before json")
            yield "field", given.name if stage == "filter" else given
        if stage == "line_format":
            yield from (("field", found[2]) for found in _FIELD.finditer(given) if found[2])


def shown(log: Log, lines: Iterable[Line]) -> list[tuple[int, str, dict[str, str]]]:
    """Return the lines of a query: time, text, labels; the newest first."""
    found = [(at, text, labels) for at, text, labels, _ in _run(log, lines)]
    return sorted(found, key=lambda row: -row[0])


def answer(node: Over | Fold, lines: Iterable[Line], at_ns: int) -> Vector:
    """Return what an instant query gives at a time."""
    return answers(node, lines, [at_ns])[0]


def answers(node: Over | Fold, lines: Iterable[Line], at_ns: Sequence[int]) -> list[Vector]:
    """Return what a query gives at each of some times, the earliest first."""
    if isinstance(node, Over):
        return _over(node, lines, at_ns)
    inner = answers(node.inner, lines, at_ns)
    if node.name == "topk":
        return [dict(sorted(each.items(), key=lambda row: -row[1])[: node.most]) for each in inner]
    return [_folded(node, each) for each in inner]


def _folded(node: Fold, vector: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        kept = frozenset((name, text) for name, text in labels if name in node.by)
        groups.setdefault(kept, []).append(value)
    return {labels: _FOLD[node.name](values) for labels, values in groups.items()}


def _over(node: Over, lines: Iterable[Line], at_ns: Sequence[int]) -> list[Vector]:
    """Run the lines through the stages once, and take of each time those of its window."""
    rows = sorted(
        ((wall_ns, _series(node, labels), value) for wall_ns, _, labels, value in _run(node.log, lines)),
        key=lambda row: row[0],
    )
    times = [wall_ns for wall_ns, _, _ in rows]
    found = []
    for at in at_ns:
        groups: dict[Labels, list[float]] = {}
        window = slice(bisect_right(times, at - round(node.seconds * 1e9)), bisect_right(times, at))
        for _, labels, value in rows[window]:
            groups.setdefault(labels, []).append(value)
        found.append({labels: _value(node, values) for labels, values in groups.items()})
    return found


def _series(node: Over, labels: Mapping[str, str]) -> Labels:
    return frozenset(
        (name, text)
        for name, text in labels.items()
        if name != node.log.unwraps and (node.by is None or name in node.by)
    )


def _value(node: Over, values: list[float]) -> float:
    if node.name in _OVER_VALUES:
        return _OVER_VALUES[node.name](values)
    return len(values) / (node.seconds if node.name == "rate" else 1.0)


def _run(log: Log, lines: Iterable[Line]) -> Iterator[tuple[int, str, dict[str, str], float]]:
    for line in lines:
        if all(each.holds(line.labels) for each in log.selector):
            found = _through(log, line)
            if found is not None:
                yield line.wall_ns, *found


def _through(log: Log, line: Line) -> tuple[str, dict[str, str], float] | None:
    """Return a line behind all stages: its text, labels and value; nothing if a filter left it out."""
    text, labels, value = line.line, {**line.labels, **line.metadata}, 1.0
    for stage, given in log.stages:
        if stage == "json":
            labels = _parsed(line, labels)
        elif stage == "unwrap":
            try:
                value = float(labels[given])
            except (KeyError, ValueError):
                labels = {**labels, "__error__": "SampleExtractionErr"}
        elif stage == "line_format":
            text = _written(given, labels)
        elif (given not in text) if stage == "contains" else not given.holds(labels):
            return None
    return text, labels, value


def _parsed(line: Line, labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels with the fields of a line; one that is there already gets another name, and lists are left out."""
    try:
        fields = json.loads(line.line)
    except ValueError:
        return {**labels, "__error__": "JSONParserErr"}
    told = {name: value for name, value in fields.items() if not isinstance(value, list)}
    return {
        **labels,
        **{
            (f"{n}_extracted" if n in labels else n): v if isinstance(v, str) else json.dumps(v)
            for n, v in told.items()
        },
    }


def _written(text: str, labels: Mapping[str, str]) -> str:
    shown_parts = _MARKED.sub(lambda found: found[2] if labels.get(found[1]) else "", text)
    return _WORD.sub(lambda found: labels.get(found[1], ""), shown_parts)
