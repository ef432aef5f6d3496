"""What a dashboard is made of: variables, rows, panels, queries, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FINE = "#0072B2"
NOTE = "#E69F00"
WRONG = "#D55E00"
"""Blue, orange, vermilion: the Okabe-Ito colours, which people who see no red or no green can tell apart."""


class Kind(StrEnum):
    """How a panel shows its numbers; the values are Grafana's names."""

    LINES = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"
    TABLE = "table"
    TEXT = "text"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression: PromQL, or LogQL in a panel of events.

    In a table, ``legend`` is the head of its column, and ``unit`` that column's unit.
    """

    expr: str
    legend: str = ""
    unit: str = ""
    steps: tuple[tuple[float, str], ...] = ()
    words: tuple[tuple[float, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click leads. ``column`` is the table's column that carries it; empty: every value."""

    title: str
    url: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; ``about`` says what the number means and what to do when it is not as it should be."""

    title: str
    about: str
    queries: tuple[Query, ...] = ()
    unit: str = "short"
    kind: Kind = Kind.LINES
    steps: tuple[tuple[float, str], ...] = ()
    """From which value on the colour changes."""
    width: int = 8
    height: int = 7
    links: tuple[Link, ...] = ()
    words: tuple[tuple[float, str, str], ...] = ()
    """Value, the word shown in its place, its colour."""
    names_only: bool = False
    """A number that shows its legend and not its value."""
    columns: tuple[tuple[str, str], ...] = ()
    """A table's labels, in order, with their heads; others are not shown."""
    sort: str = ""
    """The column that a table is sorted by, largest first."""
    top: float | None = None
    """The largest value there can be."""
    empty: str = ""
    """What stands there without data; where no data is good news, it says so."""
    text: str = ""
    events: bool = False
    """Whether its queries are LogQL, asked of Loki."""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with its panels, which fill 24 columns a line."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top: the values of ``label`` of the series, or of the streams, that ``of`` selects."""

    name: str
    label: str
    of: str
    title: str
    all: bool = False
    """Whether all can be chosen; all fits series without the label too."""
    events: bool = False
    """Whether Loki is asked."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    about: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    refresh: str = "30s"
    since: str = "now-1h"

    @property
    def has_events(self) -> bool:
        """Whether it needs a Loki."""
        return any(panel.events for row in self.rows for panel in row.panels)


def board_url(uid: str, **variables: str) -> str:
    """Return the address of another dashboard, with the time range and the data source that are shown now."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return f"/d/{uid}?${{datasource:queryparam}}&${{cluster:queryparam}}{chosen}&${{__url_time_range}}"
