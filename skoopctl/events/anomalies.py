"""Findings from what happened on a node while it was watched: why, to whom, between whom, and by which rule.

Counts are the kernel's programs' own, so that a finding's number holds although events are samples. Whom it hit is
told by the flows of those events, with their names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Confidence, Finding, Fix, Severity, Where
from skoopctl.dataplane.trace import Evidence
from skoopctl.events.drop_packet import DropKey, key_of
from skoopctl.events.dropped import Answer, Said
from skoopctl.events.event import Event, FlowTally, Tally
from skoopctl.events.flow_words import Flows, flows_of
from skoopctl.events.reasons import Reason, drop_reason, reset_reason, told_reason
from skoopctl.events.thresholds import EVENT_THRESHOLDS, EventThreshold, split_thresholds
from skoopctl.events.words import duration, word
from skoopctl.evidence.untrusted import printable

SHORTEST_S = 1.0
"""What comes once in a shorter time is no rate."""
MAX_FLOWS = 8
"""So many flows are evidence of a finding, and `_IN_TEXT` stand in its summary; the rest is counted."""
MAX_COUNTS = 8
MAX_RULES = 5
_IN_TEXT = 2
_Owner = tuple[str, str]
"""Namespace and name of a pod; both empty: the node."""


@dataclass(slots=True)
class _Case:
    """What of one row happened at one place."""

    row: EventThreshold
    owner: _Owner
    tallies: list[Tally] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    flows: list[FlowTally] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How often, by the counts; events where there are no counts."""
        return sum(tally.count for tally in self.tallies) or len(self.events)


def event_findings(
    node: str,
    tallies: Iterable[Tally],
    flows: Iterable[FlowTally],
    events: Iterable[Event],
    seconds: float,
    thresholds: Mapping[str, float] | None = None,
    answers: Mapping[DropKey, Answer] | None = None,
) -> list[Finding]:
    """Return what reached its threshold on ``node`` within ``seconds``, the worst first.

    ``tallies`` are the counts of that time; ``flows`` and ``events`` show whom it hit. ``thresholds`` replace
    defaults, by name; UsageError for one that does not exist. ``answers`` are those of `dropped.rules_that_drop`.
    """
    given = split_thresholds(thresholds or {})[1]
    found: list[tuple[float, Finding]] = []
    for case in _cases(tallies, flows, events):
        limit = given.get(case.row.name, case.row.default)
        number = case.count / max(seconds, SHORTEST_S) if case.row.per_second else float(case.count)
        if case.count and number >= limit:
            over = number / limit if limit else float("inf")
            found.append((over, _finding(node, case, seconds, answers or {})))
    found.sort(key=lambda pair: (-pair[1].severity, -pair[0], pair[1].where.namespace, pair[1].id))
    return [finding for _, finding in found]


def _cases(
    tallies: Iterable[Tally], flows: Iterable[FlowTally], events: Iterable[Event]
) -> Collection[_Case]:
    """Return what happened by row and place."""
    cases: dict[tuple[str, _Owner], _Case] = {}

    def case(row: EventThreshold, owner: _Owner) -> _Case:
        return cases.setdefault((row.name, owner), _Case(row, owner))

    rows_by_kind: dict[tuple[str, _Owner], set[str]] = defaultdict(set)
    for tally in tallies:
        owner, rows = (tally.namespace, tally.pod), _rows(tally.kind, _reason(tally))
        rows_by_kind[tally.kind, owner] |= {row.name for row in rows} or {_NO_ROW}
        for row in rows:
            case(row, owner).tallies.append(tally)
    for event in events:
        for row in _rows(event.kind, _reason(event)):
            case(row, (event.namespace, event.pod)).events.append(event)
    for flow in flows:
        owner = flow.namespace, flow.pod
        # A flow's count has no reason: it is told where there is only one that it can have.
        for name in _only(rows_by_kind[flow.kind, owner]):
            cases[name, owner].flows.append(flow)
    return cases.values()


