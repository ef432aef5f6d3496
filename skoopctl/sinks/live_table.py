"""The live table of ``probe run``: as many rows and columns as the terminal has room for, the worst first."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Drawn
from rich.text import Text

from skoopctl.report.escape import escape_terminal, shorten
from skoopctl.sinks.summary_text import short_name
from skoopctl.watching.observation import NodeView, Observation, Phase
from skoopctl.watching.table import Place, Table, in_short, table_of, troublesome

if TYPE_CHECKING:
    from skoopctl.evidence.rounds import Round
    from skoopctl.probes.metric import Metric
    from skoopctl.watching.for_a_while import Stay

REFRESH_S = 0.25
NAME_WIDTH = 30
COLUMN_WIDTH = 11
MOST_STATES = 6
AROUND_ROWS = 5
"""Lines that are no rows: two of the head, its rule, what is left out, and the one where the cursor stands."""
_STYLES = {
    Phase.CONNECTED: "green",
    Phase.ENDED: "green",
    Phase.BROKEN: "yellow",
    Phase.GIVEN_UP: "bold red",
}


def live_table(
    observation: Observation,
    stay: Stay,
    *,
    thresholds: Mapping[str, float],
    sort: str | None,
    pod: tuple[str, str] | None,
    console: Console | None = None,
) -> LiveTable | None:
    """Return the table, to be shown while it is entered; nothing where there is no terminal to show it on."""
    if console is None:
        if not sys.stderr.isatty():
            return None
        console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    return LiveTable(observation, stay, thresholds, sort, pod, console)


class LiveTable:
    """Draws anew when something came, but not more often than eyes can follow."""

    def __init__(
        self,
        observation: Observation,
        stay: Stay,
        thresholds: Mapping[str, float],
        sort: str | None,
        pod: tuple[str, str] | None,
        console: Console,
    ) -> None:
        self._observation = observation
        self._stay = stay
        self._thresholds = thresholds
        self._sort = sort
        self._pod = pod
        self._console = console
        self._live: Live | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._wrong: dict[str, frozenset[str]] = {}

    def __enter__(self) -> Self:
        self._observation.told = self.told
        self._live = Live(
            self.draw(), console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop"
        )
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def above(self, text: str) -> None:
        """Write text above the table; what paints it is in it already."""
        if self._live is not None:
            self._live.console.print(Text.from_ansi(text), end="" if text.endswith("\n\n") else "\n")

    def told(self, view: NodeView, round_: Round | None) -> None:
        """Take note of a change, and show it soon."""
        if round_ is not None:
            found = view.findings(self._thresholds)
            self._wrong[view.series.label] = frozenset(each.where.namespace for each in found)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(REFRESH_S, self._show)

    def _show(self) -> None:
        self._soon = None
        if self._live is not None:
            self._live.update(self.draw(), refresh=True)

    def draw(self) -> RenderableType:
        """Return what is shown now, in at most the terminal's height."""
        size = self._console.size
        states = self._states(size.width, min(MOST_STATES, size.height // 4))
        rates = [view.rates for view in self._observation.nodes.values() if view.rates is not None]
        if not rates:
            return Group(*states)
        table = table_of(rates, self._observation.probes, sort=self._sort, pod=self._pod)
        room = max(size.height - len(states) - AROUND_ROWS, 1)
        return Group(*states, self._drawn(table, size.width, room))

    def _states(self, width: int, most: int) -> list[Text]:
        """Return a line that counts the nodes, and one for each that is not well."""
        nodes = self._observation.nodes.values()
        up = sum(view.phase in {Phase.CONNECTED, Phase.ENDED} for view in nodes)
        rounds = max((view.rounds for view in nodes), default=0)
        lines = [
            Text.assemble(
                (f"{up} of {len(nodes)} nodes", "green" if up == len(nodes) else "yellow"),
                f", round {rounds} of {self._stay.rounds}, every {self._stay.interval_s:g} s; Ctrl-C ends it",
                no_wrap=True,
                overflow="ellipsis",
            )
        ]
        sick = [view for view in nodes if view.phase not in {Phase.CONNECTED, Phase.ENDED}]
        for view in sick[:most]:
            said = escape_terminal(f"{view.name}: {view.phase} {view.why}".strip())
            lines.append(Text(shorten(said, width - 2), style=_STYLES.get(view.phase, "dim"), no_wrap=True))
        if len(sick) > most:
            lines.append(Text(f"and {len(sick) - most} more", style="dim"))
        return lines

    def _drawn(self, table: Table, width: int, room: int) -> RenderableType:
        columns = table.columns[: max((width - NAME_WIDTH) // COLUMN_WIDTH, 1)]
        drawn = Drawn(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        drawn.add_column("", width=NAME_WIDTH - 1, no_wrap=True)
        bad = troublesome()
        for metric in columns:
            probe, _, rest = short_name(metric.name).partition("_")
            style = "yellow" if metric.name in bad else ""
            title = Text(f"{probe}\n{shorten(rest, COLUMN_WIDTH - 1)}", style=style)
            drawn.add_column(title, justify="right", width=COLUMN_WIDTH - 1, no_wrap=True)
        for row in table.rows[:room]:
            cells = [self._cell(metric, row.values) for metric in columns]
            drawn.add_row(self._named(row.place), *cells)
        return Group(drawn, self._left_out(table, len(columns), room))

    def _named(self, place: Place) -> Text:
        names = {f"{place.namespace}/{place.pod}"} if place.pod else {"", "host"}
        wrong = not names.isdisjoint(self._wrong.get(place.node, ()))
        name = escape_terminal(str(place))
        if len(name) >= NAME_WIDTH:
            name = f"…{name[-(NAME_WIDTH - 2) :]}"
        return Text(name, style="bold red" if wrong else "bold" if not place.pod else "")

    def _cell(self, metric: Metric, values: Mapping[str, float]) -> Text:
        if metric.name not in values:
            return Text("")
        value = values[metric.name]
        style = "dim" if not value else "yellow" if metric.name in troublesome() else ""
        return Text(in_short(value, metric.kind, metric.name), style=style)

    def _left_out(self, table: Table, columns: int, room: int) -> Text:
        """Say what there is and is not shown."""
        more: list[Any] = []
        if len(table.rows) > room:
            more.append(f"{len(table.rows) - room} more rows")
        if len(table.columns) > columns:
            more.append(f"{len(table.columns) - columns} more metrics")
        if table.zero:
            more.append(f"{table.zero} metrics are zero everywhere")
        return Text(", ".join(more), style="dim", no_wrap=True, overflow="ellipsis")
