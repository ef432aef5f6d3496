"""What in a node's numbers is not as it should be, as findings: each where it is, with how much and in how long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Finding, Fix, Where
from skoopctl.dataplane.trace import Evidence
from skoopctl.probes.catalogue import METRICS
from skoopctl.probes.rates import Rates, rates
from skoopctl.probes.sample import Snapshot
from skoopctl.probes.thresholds import THRESHOLDS, Compared, Threshold, checked_thresholds

__all__ = ["THRESHOLDS", "Threshold", "anomalies"]

_Place = tuple[str, ...]
"""The values of `POD_LABELS`."""

_ByPlace = Mapping[_Place, Mapping[str, int | float]]
_PARTS = frozenset({Compared.SHARE, Compared.USED})
_NOW = frozenset({Compared.VALUE, Compared.USED})
_WANTED = frozenset(name for each in THRESHOLDS.values() for name in (*each.metrics, *each.of))


@dataclass(frozen=True, slots=True)
class _Measured:
    """A threshold's number at one place, in the threshold's own terms, with the sums that it was made of."""

    number: float
    counted: float
    of: float = 0.0


def anomalies(
    node: str, before: Snapshot, after: Snapshot, thresholds: Mapping[str, float] | None = None
) -> list[Finding]:
    """Return what reached its threshold between two snapshots of ``node``, the worst first.

    ``thresholds`` replace defaults, by name. What was not read, and a series that has just appeared, gives nothing;
    UsageError for a threshold that does not exist.
    """
    given = checked_thresholds(thresholds or {})
    between = rates(_compared(before), _compared(after))
    grown, now = _by_place(between.growth), _by_place(between.gauges)
    found: list[tuple[float, Finding]] = []
    for threshold in THRESHOLDS.values():
        limit = given.get(threshold.name, threshold.default)
        source = now if threshold.compared in _NOW else grown
        for place, values in source.items():
            measured = _measured(threshold, values, between.seconds)
            if measured is not None and measured.number >= limit and measured.counted > 0:
                over = measured.number / limit if limit else float("inf")
                found.append((over, _finding(node, place, threshold, measured, between)))
    found.sort(key=lambda pair: (-pair[1].severity, -pair[0], pair[1].where.namespace, pair[1].id))
    return [finding for _, finding in found]


def _compared(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot with those series alone that a threshold is about."""
    kept = {key: value for key, value in snapshot.values.items() if key[0] in _WANTED}
    return Snapshot(snapshot.mono_ns, snapshot.wall_ns, kept)


def _by_place(values: Mapping[tuple[str, tuple[str, ...]], int | float]) -> _ByPlace:
    places: defaultdict[_Place, dict[str, int | float]] = defaultdict(dict)
    for (name, labels), value in values.items():
        places[labels][name] = value
    return places


def _measured(threshold: Threshold, values: Mapping[str, int | float], seconds: float) -> _Measured | None:
    """Return a threshold's number at one place; None where it cannot be told."""
    told = [values[name] for name in threshold.metrics if name in values]
    if not told:
        return None
    counted = float(sum(told))
    if threshold.compared in _PARTS:
        if not all(name in values for name in threshold.of):
            return None
        of = float(sum(values[name] for name in threshold.of))
        return _Measured(counted / of, counted, of) if of > 0 and of >= threshold.least else None
    return _Measured(counted / seconds if threshold.compared is Compared.PER_SECOND else counted, counted)


def _finding(node: str, place: _Place, threshold: Threshold, measured: _Measured, between: Rates) -> Finding:
    doc = DOCS[threshold.finding]
    pod = "/".join(place[1:]) if place[2] else ""
    where = Where(node, pod or "host")
    who = f"pod {pod} on {node}" if pod else f"node {node}"
    summary = f"{who}: {_words(threshold, measured, between.seconds)}"
    return Finding(
        doc.id,
        doc.severity,
        where,
        summary,
        tuple(_evidence(node, place, threshold, between)),
        doc.why,
        Fix(doc.fix, node),
    )


def _words(threshold: Threshold, measured: _Measured, seconds: float) -> str:
    """Return the number with what it is of, and in how long it came about."""
    says = threshold.says.format(of=_count(measured.of))
    if threshold.compared is Compared.USED:
        return f"{_count(measured.counted)} {says} ({measured.number:.0%})"
    if threshold.compared is Compared.VALUE:
        return f"{_count(measured.counted)} {says}"
    span = f"in {seconds:.3g} s"
    if threshold.compared is Compared.SHARE:
        return f"{_count(measured.counted)} {says} {span} ({measured.number:.1%})"
    return f"{_count(measured.counted)} {says} {span}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _evidence(node: str, place: _Place, threshold: Threshold, between: Rates) -> Iterator[Evidence]:
    """Yield a line for each series that the number was made of."""
    for name in (*threshold.metrics, *threshold.of):
        key = name, place
        grown = between.growth.get(key)
        if grown:
            yield Evidence("metric", f"{name} +{grown:,}", METRICS[name].source, node=node)
        elif between.gauges.get(key):
            yield Evidence("metric", f"{name} {between.gauges[key]:,}", METRICS[name].source, node=node)
