"""What is written on the command line of ``probe run``, read: durations, thresholds, pods, names of probes."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from typing import Any

import click

from skoopctl.errors import UsageError

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
LEAST_INTERVAL_S = 0.2
ALL = "all"


class Duration(click.ParamType[float]):
    """A time such as ``30s``, ``5m``, ``1h``, ``500ms``; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value))
        seconds = float(found[1]) * _UNITS[found[2] or ""] if found else 0.0
        if not 0 < seconds < math.inf:
            self.fail(f"{value!r} is no time; write it like 30s, 5m or 1h", param, ctx)
        return seconds


def complete_probe(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the probes whose names begin like what was typed."""
    from skoopctl.events.catalogue import known_names

    return [name for name in (*known_names(), ALL) if name.startswith(incomplete)]


def complete_metric(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the metrics, without what all names begin with."""
    from skoopctl.probes.catalogue import PROBES
    from skoopctl.sinks.summary_text import short_name

    names = (short_name(metric.name) for probe in PROBES.values() for metric in probe.metrics)
    return [name for name in names if name.startswith(incomplete)]


def complete_threshold(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the thresholds with their defaults."""
    from skoopctl.events.thresholds import EVENT_THRESHOLDS
    from skoopctl.probes.anomalies import THRESHOLDS

    defaults = {name: each.default for name, each in THRESHOLDS.items()}
    defaults |= {name: each.default for name, each in EVENT_THRESHOLDS.items()}
    offered = (f"{name}={default:g}" for name, default in defaults.items())
    return [each for each in offered if each.startswith(incomplete)]


def chosen_probes(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the probes of metrics and of events that are meant: all, those named, or the metrics that cost little.

    Raises `UsageError`.
    """
    from skoopctl.events.catalogue import known_names, parted
    from skoopctl.probes.catalogue import DEFAULT_PROBES

    if not names:
        return DEFAULT_PROBES, ()
    return parted(known_names() if ALL in names else names)


def chosen_metric(name: str | None, probes: Sequence[str]) -> str | None:
    """Return the whole name of a metric that one of ``probes`` has. Raises `UsageError`."""
    from skoopctl.watching.table import metrics_of

    if name is None:
        return None
    metrics = metrics_of(tuple(probes))
    for whole in (name, f"kubeskoop_{name}", f"skoopctl_{name}"):
        if whole in metrics:
            return whole
    near = difflib.get_close_matches(name, [m.partition("_")[2] for m in metrics], 1)
    meant = f"did you mean {near[0]!r}?" if near else "skoopctl probe list PROBE names them"
    raise UsageError(f"--sort {name}: no such metric among the probes {', '.join(probes)}", hint=meant)


def chosen_thresholds(given: Sequence[str]) -> dict[str, float]:
    """Return the thresholds of ``NAME=NUMBER`` flags. Raises `UsageError`."""
    from skoopctl.events.thresholds import EVENT_THRESHOLDS
    from skoopctl.probes.anomalies import THRESHOLDS

    known = (*THRESHOLDS, *EVENT_THRESHOLDS)
    found = {}
    for each in given:
        name, _, text = each.partition("=")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"--threshold {each}: there is no threshold {name!r}", hint=meant)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            raise UsageError(f"--threshold {each}: expected a number from 0 on", hint=f"such as {name}=10")
        found[name] = number
    return found


def chosen_pod(text: str | None) -> tuple[str, str] | None:
    """Return a pod's namespace and name. Raises `UsageError`."""
    if text is None:
        return None
    namespace, slash, name = text.removeprefix("pod/").partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise UsageError(f"--pod {text}: expected NAMESPACE/NAME")
    return namespace, name


def check_times(duration_s: float, interval_s: float) -> None:
    """Refuse times in which there can be no rate. Raises `UsageError`."""
    if interval_s < LEAST_INTERVAL_S:
        raise UsageError(f"--interval {interval_s:g}s: {LEAST_INTERVAL_S:g} s is the least")
    if duration_s < interval_s:
        raise UsageError(
            f"--interval {interval_s:g}s is longer than --duration {duration_s:g}s: there would be no rates"
        )
