"""One panel: what its queries answer, drawn into its place."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from docs.dashboards.asked import at_once, over_time
from docs.dashboards.drawn import svg
from docs.dashboards.drawn.frame import HEAD, PAD, Place, Shown, nothing, worded
from docs.dashboards.drawn.numbers import ticks, written
from docs.dashboards.drawn.table import table
from docs.dashboards.drawn.written_lines import log, markdown

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#7F6000",
    "#5E3C99",
    "#4D4D4D",
    "#A6761D",
)


def draw(panel: Mapping[str, Any], place: Place, shown: Shown) -> list[str]:
    """Return a panel's parts: frame, title, and what its kind shows."""
    title = svg.fitted(panel["title"], place.width - 2 * PAD, 12)
    parts = [
        svg.box(place.x, place.y, place.width, place.height),
        svg.text(place.x + PAD, place.y + 17, title, size=12, bold=True),
    ]
    return parts + _KINDS[panel["type"]](panel, place, shown)


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    named = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), target["legendFormat"])
    return named or ", ".join(f"{k}={v}" for k, v in labels.items() if k != "__name__")


def _lines(panel: Mapping[str, Any], place: Place, shown: Shown) -> list[str]:
    rows = []
    for target in panel["targets"]:
        for row in over_time(shown.url_of(target), shown.expr(target), shown.start, shown.end, shown.step_s):
            values = [(float(at), float(value)) for at, value in row["values"] if value != "NaN"]
            rows.append((_legend(target, row["metric"]), values))
    if not any(values for _, values in rows):
        return nothing(panel, place)
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    marks = ticks(
        max(value for _, values in rows for _, value in values) or 1, 1024 if unit == "bytes" else 1000
    )
    area = Place(place.x + 64, place.y + HEAD + 6, place.width - 64 - PAD, place.height - HEAD - 6 - 40)
    parts = _axes(area, marks, unit, shown)
    for step in defaults["thresholds"]["steps"][1:]:
        if 1e-6 < step["value"] <= marks[-1]:
            at = area.y + area.height * (1 - step["value"] / marks[-1])
            parts.append(
                svg.stroke([(area.x, at), (area.x + area.width, at)], step["color"], width=1, dashed=True)
            )
    for number, (_, values) in enumerate(rows):
        parts += _line(values, area, marks[-1], shown, PALETTE[number % len(PALETTE)])
    return parts + _legends([(name, written(values[-1][1], unit)) for name, values in rows if values], place)


def _axes(area: Place, marks: list[float], unit: str, shown: Shown) -> list[str]:
    parts = []
    for mark in marks:
        y = area.y + area.height * (1 - mark / marks[-1])
        parts.append(svg.stroke([(area.x, y), (area.x + area.width, y)], svg.LINE, width=1))
        parts.append(svg.text(area.x - 6, y + 4, written(mark, unit), size=10, color=svg.SOFT, at="end"))
    last = 4 if area.width > 280 else 2
    for part in range(last + 1):
        at = shown.start + (shown.end - shown.start) * part / last
        clock = time.strftime("%H:%M:%S", time.gmtime(at))
        anchor = "start" if part == 0 else "end" if part == last else "middle"
        x = area.x + area.width * part / last
        parts.append(svg.text(x, area.y + area.height + 14, clock, size=9, color=svg.SOFT, at=anchor))
    return parts


def _line(values: list[tuple[float, float]], area: Place, top: float, shown: Shown, color: str) -> list[str]:
    """Return a series as lines, broken where values are missing."""
    runs: list[list[tuple[float, float]]] = []
    before = None
    for at, value in values:
        x = area.x + area.width * (at - shown.start) / (shown.end - shown.start)
        if before is None or at - before > 1.5 * shown.step_s:
            runs.append([])
        runs[-1].append((x, area.y + area.height * (1 - min(value, top) / top)))
        before = at
    return [svg.stroke(run, color) for run in runs]


def _legends(rows: list[tuple[str, str]], place: Place) -> list[str]:
    """Return names and last values, in one line as far as they fit."""
    parts, x, y = [], place.x + PAD, place.y + place.height - 10
    for number, (name, value) in enumerate(rows):
        words = f"{name}  {value}"
        width = len(words) * 6.1 + 22
        if x + width > place.x + place.width - (50 if number + 1 < len(rows) else 0):
            parts.append(svg.text(x, y, f"+{len(rows) - number}", size=10, color=svg.SOFT))
            break
        color = PALETTE[number % len(PALETTE)]
        parts.append(svg.stroke([(x, y - 4), (x + 12, y - 4)], color, width=3))
        parts.append(svg.text(x + 16, y, words, size=10, color=svg.INK))
        x += width
    return parts


def _number(panel: Mapping[str, Any], place: Place, shown: Shown) -> list[str]:
    defaults = panel["fieldConfig"]["defaults"]
    rows = [
        (_legend(target, row["metric"]), float(row["value"][1]))
        for target in panel["targets"]
        for row in at_once(shown.url_of(target), shown.expr(target), shown.end)
    ]
    if not rows:
        return nothing(panel, place)
    name, value = rows[0]
    words, color = worded(value, defaults)
    words = name if panel["options"].get("textMode") == "name" else words
    middle = place.y + HEAD + (place.height - HEAD) / 2 + 8
    size = min(28, (place.width - 2 * PAD) / (0.62 * max(len(words), 1)))
    return [
        svg.text(place.x + place.width / 2, middle, words, size=size, color=color, at="middle", bold=True)
    ]


_KINDS = {"timeseries": _lines, "stat": _number, "table": table, "logs": log, "text": markdown}
