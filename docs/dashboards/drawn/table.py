"""A table: rows by their labels, and one column a query, named, ordered and sorted as the panel says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from docs.dashboards.asked import at_once
from docs.dashboards.drawn import svg
from docs.dashboards.drawn.frame import HEAD, PAD, Place, Shown, nothing, worded

_ROW = 19


def table(panel: Mapping[str, Any], place: Place, shown: Shown) -> list[str]:
    """Return a table's parts."""
    organized = panel["transformations"][-1]["options"]
    place_of, heads = organized["indexByName"], organized["renameByName"]
    labels = sorted((name for name in heads if not name.startswith("Value")), key=place_of.__getitem__)
    columns = [heads[f"Value #{target['refId']}"] for target in panel["targets"]]
    merged: dict[tuple[str, ...], dict[str, float]] = {}
    for target, column in zip(panel["targets"], columns, strict=True):
        for row in at_once(shown.url_of(target), shown.expr(target), shown.end):
            key = tuple(row["metric"].get(name, "") for name in labels)
            merged.setdefault(key, {})[column] = float(row["value"][1])
    if not merged:
        return nothing(panel, place)
    return _cells(
        [heads[name] for name in labels], columns, _sorted(panel, labels, heads, merged), place, panel
    )


def _sorted(
    panel: Mapping[str, Any],
    labels: list[str],
    heads: Mapping[str, str],
    merged: Mapping[tuple[str, ...], Mapping[str, float]],
) -> list[tuple[tuple[str, ...], Mapping[str, float]]]:
    """Return rows in the order that the panel asks for, the largest first."""
    by = [field["displayName"] for field in panel["options"].get("sortBy", ())]
    rows = sorted(merged.items())
    if by and by[0] in (named := [heads[name] for name in labels]):
        return sorted(rows, key=lambda row: row[0][named.index(by[0])], reverse=True)
    return sorted(rows, key=lambda row: -row[1].get(by[0], -1)) if by else rows


def _cells(
    labels: list[str],
    columns: list[str],
    rows: Iterable[tuple[tuple[str, ...], Mapping[str, float]]],
    place: Place,
    panel: Mapping[str, Any],
) -> list[str]:
    wide, heads = place.width - 2 * PAD, [*labels, *columns]
    edges = [place.x + PAD + wide * number / len(heads) for number in range(len(heads))]
    styles = {column: _style(panel, column) for column in columns}
    y = place.y + HEAD + 14
    parts = [
        svg.text(x, y, svg.fitted(name, wide / len(heads)), color=svg.SOFT, bold=True)
        for x, name in zip(edges, heads, strict=True)
    ]
    for key, values in rows:
        y += _ROW
        if y > place.y + place.height - 6:
            break
        parts.append(svg.stroke([(place.x + PAD, y - 14), (place.x + PAD + wide, y - 14)], svg.LINE, width=1))
        room = wide / len(heads) - 8
        parts += [svg.text(x, y, svg.fitted(word, room)) for x, word in zip(edges, key, strict=False)]
        for x, column in zip(edges[len(labels) :], columns, strict=True):
            if column in values:
                words, color = worded(values[column], styles[column])
                parts.append(svg.text(x, y, words, color=color, bold=True))
    return parts


def _style(panel: Mapping[str, Any], column: str) -> dict[str, Any]:
    """Return a column's unit, thresholds and words: its own, or else the panel's."""
    own = {
        row["id"]: row["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == column
        for row in override["properties"]
    }
    return {**panel["fieldConfig"]["defaults"], **own}
