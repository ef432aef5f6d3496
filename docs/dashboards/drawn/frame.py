"""What every kind of panel needs: its place, whose data it shows, and how a number is worded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docs.dashboards.asked import filled, rate_interval
from docs.dashboards.drawn import svg
from docs.dashboards.drawn.numbers import written

HEAD, PAD = 24, 10


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose data, of which time, with which variables."""

    url: str
    start: float
    end: float
    step_s: float
    scrape_s: float
    values: Mapping[str, str]
    events_url: str = ""
    """Where Loki's API is, for panels of events."""

    def url_of(self, target: Mapping[str, Any]) -> str:
        """Return who is asked."""
        return self.events_url if target["datasource"]["type"] == "loki" else self.url

    def expr(self, target: Mapping[str, Any]) -> str:
        """Return a query, filled in."""
        known = {
            **self.values,
            "__rate_interval": rate_interval(self.step_s, self.scrape_s),
            "__interval": f"{self.step_s:g}s",
            "__range": f"{self.end - self.start:g}s",
        }
        return filled(target["expr"], known)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel stands, in pixels."""

    x: float
    y: float
    width: float
    height: float


def nothing(panel: Mapping[str, Any], place: Place) -> list[str]:
    """Return what stands in a panel without data."""
    words = panel["fieldConfig"]["defaults"].get("noValue", "No data")
    middle = place.y + HEAD + (place.height - HEAD) / 2
    return [svg.text(place.x + place.width / 2, middle, words, size=13, color=svg.SOFT, at="middle")]


def color_of(value: float, thresholds: Mapping[str, Any]) -> str:
    """Return the colour of a value by its thresholds."""
    color = svg.INK
    for step in thresholds["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return color


def worded(value: float, defaults: Mapping[str, Any]) -> tuple[str, str]:
    """Return a value's words and colour: mapped, or with its unit and by its thresholds."""
    for mapping in defaults.get("mappings", ()):
        if found := mapping["options"].get(f"{value:g}"):
            return found["text"], found["color"]
    return written(value, defaults["unit"]), color_of(value, defaults["thresholds"])
