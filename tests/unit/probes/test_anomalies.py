"""Thresholds: below nothing, from there on a finding, with how much, where, and in how long."""

from __future__ import annotations

import pytest

from skoopctl.checks.catalogue import DOCS
from skoopctl.errors import UsageError
from skoopctl.probes.anomalies import anomalies
from skoopctl.probes.catalogue import METRICS
from skoopctl.probes.metric import POD_LABELS, Kind
from skoopctl.probes.sample import SeriesKey, Snapshot
from skoopctl.probes.thresholds import THRESHOLDS, Compared, Threshold

POD = ("n1", "shop", "web-0")
SECONDS = 10
SECOND = 10**9
MUCH = 100_000


def two(grown: dict[str, float], labels: tuple[str, ...] = POD) -> tuple[Snapshot, Snapshot]:
    """Return snapshots between which counters grew by so much; gauges have that value at the end."""
    start: dict[SeriesKey, int | float] = {}
    end: dict[SeriesKey, int | float] = {}
    for name, number in grown.items():
        counter = METRICS[name].kind is Kind.COUNTER
        start[name, labels] = 7 if counter else 0
        end[name, labels] = number + 7 if counter else number
    return Snapshot(SECOND, 0, start), Snapshot((1 + SECONDS) * SECOND, 0, end)


def reaching(threshold: Threshold, factor: float) -> dict[str, float]:
    """Return how much a threshold's metrics grow to be ``factor`` times what it asks for."""
    number = threshold.default * factor
    of = {name: float(MUCH) for name in threshold.of}
    if threshold.compared in {Compared.SHARE, Compared.USED}:
        number *= sum(of.values())
    if threshold.compared is Compared.PER_SECOND:
        number *= SECONDS
    return {**of, threshold.metrics[0]: number}


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize(("factor", "found"), [(0.99, 0), (1.0, 1), (1.01, 1)], ids=["below", "at", "above"])
def test_a_threshold_is_reached_or_not(name: str, factor: float, found: int) -> None:
    """Just below its threshold a number is no finding; at it and above it, it is that threshold's."""
    threshold = THRESHOLDS[name]
    findings = anomalies("n1", *two(reaching(threshold, factor)))
    assert [finding.id for finding in findings] == [threshold.finding] * found


@pytest.mark.parametrize("name", THRESHOLDS)
def test_each_of_its_metrics_counts(name: str) -> None:
    """A threshold with several metrics adds them up: any one of them reaches it."""
    threshold = THRESHOLDS[name]
    grown = reaching(threshold, 2.0)
    number = grown.pop(threshold.metrics[0])
    for metric in threshold.metrics:
        findings = anomalies("n1", *two({**grown, metric: number}))
        assert [finding.id for finding in findings] == [threshold.finding], metric


@pytest.mark.parametrize("name", THRESHOLDS)
def test_each_finding_is_documented(name: str) -> None:
    """A threshold's finding has its documentation, and its metrics are in the catalogue."""
    threshold = THRESHOLDS[name]
    assert threshold.finding in DOCS
    assert set(threshold.metrics) | set(threshold.of) <= METRICS.keys()
    assert {METRICS[each].labels for each in (*threshold.metrics, *threshold.of)} == {POD_LABELS}
    gauges = threshold.compared in {Compared.VALUE, Compared.USED}
    assert {METRICS[each].kind is Kind.GAUGE for each in (*threshold.metrics, *threshold.of)} == {gauges}


def test_a_finding_says_how_much_where_and_in_how_long() -> None:
    """The summary names the pod, the node, the numbers and the time; the evidence names the series."""
    (finding,) = anomalies("n1", *two({"kubeskoop_tcp_retranssegs": 60, "kubeskoop_tcp_outsegs": 1200}))
    assert finding.summary == "pod shop/web-0 on n1: 60 of 1,200 TCP segments were sent again in 10 s (5.0%)"
    assert (finding.where.node, finding.where.namespace) == ("n1", "shop/web-0")
    assert [line.text for line in finding.evidence] == [
        "kubeskoop_tcp_retranssegs +60",
        "kubeskoop_tcp_outsegs +1,200",
    ]
    assert finding.fix is not None


def test_the_node_itself_is_called_host() -> None:
    """What is wrong with the node itself is at its host namespace."""
    (finding,) = anomalies("n1", *two({"kubeskoop_softnet_dropped": 3}, ("n1", "", "")))
    assert finding.summary == "node n1: 3 packets were dropped: a CPU's input queue was full in 10 s"
    assert finding.where.namespace == "host"


def test_a_part_of_little_says_nothing() -> None:
    """Two of ten segments are no rate of retransmission."""
    assert anomalies("n1", *two({"kubeskoop_tcp_retranssegs": 2, "kubeskoop_tcp_outsegs": 10})) == []


def test_a_part_of_something_unknown_says_nothing() -> None:
    """Without the number that it is a part of, nothing is compared."""
    assert anomalies("n1", *two({"kubeskoop_tcp_retranssegs": 2000})) == []


def test_thresholds_can_be_set() -> None:
    """Another number takes the default's place."""
    grown = two({"kubeskoop_udp_rcvbuferrors": 5})
    assert anomalies("n1", *grown, {"udp-receive-buffer": 6}) == []
    assert len(anomalies("n1", *grown, {"udp-receive-buffer": 5})) == 1


def test_a_threshold_of_zero_does_not_report_nothing() -> None:
    """Where nothing was counted there is nothing to report, whatever the threshold."""
    assert anomalies("n1", *two({"kubeskoop_udp_rcvbuferrors": 0}), {"udp-receive-buffer": 0}) == []


@pytest.mark.parametrize("given", [{"udp-receive-bufer": 1.0}, {"resets": -1.0}, {"resets": float("nan")}])
def test_thresholds_that_cannot_be_are_refused(given: dict[str, float]) -> None:
    """A name that does not exist, or a number below zero, is a usage error."""
    with pytest.raises(UsageError, match="threshold"):
        anomalies("n1", *two({}), given)


def test_a_series_that_just_came_is_no_finding() -> None:
    """Of a counter that was not there before, nobody knows how much of it is new."""
    _, after = two({"kubeskoop_udp_rcvbuferrors": 5000})
    assert anomalies("n1", Snapshot(SECOND, 0, {}), after) == []


def test_the_worst_comes_first() -> None:
    """Findings are in the order of their severity, and then of how far they are over their thresholds."""
    grown = {
        "kubeskoop_udp_rcvbuferrors": 2,
        "kubeskoop_udp_sndbuferrors": 9,
        "kubeskoop_tcpext_listenoverflows": 1,
        "skoopctl_softnet_time_squeezed_total": 5000,
    }
    assert [finding.id for finding in anomalies("n1", *two(grown))] == [
        "tcp-listen-overflow",
        "udp-send-buffer-full",
        "udp-receive-buffer-full",
        "softnet-squeezed",
    ]
