"""From the tables to Grafana's JSON, with Grafana's own SDK, which knows the schema of its version 10.1.

Grafana reads older schemas for ever, so the same file opens in 10, 11 and 12.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    logs,
    loki,
    prometheus,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from docs.dashboards.explained import EXPLAINED
from docs.dashboards.parts import FINE, Board, Kind, Link, Panel, Row, Variable

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
EVENTS = model.DataSourceRef(type_val="loki", uid="${loki}")
LABEL_VALUES = 1
"""Grafana's number for this kind of variable of a Loki."""
MOST_LINES = 500
TAG = "skoopctl"
DOCS = "/public/skoopctl"
"""Where `deploy/compose.yaml` lets Grafana serve the docs folder."""
_BUILDERS = {
    Kind.LINES: timeseries.Panel,
    Kind.NUMBER: stat.Panel,
    Kind.BARS: bargauge.Panel,
    Kind.TABLE: table.Panel,
    Kind.TEXT: text.Panel,
    Kind.LOGS: logs.Panel,
}


def board_json(board: Board) -> str:
    """Return a dashboard as Grafana imports it; the same table always gives the same text."""
    made = (
        builder.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .editable()
        .time(board.since, "now")
        .refresh(board.refresh)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .timezone("browser")
        .with_variable(builder.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(_siblings())
    )
    if board.has_events:
        made.with_variable(builder.DatasourceVariable("loki").label("Loki").type("loki"))
    for variable in board.variables:
        made.with_variable(_variable(variable))
    made.with_variable(builder.TextBoxVariable("docs").label("Docs at").default_value(DOCS))
    ids = iter(range(1, 1000))
    for row in board.rows:
        _add(made, row, ids)
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _siblings() -> builder.DashboardLink:
    link = builder.DashboardLink("skoopctl").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).include_vars(True).keep_time(True)


