"""Series of events: zeros where nothing happened, and nothing where it is not known."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as families

from skoopctl.bpf.histogram import BOUNDS_NS
from skoopctl.events.counted import KEPT_S, MOST_FLOWS, Counted
from skoopctl.events.metrics import BUCKETS_NS, EVENT_METRICS
from skoopctl.events.naming import Owner
from skoopctl.events.page import event_page
from tests.unit.events.node_said import API, WEB, counts, flow, histogram, setup, total
from tests.unit.events.test_node_events import Watched


def page(watched: Watched, *, openmetrics: bool = False) -> str:
    """Return the page of its events."""
    return event_page(watched.events, openmetrics=openmetrics).decode()


def values(watched: Watched, name: str) -> dict[tuple[str, ...], float]:
    """Return a metric's values by the values of its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in families(page(watched))
        for sample in family.samples
        if sample.name == name
    }


def test_each_counter_has_the_sum_of_its_kinds() -> None:
    """Drops by reason, events by type, with the pod's labels."""
    watched = Watched()
    watched.events.take(counts(total(WEB, 5), total(WEB, 2, "NO_SOCKET"), total(API, 1)))
    assert values(watched, "skoopctl_packet_drops_total") == {
        ("node1", "shop", "web-0", "NETFILTER_DROP"): 5,
        ("node1", "shop", "web-0", "NO_SOCKET"): 2,
        ("node1", "shop", "api-0", "NETFILTER_DROP"): 1,
    }
    assert values(watched, "skoopctl_events_total") == {
        ("node1", "shop", "web-0", "packetloss", "packet-loss"): 7,
        ("node1", "shop", "api-0", "packetloss", "packet-loss"): 1,
    }


def test_kubeskoop_s_drops_have_both_ends() -> None:
    """Ends by pod, node or address; ports are 0, so that flows between the same two are one series."""
    watched = Watched()
    told = [
        flow(WEB, 5, netfilter=True),
        flow(WEB, 2, source_port=4243),
        flow(WEB, 1, destination="192.0.2.9"),
    ]
    watched.events.take(counts(total(WEB, 8), flows=told))
    web = ("10.0.0.1", "pod", "", "shop", "web-0")
    assert values(watched, "kubeskoop_packetloss_total") == {
        ("node1", "TCP", *web, "10.96.0.10", "unknown", "", "", "", "0", "0"): 7,
        ("node1", "TCP", *web, "192.0.2.9", "unknown", "", "", "", "0", "0"): 1,
    }
    assert list(values(watched, "kubeskoop_packetloss_netfilter").values()) == [5]


def test_what_can_be_told_beforehand_is_zero_while_the_probe_counts() -> None:
    """Of pods and of types of softirqs there is a 0; before anything was counted there is nothing."""
    watched = Watched()
    assert values(watched, "kubeskoop_netiftxlat_qdiscslow100ms") == {}
    watched.events.take(setup("netiftxlat"))
    watched.events.take(counts(probe="netiftxlat"))
    assert values(watched, "kubeskoop_netiftxlat_qdiscslow100ms") == {
        ("node1", "", ""): 0,
        ("node1", "shop", "web-0"): 0,
        ("node1", "shop", "api-0"): 0,
    }
    watched.events.take(counts(total(0, 2, "NET_RX", "softirq-wait-very-slow"), probe="softirq"))
    found = values(watched, "kubeskoop_softirq_schedslow")
    assert found["node1", "NET_RX"] == 2
    assert found["node1", "TIMER"] == 0


def test_bytes_of_connections_are_counted_once() -> None:
    """What one pod of the node sent another one is the sender's; what came from elsewhere is the receiver's."""
    watched = Watched()
    between = {"kind": "flow-sent", "destination": "10.0.0.2", "bytes": 100, "packets": 3}
    told = [
        flow(WEB, 1, **between),
        flow(API, 1, **between | {"kind": "flow-received"}),
        flow(API, 1, kind="flow-received", source="192.0.2.9", destination="10.0.0.2", bytes=7, packets=1),
    ]
    watched.events.take(counts(flows=told, probe="flow"))
    assert sorted(values(watched, "kubeskoop_flow_bytes").values()) == [7, 100]
    assert sorted(values(watched, "kubeskoop_flow_packets").values()) == [1, 3]
    more = [flow(WEB, 1, **between | {"bytes": 150, "packets": 4})]
    watched.events.take(counts(flows=more, probe="flow"))
    assert sorted(values(watched, "kubeskoop_flow_bytes").values()) == [7, 150]


def test_a_histogram_is_prometheus_s() -> None:
    """Buckets hold what is below them, the last all of it; sums are seconds."""
    watched = Watched()
    watched.events.take(counts(probe="softirq", histograms=[histogram(s0=3, s10=2, s31=1)]))
    (family,) = [each for each in families(page(watched)) if each.name == "skoopctl_event_latency_seconds"]
    found = {
        (sample.name.rpartition("_")[2], sample.labels.get("le")): sample.value for sample in family.samples
    }
    assert family.type == "histogram"
    assert (found["bucket", "1.024e-06"], found["bucket", "+Inf"], found["count", None]) == (3, 6, 6)
    assert found["sum", None] == pytest.approx(6e-6)
    assert set(BUCKETS_NS) <= set(BOUNDS_NS)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_page_is_one_that_prometheus_reads(*, openmetrics: bool) -> None:
    """Every series is of a metric of the table, with its labels and no other, in both formats."""
    watched = Watched()
    watched.events.take(counts(total(WEB, 5), flows=[flow(WEB, 5)]))
    watched.events.take(counts(probe="softirq", histograms=[histogram(s0=3)]))
    text = page(watched, openmetrics=openmetrics)
    read = openmetrics_families(text + "# EOF\n") if openmetrics else families(text)
    names = set()
    for family in read:
        for sample in family.samples:
            known = EVENT_METRICS.get(sample.name) or EVENT_METRICS[sample.name.rpartition("_")[0]]
            assert set(sample.labels) - {"le"} == set(known.labels)
            names.add(known.name)
    assert {"kubeskoop_packetloss_total", "skoopctl_events_total", "skoopctl_event_probe_up"} <= names


def test_flows_are_bounded_and_the_oldest_goes() -> None:
    """Whatever a node tells, so many are kept, and what was forgotten is counted."""
    counted = Counted()
    for first in range(0, MOST_FLOWS + 10, 1000):
        rows = [flow(WEB, 1, source=f"10.{n >> 8}.{n & 255}.1") for n in range(first, first + 1000)]
        counted.take(counts(flows=rows), lambda _netns: Owner(), float(first))
    assert len(counted.flows) == MOST_FLOWS
    assert counted.forgotten == 9000 - MOST_FLOWS
    assert all(key.source != "10.0.0.1" for key in counted.flows)


def test_a_pod_that_is_gone_is_forgotten_after_a_while() -> None:
    """Its series stay for as long as somebody may still look, and then go."""
    counted = Counted()
    counted.take(counts(total(WEB, 1)), lambda _netns: Owner("shop", "web-0"), 0.0)
    counted.forget(lambda _namespace, _pod: False, KEPT_S)
    assert len(counted.tallies) == 1
    counted.forget(lambda _namespace, _pod: True, KEPT_S + 1)
    assert len(counted.tallies) == 1
    counted.forget(lambda _namespace, _pod: False, KEPT_S + 1)
    assert len(counted.tallies) == 0