_NO_ROW = ""
"""Stands for what makes no finding: noise."""


def _only(names: set[str]) -> Iterable[str]:
    return names if len(names) == 1 and _NO_ROW not in names else ()


@lru_cache(maxsize=4096)
def _rows(kind: str, reason: str) -> tuple[EventThreshold, ...]:
    return tuple(row for row in EVENT_THRESHOLDS.values() if row.takes(kind, reason))


def _finding(node: str, case: _Case, seconds: float, answers: Mapping[DropKey, Answer]) -> Finding:
    doc = DOCS[case.row.finding]
    pod = "/".join(word(part) for part in case.owner) if case.owner[1] else ""
    reasons = _reasons(case)
    flows = flows_of(case.events, case.flows)
    blamed = tuple(_blamed(case, answers))
    evidence = (
        *_counts(node, case),
        *_flow_lines(node, flows),
        *(_doubts(node, case)),
        *_rule_lines(node, case, answers),
        *_meanings(node, reasons),
        *blamed,
    )
    who = f"pod {pod} on {node}" if pod else f"node {node}"
    return Finding(
        doc.id,
        _severity(case, doc.severity, reasons),
        Where(node, pod or "host"),
        f"{who}: {_summary(case, seconds, flows)}{_by(blamed)}",
        evidence,
        doc.why,
        Fix(doc.fix, node),
        Confidence.LIKELY if any(event.doubt for event in case.events) else Confidence.CERTAIN,
    )


def _severity(case: _Case, usual: Severity, reasons: Sequence[Reason]) -> Severity:
    """Return the worst reason's severity; a reset is never better than its kind."""
    worst = max((reason.severity for reason in reasons), default=usual)
    return worst if case.row.subject is not None else max(worst, usual)


def _summary(case: _Case, seconds: float, flows: Flows) -> str:
    """Return how much of what, in how long, of which sort, and between whom."""
    words = [f"{case.count:,} {case.row.says} in {seconds:.3g} s"]
    sorts = _sorts(case)
    if sorts:
        words.append(f" ({sorts})")
    longest = max((event.latency_ns or 0 for event in case.events), default=0)
    if longest:
        words.append(f", the longest {duration(longest)}")
    named = [f"{flow}{_carried(flows.inside[flow])}" for flow, _ in flows.counts.most_common(_IN_TEXT)]
    if named:
        more = len(flows.counts) - len(named)
        words.append(f": {'; '.join(named)}{f' and {more:,} more' if more > 0 else ''}")
    return "".join(words)


def _carried(inside: Counter[str]) -> str:
    """Return what a flow of a tunnel carries, as far as it was seen: whose packets those really are."""
    named = [flow for flow, _ in inside.most_common(_IN_TEXT)]
    more = len(inside) - len(named)
    return f", carrying {', '.join(named)}{f' and {more:,} more' if more > 0 else ''}" if named else ""


def _by(blamed: Sequence[Evidence]) -> str:
    """Return in words the rule that dropped most, where one is known; ``blamed`` has it last."""
    if not blamed:
        return ""
    more = f" and {len(blamed) - 1} more" if len(blamed) > 1 else ""
    return printable(f", by {blamed[-1].location} ({blamed[-1].text}){more}")


def _sorts(case: _Case) -> str:
    """Return by what the events differ that matters: hooks, errnos, reasons; the most frequent first."""
    told: Counter[str] = Counter()
    for event in case.events:
        told[word(event.hook or event.error)] += 1
    if not any(told):
        told = Counter()
        for tally in case.tallies:
            told[word(tally.reason)] += tally.count
    del told[""]
    names = [name for name, _ in told.most_common(MAX_COUNTS)]
    return f"{', '.join(names)}{' and others' if len(told) > len(names) else ''}" if names else ""


def _reason(happened: Tally | Event) -> str:
    """Return the reason of a drop, or what else it is that has reasons."""
    if happened.kind != "packet-loss":
        return happened.reason
    hook = happened.hook if isinstance(happened, Event) else ""
    return told_reason(happened.reason, happened.function, hook)


