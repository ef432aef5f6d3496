"""What KubeSkoop's metrics are sums of."""

from __future__ import annotations

from pathlib import Path

import pytest

from skoopctl.bpf.catalogue import KINDS, PROBES
from skoopctl.bpf.metric import EventMetric

ROOT = Path(__file__).parents[3]
THEIRS = {
    tuple(line.split("\t"))
    for line in (ROOT / "tests/fixtures/metrics/kubeskoop-ebpf.tsv").read_text().splitlines()
    if not line.startswith("#")
}
OURS = {
    (probe.name, metric.name, ",".join(metric.labels)): metric
    for probe in PROBES.values()
    for metric in probe.metrics
}
BY_NAME = {metric.name: metric for metric in OURS.values()}


def test_every_metric_of_kubeskoops_ebpf_probes_is_there() -> None:
    """Names, probes and labels are KubeSkoop's, character for character, without one more or less."""
    built = {row for row in THEIRS if row[0] in PROBES}
    assert set(OURS) == built


def test_a_metric_sums_kinds_of_its_own_probe() -> None:
    """No metric counts what another probe sees, and none counts nothing."""
    for (probe, *_), metric in OURS.items():
        assert metric.kinds
        assert {KINDS[number] for number in metric.kinds} <= set(PROBES[probe].kinds)


@pytest.mark.parametrize(
    ("name", "kind", "reason", "function", "counted"),
    [
        ("kubeskoop_packetloss_total", 1, "NO_SOCKET", "tcp_v4_rcv", True),
        ("kubeskoop_packetloss_netfilter", 1, "NETFILTER_DROP", "nf_hook_slow", True),
        ("kubeskoop_packetloss_netfilter", 1, "", "nf_hook_slow", True),
        ("kubeskoop_packetloss_netfilter", 1, "NO_SOCKET", "tcp_v4_rcv", False),
        ("kubeskoop_tcpretrans_total", 22, "", "", True),
        ("kubeskoop_softirq_schedslow", 31, "NET_RX", "", True),
        ("kubeskoop_softirq_schedslow100ms", 30, "NET_RX", "", False),
        ("kubeskoop_softirq_excuteslow", 30, "NET_RX", "", False),
    ],
)
def test_what_a_metric_counts(name: str, kind: int, reason: str, function: str, *, counted: bool) -> None:
    """The lower threshold holds the higher one; netfilter's drops are known by the reason, or by the function."""
    metric: EventMetric = BY_NAME[name]
    assert metric.counts(kind, reason, function) is counted


def test_no_two_kinds_have_one_number_or_name() -> None:
    """Numbers travel from nodes, and names are what people and programs look for."""
    kinds = [kind for probe in PROBES.values() for kind in probe.kinds]
    assert len({kind.number for kind in kinds}) == len({kind.name for kind in kinds}) == len(kinds)
