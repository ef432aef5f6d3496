"""Between whom something happened, in words: flows with how often each was seen, and what those of tunnels carry."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from skoopctl.events.event import End, Event, FlowTally
from skoopctl.events.words import end_words, tunnel_words, word


@dataclass(frozen=True, slots=True)
class Flows:
    """Flows by their words, without clients' ports, which are new each time."""

    counts: Counter[str]
    """How often each is told: as the node counted them, else by samples."""
    inside: Mapping[str, Counter[str]]
    """What each flow carried, by samples; no node counts those. Empty for a flow that is of no tunnel."""

    @property
    def all_inside(self) -> Counter[str]:
        """What all of them carried."""
        return sum(self.inside.values(), Counter[str]())


def flows_of(events: Iterable[Event], flows: Iterable[FlowTally]) -> Flows:
    """Return how often each flow is told: by counts of flows where there are any, else by the events."""
    counted: Counter[str] = Counter()
    for flow in flows:
        counted[_flow(flow.protocol, flow.source, flow.destination)] += flow.count
    seen: Counter[str] = Counter()
    inside: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for event in events:
        if event.source is None or event.destination is None:
            continue
        text = _flow(event.protocol, event.source, event.destination)
        seen[text] += 1
        if event.inner is not None:
            inner = event.inner
            ends = _flow(inner.protocol, inner.source, inner.destination)
            inside[text][f"{ends} in {tunnel_words(inner)}"] += 1
    return Flows(counted or seen, inside)


def _flow(protocol: str, source: End, destination: End) -> str:
    """Return a flow without its client's port: the smaller port is the server's."""
    if source.port and destination.port and source.port < destination.port:
        destination = replace(destination, port=0)
    else:
        source = replace(source, port=0)
    return f"{word(protocol)} {end_words(source)} -> {end_words(destination)}".strip()
