"""Draw a dashboard: ``python -m docs.dashboards.drawn JSON -o FILE.svg --prometheus URL --var node=n1``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from docs.dashboards.asked import board_of, choices
from docs.dashboards.drawn import svg
from docs.dashboards.drawn.frame import Place, Shown
from docs.dashboards.drawn.panel import draw

WIDTH, CELL, GAP, TOP = 1320, 30, 6, 66


def drawn(board: Mapping[str, Any], shown: Shown, rows: Iterable[str] = ()) -> str:
    """Return a dashboard as SVG, with the rows of these titles, or with all."""
    wanted, parts, lift, below, inside = tuple(rows), [], 0, 0, True
    for panel in board["panels"]:
        grid = panel["gridPos"]
        if panel["type"] == "row":
            inside = not wanted or panel["title"] in wanted
            lift = below - grid["y"]
        if not inside:
            continue
        place = _placed(grid, lift)
        below = max(below, grid["y"] + lift + grid["h"])
        parts += _heading(panel, place) if panel["type"] == "row" else draw(panel, place, shown)
    chosen = "   ".join(
        f"{name}: {'All' if value == '.*' else value}" for name, value in shown.values.items()
    )
    head = [
        svg.text(12, 28, board["title"], size=18, bold=True),
        svg.text(12, 50, chosen, size=12, color=svg.SOFT),
        svg.text(WIDTH - 12, 50, _span(shown), size=12, color=svg.SOFT, at="end"),
    ]
    return svg.page(WIDTH, TOP + below * CELL + GAP, [*head, *parts])


def _placed(grid: Mapping[str, int], lift: int) -> Place:
    column = (WIDTH - 2 * GAP) / 24
    return Place(
        GAP + grid["x"] * column + GAP / 2,
        TOP + (grid["y"] + lift) * CELL,
        grid["w"] * column - GAP,
        grid["h"] * CELL - GAP,
    )


def _heading(row: Mapping[str, Any], place: Place) -> list[str]:
    words = f"▸ {row['title']}  ({len(row['panels'])} panels)" if row["collapsed"] else f"▾ {row['title']}"
    return [svg.text(place.x + 4, place.y + 18, words, size=14, bold=True)]


def _span(shown: Shown) -> str:
    start, end = (time.strftime("%H:%M:%S", time.gmtime(at)) for at in (shown.start, shown.end))
    return f"{time.strftime('%Y-%m-%d', time.gmtime(shown.end))}  {start} to {end} UTC"


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument("--loki", default="", metavar="URL", help="for panels of events: Loki's address")
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--row", action="append", default=[], metavar="TITLE", help="only these rows")
    parser.add_argument("--end", type=float, default=time.time(), help="seconds since 1970")
    parser.add_argument("--seconds", type=float, default=600, help="how much time is shown")
    parser.add_argument("--scrape", type=float, default=15, help="seconds between two scrapes")
    asked = parser.parse_args()
    board = board_of(asked.board)
    start = asked.end - asked.seconds
    chosen = dict(pair.split("=", 1) for pair in asked.var)
    values = choices(asked.prometheus, board, chosen, (start, asked.end))
    step_s = max(asked.seconds / 300, asked.scrape)
    events = f"{asked.loki}/loki" if asked.loki else ""
    shown = Shown(asked.prometheus, start, asked.end, step_s, asked.scrape, values, events)
    asked.output.write_text(drawn(board, shown, asked.row), encoding="utf-8")


if __name__ == "__main__":
    main()
