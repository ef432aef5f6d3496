"""The little of SVG that pictures of dashboards need; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

FONT = "font-family='DejaVu Sans, Helvetica, sans-serif'"
INK, SOFT, LINE, PAPER, GROUND = "#24292e", "#6a737d", "#e1e4e8", "#ffffff", "#f4f5f5"


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 11,
    color: str = INK,
    at: str = "start",
    bold: bool = False,
) -> str:
    """Return one line of text; ``at`` is its anchor."""
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size:g}' fill='{color}' text-anchor='{at}'{weight}>"
        f"{escape(words)}</text>"
    )


def box(x: float, y: float, width: float, height: float, *, fill: str = PAPER, stroke: str = LINE) -> str:
    """Return a rectangle with soft corners."""
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='3' fill='{fill}' "
        f"stroke='{stroke}'/>"
    )


def stroke(
    points: Iterable[tuple[float, float]], color: str, *, width: float = 1.5, dashed: bool = False
) -> str:
    """Return a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = " stroke-dasharray='5 4'" if dashed else ""
    return f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='{width:g}'{dashes}/>"


def fitted(words: str, width: float, size: float = 11) -> str:
    """Return as much of a text as fits into a width, by the usual width of letters."""
    room = int(width / (size * 0.56))
    return words if len(words) <= room else words[: max(room - 1, 1)] + "…"


def page(width: float, height: float, parts: Iterable[str]) -> str:
    """Return the whole picture."""
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:g}' height='{height:g}' {FONT}>"
    ground = f"<rect width='100%' height='100%' fill='{GROUND}'/>"
    return "\n".join([head, ground, *parts, "</svg>", ""])
