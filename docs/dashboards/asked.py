"""What a dashboard's JSON asks of Prometheus and Loki, filled in as Grafana does. For the viewer, and for tests.

It reads the JSON and not our tables, so that it sees what Grafana will see.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

_NAME = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_VALUES = re.compile(r"label_values\((?:(.*), *)?(\w+)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel."""

    panel: str
    ref: str
    expr: str
    legend: str
    instant: bool


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, those of collapsed rows too, without the rows themselves."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


def queries(board: Mapping[str, Any]) -> list[Asked]:
    """Return every query of a dashboard that Prometheus is asked."""
    return [
        Asked(panel["title"], target["refId"], target["expr"], target["legendFormat"], target["instant"])
        for panel, target in _targets(board, "prometheus")
    ]


def log_queries(board: Mapping[str, Any]) -> list[Asked]:
    """Return every query of a dashboard that Loki is asked."""
    return [
        Asked(
            panel["title"],
            target["refId"],
            target["expr"],
            target["legendFormat"],
            target["queryType"] == "instant",
        )
        for panel, target in _targets(board, "loki")
    ]


def _targets(board: Mapping[str, Any], source: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for panel in panels(board):
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == source:
                yield panel, target


def rate_interval(step_s: float, scrape_s: float) -> str:
    """Return ``$__rate_interval``: four scrapes, or a step and a scrape where that is more."""
    return f"{max(step_s + scrape_s, 4 * scrape_s):g}s"


def filled(text: str, values: Mapping[str, str]) -> str:
    """Put variables in their places; one that is not known stays as it is."""
    return _NAME.sub(lambda found: values.get(found[1] or found[2], found[0]), text)


def choices(
    url: str, board: Mapping[str, Any], chosen: Mapping[str, str], at: tuple[float, float]
) -> dict[str, str]:
    """Return a value for each variable: the one that was chosen, or else the first there is, as Grafana does."""
    values = dict(chosen)
    for variable in board["templating"]["list"]:
        name = variable["name"]
        if name in values or variable["type"] == "datasource":
            continue
        if variable.get("includeAll"):
            values[name] = variable["allValue"]
        elif variable["type"] == "query":
            found = label_values(url, filled(variable["query"]["query"], values), at)
            values[name] = found[0] if found else ""
        else:
            values[name] = str(variable["query"])
    return values


def label_values(url: str, query: str, at: tuple[float, float]) -> list[str]:
    """Answer ``label_values(SERIES, LABEL)`` or ``label_values(LABEL)`` as Grafana does."""
    found = _VALUES.fullmatch(query.strip())
    if not found:
        raise ValueError(f"{query}: not label_values(…)")
    asked = {"start": at[0], "end": at[1], **({"match[]": found[1]} if found[1] else {})}
    return list(_get(f"{url}/api/v1/label/{found[2]}/values", asked))


def at_once(url: str, expr: str, when: float) -> list[dict[str, Any]]:
    """Return the rows of an instant query: ``metric``, ``value``. Of Loki too, with ``/loki`` behind its address."""
    return list(_get(f"{url}/api/v1/query", {"query": expr, "time": when})["result"])


def over_time(url: str, expr: str, start: float, end: float, step_s: float) -> list[dict[str, Any]]:
    """Return the rows of a range query: ``metric``, ``values``."""
    asked = {"query": expr, "start": start, "end": end, "step": step_s}
    return list(_get(f"{url}/api/v1/query_range", asked)["result"])


def log_lines(url: str, expr: str, start: float, end: float) -> list[tuple[int, str]]:
    """Return the lines of a query of Loki with their times in nanoseconds, the newest first."""
    asked = {"query": expr, "start": start, "end": end, "limit": 100, "direction": "backward"}
    found = _get(f"{url}/api/v1/query_range", asked)["result"]
    lines = [(int(at), str(line)) for stream in found for at, line in stream["values"]]
    return sorted(lines, key=lambda row: -row[0])


def board_of(path: Path) -> dict[str, Any]:
    """Return a dashboard's JSON."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _get(url: str, asked: Mapping[str, Any]) -> Any:
    with urlopen(f"{url}?{urlencode(asked)}", timeout=20) as answer:  # noqa: S310 - a server on loopback
        return json.load(answer)["data"]
