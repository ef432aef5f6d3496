"""The catalogue: every name of KubeSkoop's, nothing that is not documented, nothing that is never produced."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from skoopctl.errors import UsageError
from skoopctl.evidence.request import SampleRequest
from skoopctl.probes.catalogue import DEFAULT_PROBES, METRICS, PROBES, READINGS, items_of
from skoopctl.probes.metric import Kind
from skoopctl.probes.sources import SOURCES

ROOT = Path(__file__).parents[3]
CASES = Path(__file__).with_name("cases")
THEIRS = [
    line.split("\t")
    for line in (ROOT / "tests/fixtures/metrics/kubeskoop.tsv").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize(("probe", "name", "labels"), THEIRS, ids=[row[1] for row in THEIRS])
def test_every_metric_of_kubeskoop_is_there(probe: str, name: str, labels: str) -> None:
    """Each name of KubeSkoop's is a metric of the probe of the same name, with the same labels."""
    metrics = {metric.name: metric for metric in PROBES[probe].metrics}
    assert metrics[name].labels == tuple(labels.split(","))


def test_no_name_is_made_up_in_kubeskoops_way() -> None:
    """What begins with kubeskoop_ is a name that KubeSkoop has."""
    ours = {metric.name for metric in METRICS.values() if metric.compatible}
    assert ours == {name for _, name, _ in THEIRS}


def test_series_of_our_own_are_named_as_prometheus_asks() -> None:
    """Ours begin with skoopctl_, counters end in _total, and gauges do not."""
    ours = [metric for metric in METRICS.values() if not metric.compatible]
    assert all(re.fullmatch(r"skoopctl_[a-z0-9_]+", metric.name) for metric in ours)
    assert all(metric.name.endswith("_total") is (metric.kind is Kind.COUNTER) for metric in ours)


def test_no_name_stands_twice() -> None:
    """A metric belongs to one probe."""
    names = [metric.name for probe in PROBES.values() for metric in probe.metrics]
    assert len(names) == len(set(names))


def test_every_metric_is_documented() -> None:
    """Each metric has a help text and says where it comes from, and each probe says all of itself."""
    assert [
        metric.name for metric in METRICS.values() if not metric.help.endswith(".") or not metric.source
    ] == []
    silent = [p.name for p in PROBES.values() if not all((p.title, p.items, p.source, p.cost, p.needs))]
    assert silent == []


def test_every_metric_is_produced() -> None:
    """Each metric has a value in at least one case of raw items."""
    produced: set[tuple[str, str]] = set()
    for path in CASES.glob("*.json"):
        case = json.loads(path.read_text())
        for row in case["rows"]:
            del row["key"]
            produced |= {(case["source"], field) for field, value in row.items() if value}
    readings = [each for rows in READINGS.values() for each in rows]
    assert [each.metric.name for each in readings if (each.source, each.field) not in produced] == []


def test_a_probe_asks_for_what_its_sources_need() -> None:
    """The items of each probe are those of the sources of its metrics."""
    for name, rows in READINGS.items():
        needed = {item for each in rows for item in SOURCES[each.source].items}
        assert set(PROBES[name].items) == needed, name


def test_rows_of_one_source_have_the_same_labels() -> None:
    """Series that are made together are labelled alike."""
    labels: dict[str, set[tuple[str, ...]]] = {}
    for rows in READINGS.values():
        for each in rows:
            labels.setdefault(each.source, set()).add(each.metric.labels)
    assert [source for source, found in labels.items() if len(found) != 1] == []


def test_a_node_can_be_asked_for_all_of_it() -> None:
    """What all probes need is a request that the node program takes, and says whose the numbers are."""
    items = items_of(PROBES)
    assert SampleRequest(items).items[:3] == ("identity", "pods", "places")


def test_a_probe_that_is_not_there_is_refused_with_the_nearest() -> None:
    """A name that is nearly right is answered with the right one."""
    with pytest.raises(UsageError, match=r"no probe 'tcpex' \(did you mean tcpext"):
        items_of(["tcp", "tcpex"])


def test_dear_probes_are_not_on_by_default() -> None:
    """Counting file descriptors is only done for who asks for it."""
    assert set(PROBES) - set(DEFAULT_PROBES) == {"fd"}
