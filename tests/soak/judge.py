"""What Prometheus has stored of a soak, judged: gaps, duplicates, stale groups, memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.soak.chaos import INTERVAL_S, Outage

BUSY_S = 2.5
"""What a machine that runs other tests too may be late with one push and one scrape, at least."""
MOST_GROWTH = 48 * 2**20


@dataclass(frozen=True)
class Gap:
    """Between two pushes of a node's group."""

    node: str
    began: float
    ended: float
    excused: float
    """Seconds of it in which something was killed."""

    @property
    def own_s(self) -> float:
        """How long it was beyond the outages."""
        return self.ended - self.began - self.excused

    def __str__(self) -> str:
        return f"{self.node}: {self.ended - self.began:.1f} s, of which {self.excused:.1f} s were kills' own"


def ask(url: str, expression: str, at: float) -> list[dict[str, object]]:
    """Return the rows of an instant query."""
    asked = urlencode({"query": expression, "time": at})
    with urlopen(f"{url}/api/v1/query?{asked}", timeout=30) as answer:  # noqa: S310 - our own server
        rows: list[dict[str, object]] = json.load(answer)["data"]["result"]
    return rows


def pushes(url: str, began: float, ended: float) -> dict[str, list[float]]:
    """Return when each node's group was pushed, as far as scrapes have seen it."""
    rows = ask(url, f'push_time_seconds{{node!=""}}[{int(ended - began) + 1}s]', ended)
    found: dict[str, list[float]] = {}
    for row in rows:
        metric, values = row["metric"], row["values"]
        assert isinstance(metric, dict)
        assert isinstance(values, list)
        found[metric["node"]] = sorted({float(value) for _, value in values})
    return found


def gaps(times: dict[str, list[float]], outages: Sequence[Outage]) -> list[Gap]:
    """Return the gaps between pushes, each with how much of it is excused."""
    return [
        Gap(node, one, two, overlap(one, two, outages))
        for node, pushed in times.items()
        for one, two in pairwise(pushed)
    ]


def overlap(began: float, ended: float, outages: Sequence[Outage]) -> float:
    """Return the seconds between two times in which at least one part was away."""
    covered, reached = 0.0, began
    for outage in sorted(outages, key=lambda each: each.began):
        low, high = max(reached, outage.began), min(ended, outage.ended)
        if high > low:
            covered += high - low
            reached = high
    return covered


def too_long(found: Sequence[Gap], slack_s: float = 0.0) -> list[str]:
    """Return the gaps that are longer than two intervals, and ``slack_s``, beyond what kills themselves cost."""
    return [str(gap) for gap in found if gap.own_s > 2 * INTERVAL_S + slack_s]


def duplicates(url: str, began: float, ended: float) -> list[object]:
    """Return series that there was more than once at any time."""
    of_one = "count by (k8s_node, k8s_namespace, k8s_pod) (kubeskoop_tcp_activeopens)"
    return [
        row["metric"] for row in ask(url, f"max_over_time(({of_one} > 1)[{int(ended - began)}s:1s])", ended)
    ]


def growth(url: str, began: float, ended: float) -> float:
    """Return by how many bytes push's memory varied; lives of it are told apart by when they started."""
    span = int(ended - began)
    rows = ask(url, f"max_over_time(skoopctl_push_memory_bytes[{span}s])", ended)
    least = ask(url, f"min_over_time(skoopctl_push_memory_bytes[{span}s])", ended)
    return _number(rows) - _number(least)


def _number(rows: list[dict[str, object]]) -> float:
    value = rows[0]["value"]
    assert isinstance(value, list)
    return float(value[1])
