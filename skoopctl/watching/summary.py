"""What is said at the end of a watch: coverage, the biggest numbers, findings, and what could not be had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from skoopctl.checks.finding import Finding, Severity
from skoopctl.events.node_events import NodeEvents
from skoopctl.probes.metric import Metric
from skoopctl.probes.rates import Rates, rates
from skoopctl.probes.sample import State
from skoopctl.watching.observation import NodeView, Observation, Phase, kind_of
from skoopctl.watching.table import Place, Table, table_of

PLACES_SHOWN = 3
METRICS_SHOWN = 12
EXIT_FOUND, EXIT_SOME, EXIT_NONE = 1, 3, 4


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """One node: ``status`` is one of the design's seven words, `ok` where all asked rounds came."""

    name: str
    status: str
    why: str
    rounds: int
    skipped: int
    breaks: int
    reboots: int
    wire_bytes: int


@dataclass(frozen=True, slots=True)
class Biggest:
    """One metric, and the places where it was highest over the whole time."""

    metric: Metric
    places: tuple[tuple[Place, float], ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """Probes that were not wholly available, why, and on which nodes."""

    probes: tuple[str, ...]
    state: str
    why: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Happened:
    """What happened so often for one reason, and where, most first. Of places, ``node`` and the pod's name."""

    probe: str
    kind: str
    reason: str
    count: int
    places: tuple[tuple[Place, int], ...]


@dataclass(frozen=True, slots=True)
class Took:
    """How long things of one probe took on one node: half of them, and 99 %, less than so many ns.

    None is more than a histogram holds.
    """

    node: str
    probe: str
    stage: str
    type: str
    count: int
    half_ns: int | None
    most_ns: int | None


@dataclass(frozen=True, slots=True)
class EventSummary:
    """All events of a watch, as they were counted: samples that were lost are in it."""

    happened: tuple[Happened, ...]
    took: tuple[Took, ...]
    told: int
    """Events of which there was a sample."""
    lost: tuple[tuple[str, int], ...]
    """Nodes with samples that found no room."""
    missed: tuple[tuple[str, int], ...] = ()
    """Nodes on which programs were not run, for they were running already: what happened then is in no count."""
    blind: tuple[str, ...] = ()
    """Nodes on which none of the event probes runs: that nothing is told of them means nothing."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole watch. ``rounds`` is how many each node was asked for."""

    probes: tuple[str, ...]
    rounds: int
    interval_s: float
    nodes: tuple[NodeSummary, ...]
    findings: tuple[Finding, ...]
    biggest: tuple[Biggest, ...]
    lacks: tuple[Lack, ...]
    table: Table
    interrupted: bool = False
    events: EventSummary | None = None

    @property
    def measured(self) -> int:
        """How many nodes have sent two rounds: there are rates of them."""
        return sum(node.rounds >= 2 for node in self.nodes)

    @property
    def coverage(self) -> str:
        """The coverage in words."""
        said = f"{self.measured} of {len(self.nodes)} nodes"
        counts = sorted({node.rounds for node in self.nodes if node.rounds})
        if not counts:
            return f"{said}, no rounds"
        if len(counts) == 1:
            return f"{said}, {counts[0]} {'round' if counts[0] == 1 else 'rounds'} each"
        return f"{said}, {counts[0]} to {counts[-1]} rounds each"

    def exit_code(self, fail_on: Severity) -> int:
        """Return the design's exit status, but for an interruption."""
        if not self.measured:
            return EXIT_NONE
        blind = len(self.events.blind) if self.events is not None else 0
        if blind == len(self.nodes) and not self.probes:
            return EXIT_NONE
        if any(finding.severity >= fail_on for finding in self.findings):
            return EXIT_FOUND
        return EXIT_SOME if self.measured < len(self.nodes) or blind else 0


def summary_of(
    observation: Observation,
    rounds: int,
    interval_s: float,
    thresholds: Mapping[str, float],
    *,
    interrupted: bool = False,
    sort: str | None = None,
    pod: tuple[str, str] | None = None,
) -> Summary:
    """Return the summary of what has been seen; with ``pod``, its numbers and findings only."""
    findings = [each for each in observation.findings(thresholds) if pod is None or _is_about(each, pod)]
    table = table_of(_whole(observation.nodes.values()), observation.probes, sort=sort, pod=pod)
    return Summary(
        tuple(observation.probes),
        rounds,
        interval_s,
        tuple(_node(view, rounds, interrupted=interrupted) for view in observation.nodes.values()),
        tuple(findings),
        _biggest(table),
        _lacks(observation),
        table,
        interrupted,
        _events(observation, pod) if observation.events else None,
    )


def _events(observation: Observation, pod: tuple[str, str] | None) -> EventSummary:
    counts: dict[tuple[str, str, str], Counter[Place]] = {}
    took: list[Took] = []
    views = [view for view in observation.nodes.values() if view.events is not None]
    for view in views:
        assert view.events is not None  # noqa: S101 - chosen so
        for tally in view.events.tallies():
            if pod is None or (tally.namespace, tally.pod) == pod:
                place = Place(view.series.label, tally.namespace, tally.pod)
                counts.setdefault((tally.probe, tally.kind, tally.reason), Counter())[place] += tally.count
        if pod is None:
            took += _took(view.series.label, view.events)
    happened = [
        Happened(*name, places.total(), tuple(places.most_common())) for name, places in counts.items()
    ]
    happened.sort(key=lambda each: (-each.count, each.kind, each.reason))
    return EventSummary(
        tuple(happened),
        tuple(took),
        sum(view.events.told for view in views if view.events is not None),
        tuple(
            (view.name, view.events.lost) for view in views if view.events is not None and view.events.lost
        ),
        tuple(
            (view.name, view.events.missed)
            for view in views
            if view.events is not None and view.events.missed
        ),
        tuple(view.name for view in views if view.events is not None and not _runs_any(view.events)),
    )


def _runs_any(events: NodeEvents) -> bool:
    running = {State.AVAILABLE, State.DEGRADED}
    return any(given.state in running for given in events.availability().values())


def _took(node: str, events: NodeEvents) -> Iterator[Took]:
    for probe, counts in events.counted.probes.items():
        for each in counts.histograms.values():
            if each.count:
                yield Took(node, probe, each.stage, each.type, each.count, each.below(0.5), each.below(0.99))


def _whole(views: Iterable[NodeView]) -> list[Rates]:
    """Return each node's rates from its first round to its last."""
    return [
        rates(view.first, view.last)
        for view in views
        if view.first is not None and view.last is not None and view.first is not view.last
    ]


def _node(view: NodeView, rounds: int, *, interrupted: bool) -> NodeSummary:
    whole = view.rounds >= rounds or (interrupted and view.rounds and view.phase is Phase.CONNECTED)
    status = "ok" if whole else "partial" if view.rounds else kind_of(view.error)
    why = "" if status == "ok" and not view.breaks else view.why
    return NodeSummary(
        view.name, status, why, view.rounds, view.skipped, view.breaks, view.reboots, view.wire_bytes
    )


def _is_about(finding: Finding, pod: tuple[str, str]) -> bool:
    return finding.where.namespace == "/".join(pod)


def _lacks(observation: Observation) -> tuple[Lack, ...]:
    """Return what was lacking: probes that lack the same on the same nodes are told together."""
    alike: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (probe, state, why), nodes in observation.unavailable().items():
        alike.setdefault((state, why, tuple(nodes)), []).append(probe)
    return tuple(Lack(tuple(probes), *rest) for rest, probes in alike.items())


def _biggest(table: Table) -> tuple[Biggest, ...]:
    found = []
    for metric in table.columns[:METRICS_SHOWN]:
        values = [(row.place, row.values[metric.name]) for row in table.rows if row.values.get(metric.name)]
        values.sort(key=lambda each: (-each[1], str(each[0])))
        found.append(Biggest(metric, tuple(values[:PLACES_SHOWN])))
    return tuple(found)
