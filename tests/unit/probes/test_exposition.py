"""Pages: what Prometheus' own parsers and promtool make of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from skoopctl.cluster.cluster import Cluster
from skoopctl.cluster.objects import Pod
from skoopctl.errors import UsageError
from skoopctl.evidence.rounds import HOST, Change
from skoopctl.probes.catalogue import METRICS, PROBES
from skoopctl.probes.exposition import page
from skoopctl.probes.labels import escaped
from skoopctl.probes.node_series import NodeSeries
from skoopctl.probes.sources import SOURCES
from tests.unit.probes.rounds import CASES, HOST_NETNS, case, folders, node_round, place, places, tcp, uid

ONCE = {"snmp-6.18", "netstat-6.18", "devices-host", "sockstat-host-6.18", "tcp-states-host", "qdisc-tbf"}
ONCE |= {"conntrack-6.18-busy", "conntrack-4.18", "softnet-6.18", "ipvs", "cgroup-io", "cgroup-fd"}
ONCE |= {"rdma-counters", "rdma-resources"}


def whole_node(name: str = "n1") -> NodeSeries:
    """Return a node that has every metric but an old kernel's, and a pod that has those."""
    series = NodeSeries(name, list(PROBES))
    changes: list[Change] = [folders({uid(1): "shop_web-0"}), places(place(7, uid(1)))]
    for each in sorted(ONCE - {"conntrack-4.18"}):
        source = SOURCES[json.loads((CASES / f"{each}.json").read_text())["source"]]
        there = [what for what in source.items if (CASES / f"{each}.{what}").is_file()]
        changes += [case(each, what, HOST if _of_the_host(what) else HOST_NETNS) for what in there]
    changes += [case("snmp-4.18", "snmp", 7), case("conntrack-4.18", "conntrack-stats", 7)]
    series.apply(node_round(1, *changes))
    return series


def _of_the_host(what: str) -> bool:
    return what in {"softnet", "ipvs-stats", "cgroup-io", "cgroup-fd", "rdma-counters", "rdma-resources"}


