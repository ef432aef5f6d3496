"""Reading the API's lists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.cluster.cluster import Cluster, load_cluster
from tests.support.recorded import RECORDINGS

KINDS = ["nodes", "pods", "services", "endpointslices", "networkpolicies", "namespaces"]
API = {p.stem: p.read_bytes() for p in (RECORDINGS / "iptables/api").glob("*.json") if p.stem in KINDS}


def listed(*items: Any) -> bytes:
    """Return a list as the API gives it."""
    return json.dumps({"kind": "List", "items": list(items)}).encode()


def test_recorded_objects_are_read_whole() -> None:
    """Every object of a real API server is usable, with the fields that decide traffic."""
    cluster = load_cluster(API)
    assert cluster.problems == ()
    assert set(cluster.nodes) == {"master-c4", "node1-c4", "node2-c4"}
    assert cluster.nodes["node1-c4"].pod_cidrs == ("10.244.1.0/24",)
    assert cluster.nodes["node1-c4"].ips() == ("192.168.3.86",)
    service = cluster.services["tools", "web-lb"]
    assert (service.type, service.cluster_ips, service.load_balancer_ips) == (
        "LoadBalancer",
        ("10.96.10.4",),
        ("198.51.100.10",),
    )
    assert service.source_ranges
    assert cluster.services["tools", "local-np"].external_traffic_policy == "Local"
    assert cluster.services["tools", "web-aff"].affinity_timeout_s == 10800
    assert cluster.pods["infra", "agent-1"].host_network
    assert not cluster.pods["infra", "notready"].ready
    assert "kube-system" in cluster.namespaces


def test_unusable_objects_are_named_and_the_rest_stays() -> None:
    """An object of another shape is a problem by its place and name; its neighbours are read."""
    good = {"metadata": {"namespace": "a", "name": "ok"}, "status": {"podIP": "10.0.0.1"}}
    cluster = load_cluster(
        {"pods": listed(5, {"metadata": {}}, {"metadata": {"name": "x"}, "status": {"podIPs": "?"}}, good)}
    )
    assert list(cluster.pods) == [("a", "ok")]
    assert cluster.pods["a", "ok"].ips == ("10.0.0.1",)
    assert cluster.problems == (
        "pods[0]: an object was expected, found int",
        "pods[1]: no metadata.name",
        "pods[2] x: podIPs is not a list of objects",
    )


def test_no_objects_at_all() -> None:
    """Without any object there is an empty cluster that answers every question with nothing."""
    cluster = load_cluster({})
    assert not cluster
    assert cluster.whois("10.0.0.1") is None
    assert cluster.node_port("tcp", 30080) is None
    assert cluster.pods_at("10.0.0.1") == ()


def test_headless_services_have_no_address() -> None:
    """The cluster IP "None" is no address."""
    service = {
        "metadata": {"name": "db", "namespace": "a"},
        "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
    }
    cluster = load_cluster({"services": listed(service)})
    assert cluster.services["a", "db"].addresses == ()
    assert cluster.services["a", "db"].ports[0].protocol == "TCP"


def test_missing_conditions_count_as_the_api_says() -> None:
    """An endpoint without conditions is ready and serving (discovery/v1)."""
    piece = {
        "metadata": {"name": "s", "namespace": "a", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [
            {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
        ],
        "ports": [{"name": "", "port": None}],
    }
    (found,) = load_cluster({"endpointslices": listed(piece)}).slices
    assert [(e.ready, e.serving) for e in found.endpoints] == [(True, True), (False, False)]
    assert found.ports[0].port is None


@pytest.mark.parametrize("raw", [b"", b"{", b"5", b'{"items": 5}', b"[" * 100_000], ids=repr)
def test_what_is_no_list_is_a_problem(raw: bytes) -> None:
    """Bytes that are no list are one problem that names the kind."""
    (problem,) = load_cluster({"pods": raw}).problems
    assert problem.startswith("pods:")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ITEMS = {kind: json.loads(raw)["items"] for kind, raw in API.items()}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a list with one object in which one value is replaced by anything."""
    kind = draw(st.sampled_from([k for k in KINDS if ITEMS[k]]))
    holder: Any = {"root": json.loads(json.dumps(draw(st.sampled_from(ITEMS[kind]))))}
    root, key = holder, "root"
    while draw(st.booleans()) and isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = draw(JSON)
    return kind, listed(root["root"])


@given(damaged())
def test_odd_fields_never_raise(case: tuple[str, bytes]) -> None:
    """Whatever the API sends becomes a cluster, and one that can be asked."""
    kind, raw = case
    cluster = load_cluster({**API, kind: raw})
    assert isinstance(cluster, Cluster)
    for ip in ("10.244.1.10", "10.96.10.1", "192.168.3.86", "x"):
        cluster.whois(ip)
    for service in cluster.services.values():
        for port in service.ports:
            cluster.endpoints(service, port)


def test_a_static_pod_is_found_by_the_hash_in_its_cgroups() -> None:
    """The mirror of a static pod is found by its own UID and by the kubelet's, which its annotation tells."""
    digest = "0123456789abcdef0123456789abcdef"
    metadata = {
        "namespace": "kube-system",
        "name": "etcd-n1",
        "uid": "7a0e5b1c-0000-4000-8000-000000000001",
        "annotations": {"kubernetes.io/config.hash": digest, "kubernetes.io/config.mirror": digest},
    }
    cluster = load_cluster({"pods": listed({"metadata": metadata})})
    pod = cluster.pods["kube-system", "etcd-n1"]
    assert cluster.pod_of_cgroup(digest) is pod
    assert cluster.pod_of_cgroup(pod.uid) is pod
    assert cluster.pod_of_cgroup("") is None
