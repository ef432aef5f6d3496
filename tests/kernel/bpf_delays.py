"""What tests of latencies ask of probes, and read of what comes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.events import BpfEvent, Delay
from skoopctl.bpf.histogram import Histogram
from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_watch import Watch

HOUR_US = 3_600_000_000
COUNTS_S = 0.5
ENOUGH_S = 60.0
"""Longer than any test waits: the program ends with its standard input."""


def asked(
    probe: str,
    *namespaces: int,
    duration_s: float = ENOUGH_S,
    counts_s: float = 0.0,
    **thresholds_us: int,
) -> BpfRequest:
    """Return a request for one probe with some thresholds in microseconds."""
    named = {f"{probe}.{name}": value for name, value in thresholds_us.items()}
    return BpfRequest((probe,), duration_s, namespaces, counts_s=counts_s, thresholds_us=named)


def delay_of(event: BpfEvent) -> Delay:
    """Return how long an event took."""
    assert event.delay is not None
    return event.delay


def row(watch: Watch, probe: str, stage: str, of: str = "") -> Histogram:
    """Return one histogram of a probe, as it was told last."""
    found = _rows(watch, probe, stage, of)
    assert found, f"nothing was counted of {stage} {of}: {watch.counts[probe].histograms}"
    return found[0]


def _rows(watch: Watch, probe: str, stage: str, of: str) -> list[Histogram]:
    counts = watch.counts.get(probe)
    told = counts.histograms if counts else ()
    return [each for each in told if (each.stage, each.type) == (stage, of)]


def until_counted(watch: Watch, probe: str, least: int, *which: tuple[str, str]) -> None:
    """Wait until each histogram, a stage and a type, has so many, and until the events of all that have come too."""

    def there() -> bool:
        return all(sum(each.count for each in _rows(watch, probe, *names)) >= least for names in which)

    watch.until(there, f"{least} of each of {which}")
    watch.catch_up(probe)


def totals(watch: Watch, probe: str, netns: int) -> dict[str, int]:
    """Return how often each kind was counted in a namespace, as it was told last."""
    counts = watch.counts.get(probe)
    told = counts.totals if counts else ()
    return {each.kind: each.count for each in told if each.netns == netns}


def until_totalled(watch: Watch, probe: str, netns: int, least: int) -> None:
    """Wait until so much was counted in a namespace, and for two counts more, which would have what is too much."""
    watch.until(lambda: sum(totals(watch, probe, netns).values()) >= least, f"{least} in all")
    watch.catch_up(probe)


def dawdle(seconds: float) -> None:
    """Let time pass: that is the cause that is looked for, and nothing is waited for."""
    time.sleep(seconds)


def only(monkeypatch: pytest.MonkeyPatch, probe: str, *programs: str) -> None:
    """Leave a probe those alternatives only that have these programs."""
    found = PROBES[probe]
    hooks = tuple(
        replace(hook, alternatives=tuple(each for each in hook.alternatives if set(each) & set(programs)))
        if any(set(each) & set(programs) for each in hook.alternatives)
        else hook
        for hook in found.hooks
    )
    monkeypatch.setitem(PROBES, probe, replace(found, hooks=hooks))
