"""The series of one source: a row of values for each namespace, pod or device, a column for each metric.

Made to be cheap: of 100 pods there are some 10,000 series, and each round may change them all. Values stay the digits
that the kernel wrote. A metric's lines are one text with a gap for each value; that text is made again only when rows
come, go or are renamed, and filling it is one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress

from skoopctl.probes.decode.rows import Key, Rows, Value
from skoopctl.probes.metric import Metric
from skoopctl.probes.sample import Sample, SeriesKey

LabelsOf = Callable[[Key], tuple[str, ...] | None]
"""The values of a row's labels; None: nobody knows whose it is, and it is not shown."""

Column = tuple[Value, ...]


@dataclass(slots=True)
class _Lines:
    """One metric's lines without their values, and which rows they are of."""

    present: tuple[bool, ...] | None
    text: str


@dataclass(slots=True)
class SeriesTable:
    """Rows by key, and the text that they make."""

    metrics: tuple[Metric, ...]
    _rows: dict[Key, tuple[Value, ...]] = field(default_factory=dict)
    _keys_of: dict[int, tuple[Key, ...]] = field(default_factory=dict)
    _shown: list[Key] = field(default_factory=list)
    _labels: list[tuple[str, ...]] = field(default_factory=list)
    _heads: list[str] = field(default_factory=list)
    _lines: dict[int, _Lines] = field(default_factory=dict)
    _keys: dict[int, list[SeriesKey]] = field(default_factory=dict)
    _stale: bool = True
    _expected: frozenset[Key] = frozenset()

    def put(self, netns: int, rows: Rows) -> None:
        """Set all rows that come of one namespace; those of before that are not among them are gone."""
        keys = tuple(key for key, _ in rows)
        if keys != self._keys_of.get(netns):
            self.drop(netns)
            self._keys_of[netns] = keys
            self._stale = True
        self._rows.update(rows)

    def drop(self, netns: int) -> None:
        """Forget the rows of one namespace."""
        for key in self._keys_of.pop(netns, ()):
            self._rows.pop(key, None)
            self._stale = True

    def expect(self, keys: frozenset[Key]) -> None:
        """Say which rows there are whatever came: one that nothing was said of is all zeros, and that is known."""
        if keys != self._expected:
            self._expected = keys
            self._stale = True

    def relabel(self) -> None:
        """Say that rows may have other labels from now on."""
        self._stale = True

    def has_values(self, key: Key) -> bool:
        """Tell whether a row has a value that is not 0."""
        return any(value not in (None, "0", 0) for value in self._rows.get(key, ()))

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys of all rows."""
        yield from self._rows

    def texts(
        self, labels_of: LabelsOf, head_of: Callable[[tuple[str, ...]], str]
    ) -> Iterator[tuple[str, str]]:
        """Yield each metric's name and lines, without those that nobody knows the labels of.

        ``head_of`` writes labels as ``{name="value"}``.
        """
        self._arrange(labels_of, head_of)
        for number, column in enumerate(self._columns()):
            if text := self._text(number, column):
                yield self.metrics[number].name, text

    def series(self, labels_of: LabelsOf, head_of: Callable[[tuple[str, ...]], str]) -> Iterator[Sample]:
        """Yield every series that has a value."""
        self._arrange(labels_of, head_of)
        for metric, column in zip(self.metrics, self._columns(), strict=False):
            for labels, value in zip(self._labels, column, strict=True):
                if value is not None:
                    yield Sample(metric, labels, int(value))

    def values(
        self, labels_of: LabelsOf, head_of: Callable[[tuple[str, ...]], str]
    ) -> Iterator[Iterable[tuple[SeriesKey, int]]]:
        """Yield each metric's series that have a value, by their keys."""
        self._arrange(labels_of, head_of)
        for number, column in enumerate(self._columns()):
            keys = self._keys.get(number)
            if keys is None:
                name = self.metrics[number].name
                keys = self._keys[number] = [(name, labels) for labels in self._labels]
            if None in column:
                yield [
                    (key, int(value)) for key, value in zip(keys, column, strict=True) if value is not None
                ]
            else:
                yield zip(keys, map(int, column), strict=True)  # type: ignore[arg-type]

    def _columns(self) -> Sequence[Column]:
        rows = self._rows
        if self._expected:
            rows = dict.fromkeys(self._expected, (0,) * len(self.metrics)) | rows
        return list(zip(*[rows[key] for key in self._shown], strict=True))

    def _arrange(self, labels_of: LabelsOf, head_of: Callable[[tuple[str, ...]], str]) -> None:
        """Put rows in the order of their labels, when any of them came, went or was renamed."""
        if not self._stale:
            return
        keys = dict.fromkeys((*self._rows, *self._expected))
        labelled = [(labels, key) for key in keys if (labels := labels_of(key)) is not None]
        labelled.sort(key=lambda pair: pair[0])
        self._shown = [key for _, key in labelled]
        self._labels = [labels for labels, _ in labelled]
        self._heads = [head_of(labels).replace("%", "%%") for labels in self._labels]
        self._lines.clear()
        self._keys.clear()
        self._stale = False

    def _text(self, number: int, column: Column) -> str:
        """Return the lines of one metric."""
        present = tuple(value is not None for value in column) if None in column else None
        lines = self._lines.get(number)
        if lines is None or lines.present != present:
            lines = self._lines[number] = _Lines(present, self._template(number, present))
        return lines.text % (column if present is None else tuple(compress(column, present)))

    def _template(self, number: int, present: tuple[bool, ...] | None) -> str:
        name = self.metrics[number].name
        heads = self._heads if present is None else compress(self._heads, present)
        return "".join([f"{name}{head} %s\n" for head in heads])
