"""Numbers as Grafana writes them, by unit."""

from __future__ import annotations

import math
from collections.abc import Callable

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_IEC = ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi"), (2.0**10, "Ki"))


def _rounded(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _scaled(value: float, steps: tuple[tuple[float, str], ...], suffix: str, gap: str = " ") -> str:
    for size, prefix in steps:
        if abs(value) >= size:
            return f"{_rounded(value / size)}{gap}{prefix}{suffix}"
    return f"{_rounded(value)}{gap}{suffix}".rstrip()


def _seconds(value: float) -> str:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if value >= size:
            return f"{_rounded(value / size)} {name}"
    return f"{_rounded(value)} s" if value >= 1 or not value else f"{_rounded(value * 1000)} ms"


def _micro(value: float) -> str:
    return f"{_rounded(value)} µs" if value < 1e3 else _seconds(value / 1e6)


_UNITS: dict[str, Callable[[float], str]] = {
    "short": lambda value: _scaled(value, (*_SI[:3], (1e3, "K")), "", ""),
    "bytes": lambda value: _scaled(value, _IEC, "B"),
    "Bps": lambda value: _scaled(value, _SI, "B/s"),
    "pps": lambda value: _scaled(value, _SI, "p/s"),
    "cps": lambda value: _scaled(value, _SI, "c/s"),
    "ops": lambda value: _scaled(value, _SI, "ops/s"),
    "percentunit": lambda value: f"{_rounded(value * 100)} %",
    "s": _seconds,
    "ns": lambda value: f"{_rounded(value)} ns" if value < 1e3 else _micro(value / 1e3),
}


def written(value: float, unit: str) -> str:
    """Return a number with its unit; one whose unit is not known stands alone."""
    return _UNITS.get(unit, _UNITS["short"])(value)


def ticks(top: float, base: int = 1000) -> list[float]:
    """Return round numbers from 0 up to at least ``top``, four steps or fewer; ``base`` is what a kilo is."""
    size = 1.0
    larger = 1024 if base == 1024 else 10
    while size * larger <= top:
        size *= larger
    while size > top:
        size /= 10
    steps = (size * factor * scale for scale in (1, 10, 100) for factor in (0.25, 0.5, 1, 2, 2.5, 5))
    step = next(step for step in steps if top <= 4 * step)
    return [step * number for number in range(max(math.ceil(top / step - 1e-9), 1) + 1)]