def _reasons(case: _Case) -> tuple[Reason, ...]:
    """Return the reasons of a case, those that the tables explain, the mildest first."""
    names = {*map(_reason, case.tallies), *map(_reason, case.events)}
    if case.row.subject is not None:
        found = [drop_reason(name) for name in names]
    elif case.row.finding.startswith("reset-"):
        found = [reset_reason(name) for name in names if name]
    else:
        return ()
    return tuple(sorted(found, key=lambda reason: (reason.severity, reason.name)))


# --- evidence ------------------------------------------------------------------------------------------------


def _counts(node: str, case: _Case) -> Iterator[Evidence]:
    """Yield what was counted: by kind, reason and function."""
    counts: Counter[str] = Counter()
    for tally in case.tallies:
        where = f" in {word(tally.function)}()" if tally.function else ""
        reason = f" {word(tally.reason)}" if tally.reason else ""
        counts[f"{word(tally.kind)}{reason}{where}"] += tally.count
    for text, count in _first(counts, MAX_COUNTS):
        yield Evidence("event", f"{text} +{count:,}", case.row.name, node=node)


def _flow_lines(node: str, flows: Flows) -> Iterator[Evidence]:
    """Yield the flows by their counts, and those inside of them by the samples that told them."""
    for text, count in _first(flows.counts, MAX_FLOWS):
        yield Evidence("flow", f"{text} +{count:,}", "flows seen", node=node)
    for text, count in _first(flows.all_inside, MAX_FLOWS):
        yield Evidence("flow", f"inside: {text} +{count:,}", "samples seen", node=node)


def _first(counts: Counter[str], most: int) -> Iterator[tuple[str, int]]:
    """Yield the most frequent, and how many of the others there are."""
    yield from counts.most_common(most)
    rest = len(counts) - most
    if rest > 0:
        yield f"and {rest:,} more", sum(sorted(counts.values())[:rest])


def _doubts(node: str, case: _Case) -> Iterator[Evidence]:
    for doubt in sorted({event.doubt for event in case.events if event.doubt})[:MAX_COUNTS]:
        yield Evidence("gap", printable(doubt), "owner", node=node)


def _rule_lines(node: str, case: _Case, answers: Mapping[DropKey, Answer]) -> Iterator[Evidence]:
    """Yield what the rules say of the packets, as many as there are of each answer; unknown ones too."""
    told: Counter[str] = Counter()
    for event in case.events:
        answer = _answered(event, answers)
        if answer is not None and not (answer.said is Said.RULE and not answer.rules[0].condition):
            told[printable(answer.text)] += 1
    for text, count in _first(told, MAX_RULES):
        yield Evidence("gap", f"{text} +{count:,}", "which rule", node=node)


def _blamed(case: _Case, answers: Mapping[DropKey, Answer]) -> Iterator[Evidence]:
    """Yield the rules that are known to have dropped, as they were collected; that of most packets is the last."""
    counts: Counter[Evidence] = Counter()
    for event in case.events:
        answer = _answered(event, answers)
        if answer is not None and answer.said is Said.RULE and not answer.rules[0].condition:
            counts[answer.rules[0].rule] += 1
    for rule, _ in reversed(counts.most_common(MAX_RULES)):
        yield replace(rule, text=printable(rule.text))


def _answered(event: Event, answers: Mapping[DropKey, Answer]) -> Answer | None:
    key = key_of(event) if answers else None
    return answers.get(key) if key is not None else None


def _meanings(node: str, reasons: Sequence[Reason]) -> Iterator[Evidence]:
    """Yield what the kernel's reasons mean; the worst is the last."""
    for reason in reasons[-MAX_COUNTS:]:
        name = word(reason.name) or "no reason"
        yield Evidence(
            "reason", f"{name}: {printable(reason.means)}; usually {reason.cause}", "reason", node=node
        )