def told(families: list[Family]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples of parsed families; one that comes twice fails."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in families:
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = float(sample.value)
    return found


def expected(*nodes: NodeSeries) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples that a page must have."""
    return {
        (s.metric.name, frozenset(zip(s.metric.labels, s.labels, strict=True))): float(s.value)
        for node in nodes
        for s in node.values()
    }


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
def test_a_page_says_what_the_series_say(openmetrics: bool) -> None:
    """Prometheus' parser reads every series of two nodes with its value, and no other."""
    nodes = [whole_node(), whole_node("n2")]
    text = page(nodes, openmetrics=openmetrics).decode()
    families = list(parse_openmetrics(text + "# EOF\n") if openmetrics else parse_text(text))
    assert told(families) == expected(*nodes)
    assert {name for name, _ in told(families)} == METRICS.keys()


def test_names_of_kubeskoop_have_no_type_and_ours_have_theirs() -> None:
    """OpenMetrics gives KubeSkoop's families the type unknown under their own names; ours are counters and gauges."""
    types = {
        family.name: family.type
        for family in parse_openmetrics(page([whole_node()], openmetrics=True).decode() + "# EOF\n")
    }
    assert types["kubeskoop_tcp_retranssegs"] == "unknown"
    assert types["kubeskoop_io_readbytes"] == "unknown"
    assert types["skoopctl_softnet_time_squeezed"] == "counter"
    assert types["skoopctl_tcp_accept_queue"] == "gauge"


def test_families_come_once_and_in_the_catalogues_order() -> None:
    """With many nodes, each family stands once, in the order of the catalogue, its lines by node and label."""
    text = page([whole_node(), whole_node("n2")]).decode()
    heads = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert heads == [name for name in METRICS if name in set(heads)]
    opens = [line for line in text.splitlines() if line.startswith("kubeskoop_tcp_activeopens")]
    assert [line.split("}")[0].partition("{")[2] for line in opens] == [
        'k8s_node="n1",k8s_namespace="",k8s_pod=""',
        'k8s_node="n1",k8s_namespace="shop",k8s_pod="web-0"',
        'k8s_node="n2",k8s_namespace="",k8s_pod=""',
        'k8s_node="n2",k8s_namespace="shop",k8s_pod="web-0"',
    ]


def test_a_page_of_nothing_is_empty() -> None:
    """Nodes that have said nothing give no family, not even its head."""
    assert page([NodeSeries("n1", ["tcp"])]) == b""


def test_two_hosts_that_are_one_node_do_not_repeat_its_series() -> None:
    """A second entry of the inventory for the same node would make the page invalid: it is left out."""
    assert page([whole_node(), whole_node()]) == page([whole_node()])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_page() -> None:
    """Promtool finds nothing wrong but KubeSkoop's own names (VL15_dropped has capital letters)."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page([whole_node()]), capture_output=True, check=False
    )
    complaints = [line for line in (done.stdout + done.stderr).decode().splitlines() if "VL15" not in line]
    assert complaints == []


@given(st.text(max_size=30))
def test_labels_come_back_as_they_were(value: str) -> None:
    """Whatever a label holds, quotes and line ends too, the parser gives it back, and the page is UTF-8."""
    text = f'x{{a="{escaped(value)}"}} 1\n'
    (family,) = parse_openmetrics(text.encode().decode() + "# EOF\n")
    assert family.samples[0].labels["a"] == value.encode("utf-8", "replace").decode()


def test_percent_signs_in_names_stay() -> None:
    """A node whose name holds what Python's formatting would take is written as it is."""
    series = NodeSeries("100%s", ["tcp"])
    series.apply(node_round(1, places(), tcp(HOST_NETNS, opens=3)))
    assert b'kubeskoop_tcp_activeopens{k8s_node="100%s",k8s_namespace="",k8s_pod=""} 3\n' in page([series])


def test_additional_labels_are_filled_from_the_pods() -> None:
    """A text with ${labels:…} takes the pod's label; the node, and a pod without it, get an empty one."""
    texts = {"app": "${labels:app.kubernetes.io/name}", "team": "team-${labels:team}"}
    series = NodeSeries("n1", ["tcp"], additional_labels=texts)
    names = folders({uid(1): "a_b", uid(2): "a_c"})
    series.apply(
        node_round(1, names, places(place(7, uid(1)), place(8, uid(2))), tcp(7), tcp(8), tcp(HOST_NETNS))
    )
    pod = Pod("a", "b", uid(1), labels={"app.kubernetes.io/name": 'we"b', "team": "x"})
    series.name_pods(Cluster(pods={("a", "b"): pod}))
    found = {
        sample.labels["k8s_pod"]: (sample.labels["app"], sample.labels["team"])
        for family in parse_text(page([series]).decode())
        for sample in family.samples
    }
    assert found == {"": ("", "team-"), "b": ('we"b', "team-x"), "c": ("", "team-")}


@pytest.mark.parametrize("name", ["k8s_pod", "1st", "a-b", "", "__name__"])
def test_additional_labels_that_cannot_be_are_refused(name: str) -> None:
    """A name that Prometheus does not take, or that is a label already, is a usage error."""
    with pytest.raises(UsageError, match="additionalLabels"):
        NodeSeries("n1", ["tcp"], additional_labels={name: "x"})


def test_a_page_follows_every_round() -> None:
    """A page that was made before does not hide what came since."""
    series = NodeSeries("n1", ["tcp"])
    for number in (1, 2, 3):
        series.apply(node_round(number, *([places()] if number == 1 else []), tcp(HOST_NETNS, opens=number)))
        assert f'k8s_pod=""}} {number}\n'.encode() in page([series])


def test_every_case_on_the_page_exists() -> None:
    """The cases that make up the whole node are there."""
    assert [name for name in ONCE if not Path(CASES / f"{name}.json").is_file()] == []