def _variable(variable: Variable) -> builder.QueryVariable:
    query: dict[str, Any] = {"query": f"label_values({variable.of}, {variable.label})"}
    if variable.events:
        query = {"label": variable.label, "stream": variable.of, "type": LABEL_VALUES}
    made = (
        builder.QueryVariable(variable.name)
        .label(variable.title)
        .query({**query, "refId": "values"})
        .datasource(EVENTS if variable.events else SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if variable.all:
        made.include_all(True).all_value(".*").current(model.VariableOption(text="All", value="$__all"))
    return made


def _add(board: builder.Dashboard, row: Row, ids: Iterator[int]) -> None:
    heading = builder.Row(row.title).collapsed(row.collapsed).id(next(ids))
    panels = [_panel(panel, next(ids)) for panel in row.panels]
    if row.collapsed:
        for panel in panels:
            heading.with_panel(panel)
        board.with_row(heading)
        return
    board.with_row(heading)
    for panel in panels:
        board.with_panel(panel)


def _panel(panel: Panel, number: int) -> Any:
    made = _BUILDERS[panel.kind]().id(number).title(panel.title).span(panel.width).height(panel.height)
    if panel.kind is Kind.TEXT:
        return made.description(panel.about).content(panel.text).mode(TextMode.MARKDOWN)
    made.description(_about(panel)).datasource(EVENTS if panel.events else SOURCE)
    targets = zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", panel.queries, strict=False)
    for ref, query in targets:
        made.with_target(
            (_lines_target if panel.events else _target)(panel.kind, ref, query.expr, query.legend)
        )
    if panel.kind is Kind.LOGS:
        return made.show_time(True).wrap_log_message(True).enable_log_details(True)
    made.unit(panel.unit).min(0)
    if panel.top is not None:
        made.max(panel.top)
    if panel.empty:
        made.no_value(panel.empty)
    made.thresholds(_thresholds(panel.steps))
    if panel.words:
        made.mappings([_words(panel.words)])
    if finding := EXPLAINED.get(panel.title):
        made.links([_link(Link(f"What it means: {finding}", f"$docs/findings.md#{finding}"))])
    _SHAPES[panel.kind](made, panel)
    return made


def _about(panel: Panel) -> str:
    finding = EXPLAINED.get(panel.title)
    return f"{panel.about} `skoopctl explain {finding}` says more." if finding else panel.about


def _target(kind: Kind, ref: str, expr: str, legend: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(expr).ref_id(ref).datasource(SOURCE).legend_format(legend)
    if kind is Kind.LINES:
        return target.range()
    return target.instant().format(
        PromQueryFormat.TABLE if kind is Kind.TABLE else PromQueryFormat.TIME_SERIES
    )


def _lines_target(kind: Kind, ref: str, expr: str, legend: str) -> loki.Dataquery:
    """Return a query of Loki. An instant one comes back as a table: a column for each label, and one for the value."""
    target = loki.Dataquery().expr(expr).ref_id(ref).datasource(EVENTS).legend_format(legend)
    target.query_type("range" if kind in {Kind.LINES, Kind.LOGS} else "instant")
    return target.max_lines(MOST_LINES) if kind is Kind.LOGS else target


def _thresholds(steps: Iterable[tuple[float, str]]) -> builder.ThresholdsConfig:
    rows = [model.Threshold(None, FINE), *(model.Threshold(value, color) for value, color in steps)]
    return builder.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(rows)


def _words(words: Iterable[tuple[float, str, str]]) -> model.ValueMap:
    shown = {
        f"{value:g}": model.ValueMappingResult(text=word, color=color, index=index)
        for index, (value, word, color) in enumerate(words)
    }
    return model.ValueMap(options=shown)


def _lines(made: timeseries.Panel, panel: Panel) -> None:
    legend = common.VizLegendOptions().display_mode(models.LegendDisplayMode.LIST)
    legend.placement(models.LegendPlacement.BOTTOM).show_legend(True).calcs(["lastNotNull"])
    made.legend(legend)
    made.tooltip(
        common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING)
    )
    made.line_width(1.5).fill_opacity(8).show_points(models.VisibilityMode.NEVER)
    made.color_scheme(builder.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    if panel.steps:
        style = common.GraphThresholdsStyleConfig().mode(models.GraphTresholdsStyleMode.DASHED)
        made.thresholds_style(style)
    made.data_links([_link(link) for link in panel.links])


def _single(made: stat.Panel | bargauge.Panel, panel: Panel) -> None:
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    made.color_scheme(builder.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    made.data_links([_link(link) for link in panel.links])


def _number(made: stat.Panel, panel: Panel) -> None:
    _single(made, panel)
    made.graph_mode(models.BigValueGraphMode.NONE).color_mode(models.BigValueColorMode.VALUE)
    if panel.names_only:
        made.text_mode(models.BigValueTextMode.NAME)


def _bars(made: bargauge.Panel, panel: Panel) -> None:
    _single(made, panel)
    made.orientation(models.VizOrientation.HORIZONTAL).display_mode(models.BarGaugeDisplayMode.BASIC)


def _table(made: table.Panel, panel: Panel) -> None:
    """One row for each set of labels, one column for each query: joined, renamed, put in order."""
    heads = dict(panel.columns)
    for ref, query in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", panel.queries, strict=False):
        heads[f"Value #{ref}"] = query.legend
    if len(panel.queries) == 1:
        heads["Value"] = panel.queries[0].legend
    made.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    shown = {"include": {"names": list(heads)}}
    made.with_transformation(model.DataTransformerConfig(id_val="filterFieldsByName", options=shown))
    order = {name: index for index, name in enumerate(heads)}
    organized = {"renameByName": heads, "indexByName": order, "excludeByName": {}}
    made.with_transformation(model.DataTransformerConfig(id_val="organize", options=organized))
    made.show_header(True)
    if panel.sort:
        made.sort_by([common.TableSortByFieldState().display_name(panel.sort).desc(True)])
    for query in panel.queries:
        steps = _thresholds(query.steps).build()
        properties = [
            model.DynamicConfigValue("unit", query.unit or panel.unit),
            model.DynamicConfigValue("thresholds", steps),
            model.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
            model.DynamicConfigValue("color", {"mode": "thresholds"}),
        ]
        if query.words:
            properties.append(model.DynamicConfigValue("mappings", [_words(query.words)]))
        made.override_by_name(query.legend, properties)
    for link in panel.links:
        links = [{"title": link.title, "url": link.url, "targetBlank": False}]
        made.override_by_name(link.column, [model.DynamicConfigValue("links", links)])


def _link(link: Link) -> builder.DashboardLink:
    made = builder.DashboardLink(link.title).url(link.url).type(model.DashboardLinkType.LINK)
    return made.target_blank(False)


_SHAPES: dict[Kind, Any] = {Kind.LINES: _lines, Kind.NUMBER: _number, Kind.BARS: _bars, Kind.TABLE: _table}
