"""SRC and DST mean what a person would expect; what means nothing gets one line and the nearest name."""

from __future__ import annotations

import pytest

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.snapshot import Snapshot
from skoopctl.checks.target import resolve
from skoopctl.cluster.cluster import Cluster as Objects
from skoopctl.cluster.objects import Pod, Service, ServicePort
from skoopctl.dataplane.trace import Verdict
from skoopctl.errors import TargetError
from tests.support.broken import SERVICE, snapshot_of, web
from tests.support.worlds import cluster

PORTS = (ServicePort("http", "TCP", 80), ServicePort("https", "TCP", 443))


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """Return a healthy cluster with some services, and a pod that has no address yet."""
    found = snapshot_of(cluster(), web())
    services = {
        **found.cluster.services,
        ("demo", "headless"): Service("demo", "headless", cluster_ips=("None",), ports=PORTS[:1]),
        ("demo", "two"): Service("demo", "two", cluster_ips=("10.96.0.2",), ports=PORTS),
        ("default", "api"): Service("default", "api", cluster_ips=("10.96.0.3",), ports=PORTS[1:]),
    }
    pods = {**found.cluster.pods, ("demo", "pending"): Pod("demo", "pending", phase="Pending")}
    objects = Objects(found.cluster.nodes, pods, services)
    return Snapshot(found.hosts, objects, absent={"192.168.3.99": "n9"})


@pytest.mark.parametrize(
    ("text", "kind", "address", "name", "node", "port"),
    [
        ("10.244.1.10", "pod", "10.244.1.10", "demo/a", "n1", 0),
        ("192.168.3.86", "node", "192.168.3.86", "n1", "n1", 0),
        ("10.244.1.1", "node", "10.244.1.1", "n1", "n1", 0),
        (SERVICE, "service", SERVICE, "demo/web", "", 0),
        ("192.168.3.99", "node", "192.168.3.99", "n9", "n9", 0),
        ("203.0.113.9", "external", "203.0.113.9", "", "", 0),
        ("10.244.2.99", "unknown", "10.244.2.99", "", "", 0),
        ("pod/demo/a", "pod", "10.244.1.10", "demo/a", "n1", 0),
        ("po/demo/b", "pod", "10.244.2.10", "demo/b", "n2", 0),
        ("svc/demo/web", "service", SERVICE, "demo/web", "", 80),
        ("service/demo/two", "service", "10.96.0.2", "demo/two", "", 0),
        ("svc/api", "service", "10.96.0.3", "default/api", "", 443),
        ("node/n1", "node", "192.168.3.86", "n1", "n1", 0),
        ("n2", "node", "192.168.3.87", "n2", "n2", 0),
        ("http://10.244.1.10", "pod", "10.244.1.10", "demo/a", "n1", 80),
        ("https://10.244.1.10:8443/x", "pod", "10.244.1.10", "demo/a", "n1", 8443),
        ("http://web.demo", "service", SERVICE, "demo/web", "", 80),
        ("https://web.demo.svc.cluster.local/x", "service", SERVICE, "demo/web", "", 443),
        ("http://api", "service", "10.96.0.3", "default/api", "", 80),
    ],
)
def test_a_target_is_found(
    snapshot: Snapshot, text: str, kind: str, address: str, name: str, node: str, port: int
) -> None:
    """Addresses, pods, services, nodes, host names and URLs give kind, address, name, node and port."""
    target = resolve(text, snapshot)
    end = target.endpoint
    assert (end.kind, end.address, end.name, end.node, target.port) == (kind, address, name, node, port)
    assert end.asked == text


