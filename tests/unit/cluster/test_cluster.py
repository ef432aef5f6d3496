"""What an address is, and where a service leads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skoopctl.cluster.cluster import Cluster, IdentityKind
from skoopctl.cluster.objects import Endpoint, EndpointSlice, Node, Pod, Service
from tests.support.recorded import load

RECORDED = load("iptables").cluster


@pytest.mark.parametrize(
    ("ip", "kind", "name", "node"),
    [
        ("10.244.1.10", IdentityKind.POD, "tools/web-a", "node1-c4"),
        ("192.168.3.86", IdentityKind.NODE, "node1-c4", "node1-c4"),
        ("10.96.10.1", IdentityKind.SERVICE, "tools/web", ""),
        ("198.51.100.10", IdentityKind.SERVICE, "tools/web-lb", ""),
        ("10.244.1.222", IdentityKind.POD_RANGE, "10.244.1.0/24", "node1-c4"),
    ],
)
def test_whois(ip: str, kind: IdentityKind, name: str, node: str) -> None:
    """Pods, nodes, services and unused addresses of a node's range are told apart."""
    found = RECORDED.whois(ip)
    assert found is not None
    assert (found.kind, found.name, found.node) == (kind, name, node)


def test_unknown_addresses_are_nobodys() -> None:
    """An address that no object has is nobody's, and so is what is no address."""
    assert RECORDED.whois("203.0.113.9") is None
    assert RECORDED.whois("not an address") is None


def test_host_network_pods_do_not_hide_their_node() -> None:
    """A node's address is the node's; the pods that share it are told beside it."""
    found = RECORDED.whois("192.168.3.86")
    assert found is not None
    assert found.also == ("infra/agent-1",)
    lone = Cluster(pods={("a", "p"): Pod("a", "p", node="n1", ips=("10.0.0.1",), host_network=True)})
    identity = lone.whois("10.0.0.1")
    assert identity is not None
    assert (identity.kind, identity.name) == (IdentityKind.NODE, "n1")


def test_a_terminated_pod_does_not_own_its_old_address() -> None:
    """An address that was given to another pod is that pod's, whatever order the API lists them in."""
    old = Pod("a", "old", ips=("10.0.0.1",), phase="Succeeded", created="2026-01-01T00:00:00Z")
    new = Pod("a", "new", ips=("10.0.0.1",), phase="Running", created="2025-01-01T00:00:00Z")
    for pods in ((old, new), (new, old)):
        found = Cluster(pods={(p.namespace, p.name): p for p in pods}).whois("10.0.0.1")
        assert found is not None
        assert (found.name, found.also) == ("a/new", ())


def test_of_two_live_claimants_the_likelier_is_first() -> None:
    """Running before pending, ready before not, newer before older; the other is named."""
    pending = Pod("a", "pending", ips=("10.0.0.1",), phase="Pending", created="2026-02-01")
    running = Pod("a", "running", ips=("10.0.0.1",), phase="Running", created="2026-01-01")
    newer = replace(running, name="newer", created="2026-03-01")
    found = Cluster(pods={(p.namespace, p.name): p for p in (pending, running, newer)}).whois("10.0.0.1")
    assert found is not None
    assert (found.name, found.also) == ("a/newer", ("a/running", "a/pending"))


def test_spellings_of_an_address_are_one() -> None:
    """IPv6 addresses are compared by value."""
    cluster = Cluster(nodes={"n": Node("n", (("InternalIP", "fd00:0:0::1"),))})
    assert cluster.node_at("fd00::1") is not None


def test_an_endpoint_without_pod_is_still_somebody() -> None:
    """An address that only an endpoint slice knows is an endpoint of its service."""
    piece = EndpointSlice("a", "db-x", "db", (Endpoint(("203.0.113.5",)),))
    found = Cluster(slices=(piece,)).whois("203.0.113.5")
    assert found is not None
    assert (found.kind, found.name) == (IdentityKind.ENDPOINT, "a/db")


def test_node_ports() -> None:
    """A node port leads to its service, by protocol."""
    found = RECORDED.node_port("tcp", 30080)
    assert found is not None
    assert (found[0].name, found[1].port) == ("web-np", 80)
    assert RECORDED.node_port("udp", 30080) is None


def test_endpoints_of_a_service_port() -> None:
    """A service's port leads to the addresses and target ports of its slices, ready or not."""
    found = RECORDED.service_port("10.96.10.1", "tcp", 80)
    assert found is not None
    assert {(e.address, e.port) for e in RECORDED.endpoints(*found)} == {
        ("10.244.1.10", 8080),
        ("10.244.2.10", 8080),
        ("10.244.2.11", 8080),
    }
    sick = RECORDED.services["infra", "sick"]
    assert [e.endpoint.ready for e in RECORDED.endpoints(sick, sick.ports[0])] == [False]
    assert RECORDED.service_port("10.96.10.1", "tcp", 81) is None


def test_protocols_of_one_port_are_apart() -> None:
    """DNS over UDP and over TCP are two ports of one service."""
    udp = RECORDED.service_port("10.96.0.10", "udp", 53)
    tcp = RECORDED.service_port("10.96.0.10", "tcp", 53)
    assert udp is not None
    assert tcp is not None
    assert (udp[1].protocol, tcp[1].protocol) == ("UDP", "TCP")


def test_services_without_ports_have_no_endpoints() -> None:
    """A service that nothing stands behind has no endpoints."""
    empty = RECORDED.services["infra", "empty"]
    assert isinstance(empty, Service)
    assert RECORDED.endpoints(empty, empty.ports[0]) == ()
