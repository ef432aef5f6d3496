"""The picture's smallest parts: elements with every word escaped, and the marks made of them."""

from __future__ import annotations

from collections.abc import Sequence

from skoopctl.report.escape import escape_xml
from skoopctl.report.svg_layout import PlacedRow
from skoopctl.report.svg_rows import LINE_HEIGHT, Shape

Point = tuple[int, int]

_TEXT_LIMIT = 400


def write(x: int, y: int, style: str, content: str, anchor: str = "") -> str:
    """Return one line of text."""
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}" class="{style}"{where}>{escape_xml(content[:_TEXT_LIMIT])}</text>'


def rectangle(x: int, y: int, width: int, height: int, style: str, *, radius: int = 6) -> str:
    """Return a rectangle with round corners."""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" class="{style}"/>'


def line(points: Sequence[Point], style: str) -> str:
    """Return a line through points."""
    return f'<polyline points="{" ".join(f"{x},{y}" for x, y in points)}" class="{style}"/>'


def arrow(x: int, y: int, style: str, *, up: bool) -> str:
    """Return an arrow's head that points up or down, its middle at the point."""
    tip = -6 if up else 6
    return f'<path d="M{x - 6},{y - tip} L{x + 6},{y - tip} L{x},{y + tip} Z" class="{style}"/>'


def cross(x: int, y: int, reach: int = 10) -> str:
    """Return the mark of a place where a packet dies."""
    return (
        f'<circle cx="{x}" cy="{y}" r="{reach + 3}" class="stop-dead"/>'
        f'<path d="M{x - reach + 2},{y - reach + 2} L{x + reach - 2},{y + reach - 2} '
        f'M{x + reach - 2},{y - reach + 2} L{x - reach + 2},{y + reach - 2}" class="cross"/>'
    )


def question(x: int, y: int) -> str:
    """Return the mark of what is not known."""
    return f'<circle cx="{x}" cy="{y}" r="10" class="stop-unknown"/>' + write(
        x, y + 4, "t-unknown", "?", "middle"
    )


def tick(x: int, y: int) -> str:
    """Return the mark of an arrival."""
    return (
        f'<circle cx="{x}" cy="{y}" r="8" class="stop-good"/>'
        f'<path d="M{x - 4},{y} L{x - 1},{y + 3} L{x + 4},{y - 3}" class="tick"/>'
    )


def stop(x: int, y: int, shape: Shape, *, small: bool = False) -> str:
    """Return a station's mark on the line."""
    if shape is Shape.DEAD:
        return cross(x, y, 6 if small else 10)
    if shape is Shape.UNKNOWN:
        return question(x, y)
    if shape is Shape.DELIVERED:
        return tick(x, y)
    return f'<circle cx="{x}" cy="{y}" r="5" class="stop"/>'


def station(item: PlacedRow, line_x: int, text_x: int) -> str:
    """Return a station: its mark, its name, and what was decided."""
    row = item.row
    middle = item.y + row.height // 2
    name, said = row.lines
    style = {Shape.DEAD: "t-dead", Shape.UNKNOWN: "t-unknown"}.get(row.shape, "t-name")
    anchor = "end" if item.reply else ""
    if row.shape is Shape.DEAD:
        text_x += -4 if item.reply else 4
    where = f' text-anchor="{anchor}"' if anchor else ""
    said_style = "t-dead" if row.shape is Shape.DEAD else "t-said"
    more = f'<tspan dx="8" class="{said_style}">{escape_xml(said)}</tspan>' if said else ""
    return (
        f"<g><title>{escape_xml(row.hint)}</title>{stop(line_x, middle, row.shape)}"
        f'<text x="{text_x}" y="{middle + 4}"{where}>'
        f'<tspan class="{style}">{escape_xml(name)}</tspan>{more}</text></g>'
    )


def label(item: PlacedRow, x: int, width: int) -> str:
    """Return a packet's label or a note, ``width`` pixels wide from ``x``."""
    row = item.row
    top = item.y + 2
    frame = {
        Shape.PACKET: "packet",
        Shape.RELABELLED: "packet",
        Shape.DEATH_NOTE: "death",
        Shape.UNKNOWN_NOTE: "doubt",
        Shape.FIX_NOTE: "fix",
    }[row.shape]
    parts = [_tag(x, top, width, row.height - 6) if frame == "packet" else ""]
    if frame != "packet":
        parts.append(rectangle(x, top, width, row.height - 6, frame))
    inset = 14 if frame == "packet" else 8
    for index, content in enumerate(row.lines):
        parts.append(
            write(x + inset, top + 14 + LINE_HEIGHT * index, _label_style(row.shape, index), content)
        )
    return "".join(parts)


def _label_style(shape: Shape, index: int) -> str:
    if shape is Shape.PACKET:
        return "t-mono-strong" if index == 0 else "t-mono"
    if shape is Shape.RELABELLED:
        return "t-mono t-struck" if index == 0 else "t-mono-strong"
    return "t-mono" if shape is Shape.UNKNOWN_NOTE else "t-mono-strong"


def _tag(x: int, y: int, width: int, height: int) -> str:
    """Return the shape of a luggage label: a packet's header, tied to its line."""
    middle = y + height // 2
    return (
        f'<path d="M{x},{middle} L{x + 8},{y} H{x + width} V{y + height} H{x + 8} Z" class="packet"/>'
        f'<circle cx="{x + 7}" cy="{middle}" r="1.5" class="stop"/>'
    )
