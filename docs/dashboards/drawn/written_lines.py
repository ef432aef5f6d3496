"""Panels of text: the newest lines of a log, and a table in Markdown."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from docs.dashboards.asked import log_lines
from docs.dashboards.drawn import svg
from docs.dashboards.drawn.frame import HEAD, PAD, Place, Shown, nothing

_ROW = 17
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
_RULE = re.compile(r"\|[-:| ]+\|")


def log(panel: Mapping[str, Any], place: Place, shown: Shown) -> list[str]:
    """Return the newest lines, each with its time, as many as fit."""
    (target,) = panel["targets"]
    rows = log_lines(shown.url_of(target), shown.expr(target), shown.start, shown.end)
    if not rows:
        return nothing(panel, place)
    parts = []
    for (at_ns, line), y in zip(rows, _heights(place), strict=False):
        seconds, rest = divmod(at_ns, 1_000_000_000)
        clock = f"{time.strftime('%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03d}"
        parts.append(svg.text(place.x + PAD, y, clock, color=svg.SOFT))
        parts.append(svg.text(place.x + PAD + 92, y, svg.fitted(line, place.width - 2 * PAD - 92)))
    return parts


def markdown(panel: Mapping[str, Any], place: Place, _shown: Shown) -> list[str]:
    """Return a table of Markdown, as much as fits."""
    lines = [line for line in panel["options"]["content"].splitlines() if not _RULE.fullmatch(line)]
    rows = [[_plain(cell) for cell in line.strip("|").split("|")] for line in lines]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]))]
    scale = (place.width - 2 * PAD) / sum(widths)
    parts = []
    for number, (row, y) in enumerate(zip(rows, _heights(place), strict=False)):
        x = place.x + PAD
        for cell, width in zip(row, widths, strict=True):
            color = svg.INK if number else svg.SOFT
            parts.append(svg.text(x, y, svg.fitted(cell, width * scale), color=color, bold=not number))
            x += width * scale
    return parts


def _heights(place: Place) -> range:
    return range(int(place.y + HEAD + 14), int(place.y + place.height - 6), _ROW)


def _plain(cell: str) -> str:
    return _LINK.sub(r"\1", cell).replace("`", "").strip()
