"""Showing the figures: a table for people, and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skoopctl import __version__
from tests.bench.figure import Bound, Figure, NotMeasured, Of

SCHEMA = "skoopctl.bench/1"
HEADINGS = ("name", "what", "figure", "baseline", "", "ratio", "target", "met")
Result = Figure | NotMeasured


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(each, 2) for each in os.getloadavg()],
        "skoopctl": __version__,
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine_line(facts: dict[str, Any]) -> str:
    """Return the machine in one line."""
    return (
        f"{facts['cores']} cores ({facts['cpu']}), Linux {facts['kernel']}, Python {facts['python']}, "
        f"load {facts['load'][0]:.1f}, skoopctl {facts['skoopctl']}"
    )


def as_text(results: Sequence[Result]) -> str:
    """Return the table, and a line for each benchmark that could not be run."""
    rows = [HEADINGS, *(_row(each) for each in results if isinstance(each, Figure))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = []
    if len(rows) > 1:
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  ".join(cells).rstrip())
    lines += [f"{r.name}: not measured: {r.reason}" for r in results if isinstance(r, NotMeasured)]
    return "\n".join(lines)


def as_json(facts: dict[str, Any], results: Sequence[Result], *, quick: bool) -> str:
    """Return everything that was measured."""
    document = {
        "schema": SCHEMA,
        "machine": facts,
        "quick": quick,
        "figures": [_object(each) for each in results if isinstance(each, Figure)],
        "not_measured": {r.name: r.reason for r in results if isinstance(r, NotMeasured)},
    }
    return json.dumps(document, indent=2)


def _row(figure: Figure) -> tuple[str, ...]:
    met = "" if figure.met is None else "yes" if figure.met else "NO"
    value, baseline = quantity(figure.value, figure.unit), quantity(figure.baseline, figure.unit)
    where = (figure.name, figure.what, value, baseline, figure.baseline_what)
    return (*where, ratio_text(figure.ratio), _target_text(figure), met)


def quantity(value: float, unit: str) -> str:
    """Return a figure with three digits, and seconds in the unit that suits them."""
    if unit == "s":
        for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
            if value * factor >= 1 or name == "µs":
                return f"{_digits(value * factor)} {name}"
    return f"{_digits(value)} {unit}"


def ratio_text(ratio: float) -> str:
    """Return a ratio as people say it: 1/8, or x 2.5."""
    return f"1/{_digits(1 / ratio)}" if 0 < ratio < 1 else f"x {_digits(ratio)}"


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _target_text(figure: Figure) -> str:
    target = figure.target
    if target is None:
        return ""
    sign = "<=" if target.bound is Bound.AT_MOST else ">="
    limit = ratio_text(target.limit) if target.of is Of.RATIO else quantity(target.limit, figure.unit)
    return f"{sign} {limit}"


def _object(figure: Figure) -> dict[str, Any]:
    target = figure.target
    return {
        "name": figure.name,
        "what": figure.what,
        "value": figure.value,
        "unit": figure.unit,
        "baseline": figure.baseline,
        "baseline_what": figure.baseline_what,
        "ratio": figure.ratio,
        "target": None if target is None else {"of": target.of, "bound": target.bound, "limit": target.limit},
        "met": figure.met,
        "detail": dict(figure.detail),
    }
