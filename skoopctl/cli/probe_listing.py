"""What ``skoopctl probe list`` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skoopctl.bpf.catalogue import BpfProbe
from skoopctl.events.listing import NEEDS, ways_of
from skoopctl.probes.catalogue import DEFAULT_PROBES, READINGS
from skoopctl.probes.metric import Probe
from skoopctl.report.terminal import Line, Span, line, wrapped

_STYLES = {"available": "good", "degraded": "warn", "unavailable": "bad", "unknown": "warn"}
_NAME_AT = 14


def listing_lines(
    probes: Sequence[Probe], event_probes: Sequence[BpfProbe], detailed: bool, *, width: int
) -> list[Line]:
    """Return the catalogue: a row a probe, or, ``detailed``, each with its metrics."""
    if detailed:
        rows = [part for probe in probes for part in _detailed(probe, width)]
        return rows + [part for probe in event_probes for part in _event_probe(probe, width)]
    lines: list[Line] = []
    for probe in probes:
        star = "" if probe.name in DEFAULT_PROBES else " *"
        lines += _row(f"{probe.name}{star}", f"{probe.title}. {len(probe.metrics)} metrics.", width)
    if event_probes:
        lines += [line(), line(Span("Of events, only on request", "bold"))]
    for each in event_probes:
        lines += _row(each.name, f"{each.title[0].upper()}{each.title[1:]}.", width)
    lines += [line(), line("* costs more than the others together: only on request")]
    return [*lines, line("One with its metrics: skoopctl probe list PROBE; on nodes: -i INVENTORY")]


def _detailed(probe: Probe, width: int) -> list[Line]:
    facts = (
        ("reads", probe.source),
        ("costs", probe.cost),
        ("needs", probe.needs),
        (
            "of each",
            {"namespace": "node and pod", "host": "node", "cgroup": "node and pod, by processes"}[
                probe.scope
            ],
        ),
    )
    lines = [line(Span(f"{probe.name}: {probe.title}", "bold"))]
    for word, text in facts:
        lines += _row(f"  {word}", text, width)
    for reading in READINGS[probe.name]:
        metric = reading.metric
        lines.append(line("  ", Span(metric.name, "fact"), f"  {metric.kind}"))
        said = [metric.help, f"From {metric.source}."]
        said += [f"Only {reading.only}."] if reading.only else []
        said += [f"Differs: {reading.differs}."] if reading.differs else []
        lines += wrapped(" ".join(said), width, first="    ", rest="    ", style="dim")
    return [*lines, line()]


def _event_probe(probe: BpfProbe, width: int) -> list[Line]:
    lines = [line(Span(f"{probe.name}: {probe.title}", "bold"))]
    lines += _row("  needs", NEEDS, width)
    lines += _row("  costs", probe.cost, width) if probe.cost else []
    for hook in probe.hooks:
        lines += _row("  sees", f"{hook.what}; by {', else '.join(ways_of(hook))}; {hook.since}", width)
    for each in probe.thresholds:
        lines += _row("  from", f"{each.default_us / 1000:g} ms on: {each.tells}", width)
    for kind in probe.kinds:
        name = f"  {kind.compatible}" if kind.compatible else ""
        lines += [line("  ", Span(kind.name, "fact"), name), *wrapped(kind.tells, width, first="    ")]
    lines += [line("  ", Span(metric.name, "fact"), "  counter") for metric in probe.metrics]
    return [*lines, line()]


def _row(name: str, text: str, width: int) -> list[Line]:
    first, *rest = wrapped(text, width, rest=" " * _NAME_AT)
    return [line(f"{name:<{_NAME_AT}}", *first[1:]), *rest]


def node_lines(nodes: Sequence[dict[str, Any]], *, width: int) -> list[Line]:
    """Return how probes fare: of each node what is available in one line, and what is not with why."""
    lines: list[Line] = []
    for node in nodes:
        if node["status"] != "ok":
            head = f"{node['node']}: {node['status']}: "
            lines += wrapped(node["why"], width, first=head, rest="    ")
            continue
        by_state: dict[str, list[str]] = {}
        for name, each in node["probes"].items():
            by_state.setdefault(each["state"], []).append(name)
        fine = by_state.get("available", [])
        lines.append(
            line(
                Span(node["node"], "bold"),
                ": ",
                Span("available", "good"),
                f": {' '.join(fine) or 'nothing'}",
            )
        )
        for (state, why), names in _alike(node["probes"]).items():
            lines += _lacking(state, why, names, width)
    answered = sum(node["status"] == "ok" for node in nodes)
    return [*lines, line(Span(f"{answered} of {len(nodes)} nodes answered", "bold"))]


def _alike(probes: dict[str, dict[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Return the names of probes that lack the same for the same reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, each in probes.items():
        if each["state"] != "available":
            found.setdefault((each["state"], each["why"]), []).append(name)
    return found


def _lacking(state: str, why: str, names: list[str], width: int) -> list[Line]:
    head = f"  {state:<{_NAME_AT - 2}}"
    return [
        line(Span(head, _STYLES[state]), " ".join(names)),
        *wrapped(why, width, first=" " * _NAME_AT, rest=" " * _NAME_AT, style="dim"),
    ]