@pytest.mark.parametrize("text", ["10.244.1.10", "pod/demo/a", "node/n1", "n1"])
def test_a_source_has_a_namespace_to_send_from(snapshot: Snapshot, text: str) -> None:
    """A pod or node that was collected is a client in its own namespace."""
    client = resolve(text, snapshot).client
    assert client is not None
    assert client[0] == "n1"
    assert snapshot.netns(client).is_host is ("n1" in text)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("n8", "'n8' is not an address, and no host has that name", "did you mean n"),
        ("nonsense", "'nonsense' is not an address", "use an IP, pod/NS/NAME"),
        ("10.244.1.300", "is not an address", "use an IP"),
        ("pod/demo/aa", "there is no pod demo/aa", "did you mean demo/a?"),
        ("pod/a", "there is no pod default/a", "did you mean demo/a?"),
        ("pod/demo/pending", "the pod has no address yet (phase Pending)", "see its events"),
        ("svc/demo/wed", "there is no service demo/wed", "did you mean demo/web?"),
        ("svc/demo/headless", "no cluster IP (it is headless)", "one of its pods"),
        ("node/n4", "there is no node n4", "did you mean n"),
        ("http://example.org", "not a service of the cluster", "give the address"),
        ("http://10.244.1.10:99999", "the port is not a number from 1 to 65535", ""),
    ],
)
def test_what_means_nothing_is_one_clear_line(snapshot: Snapshot, text: str, message: str, hint: str) -> None:
    """An unknown end is a `TargetError` that repeats it and says what to do."""
    with pytest.raises(TargetError) as caught:
        resolve(text, snapshot)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_name_without_objects_asks_for_the_api() -> None:
    """Without any Kubernetes object a pod's name cannot be known, and the hint says what to give."""
    bare = Snapshot(cluster().world.hosts())
    with pytest.raises(TargetError, match="no Kubernetes objects were collected: give --kubeconfig"):
        resolve("pod/demo/a", bare)
    with pytest.raises(TargetError, match="no Kubernetes objects were collected"):
        resolve("svc/demo/web", bare)


def test_addresses_are_enough_without_objects() -> None:
    """With no API at all a flow between two addresses is diagnosed."""
    bare = Snapshot(cluster().world.hosts())
    diagnosis = diagnose(Question("10.244.1.10", "10.244.2.10", "tcp", 80), bare)
    assert diagnosis.path.verdict is Verdict.PASS
    assert (diagnosis.source.kind, diagnosis.destination.kind) == ("pod", "pod")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("10.244.1.10", "10.244.2.10"), "no port is given"),
        (Question("10.244.1.10", "svc/demo/two"), "no port is given"),
        (Question("10.244.1.10", "10.244.2.10", "tcp", 70000), "port 70000 is not a number from 1 to 65535"),
        (Question("10.244.1.10", "10.244.2.10", "gre", 80), "protocol 'gre' is not known"),
        (Question("10.244.1.10", "fd00::1", "tcp", 80), "different IP families"),
        (Question("svc/demo/web", "10.244.2.10", "tcp", 80), "was not collected"),
    ],
)
def test_a_question_that_cannot_be_asked(snapshot: Snapshot, question: Question, message: str) -> None:
    """A missing or impossible port, protocol or pair of ends is refused before any walk."""
    with pytest.raises(TargetError, match=message):
        diagnose(question, snapshot)


def test_a_service_with_one_port_needs_none(snapshot: Snapshot) -> None:
    """The port of a service that has only one is the one that is meant; -p wins over it."""
    assert diagnose(Question("pod/demo/a", "svc/demo/web"), snapshot).path.flow.port == 80
    assert diagnose(Question("pod/demo/a", "svc/demo/web", "tcp", 81), snapshot).path.flow.port == 81


def test_ping_has_no_port(snapshot: Snapshot) -> None:
    """ICMP ignores ports."""
    diagnosis = diagnose(Question("pod/demo/a", "pod/demo/b", "icmp", 0), snapshot)
    assert (diagnosis.path.flow.port, diagnosis.path.verdict) == (0, Verdict.PASS)


def test_another_source_address_is_told(snapshot: Snapshot) -> None:
    """A node that is asked for by one address and would send from another says so."""
    diagnosis = diagnose(Question("10.244.1.1", "192.168.3.87", "tcp", 22), snapshot)
    assert "a program on n1 that does not bind sends from 192.168.3.86" in diagnosis.path.assumptions
