"""Which endpoints a node uses, and what kube-proxy writes for the unusual ones."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.lab.kubeproxy import NodeView, iptables_ruleset, nftables_ruleset, service_ports
from skoopctl.lab.kubeproxy.iptables import probability
from skoopctl.lab.kubeproxy.naming import nft_service_base
from skoopctl.lab.kubeproxy.serviceport import ServicePort

HERE = NodeView("here", "192.0.2.1", "10.0.0.0/8")


def a_service(**spec: Any) -> dict[str, Any]:
    """Return a service ns/svc with port 80, with more fields of its spec."""
    ports = [{"port": 80, "protocol": "TCP"}]
    return {
        "metadata": {"namespace": "ns", "name": "svc"},
        "spec": {"clusterIP": "10.96.0.7", "ports": ports, **spec},
    }


def a_slice(*endpoints: dict[str, Any]) -> dict[str, Any]:
    """Return the slice of ns/svc with port 8080."""
    return {
        "metadata": {"namespace": "ns", "name": "s", "labels": {"kubernetes.io/service-name": "svc"}},
        "ports": [{"port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def endpoint(address: str, node: str = "there", **conditions: bool) -> dict[str, Any]:
    """Return an endpoint on a node."""
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def only_port(service: dict[str, Any], *endpoints: dict[str, Any]) -> ServicePort:
    """Return the one service port of a service with these endpoints, as node ``here`` sees it."""
    (port,) = service_ports([service], [a_slice(*endpoints)], HERE)
    return port


def addresses(port: ServicePort) -> list[str]:
    """Return the addresses that traffic to the cluster IP may go to."""
    return [e.address for e in port.internal_endpoints]


def test_ready_endpoints_are_preferred_to_draining_ones() -> None:
    """An endpoint that terminates gets nothing while another is ready."""
    port = only_port(
        a_service(),
        endpoint("10.0.0.1", ready=False, serving=True, terminating=True),
        endpoint("10.0.0.2", ready=True),
    )
    assert addresses(port) == ["10.0.0.2"]


def test_draining_endpoints_are_the_last_resort() -> None:
    """When none is ready, endpoints that still serve while they terminate are used."""
    port = only_port(
        a_service(),
        endpoint("10.0.0.1", ready=False, serving=True, terminating=True),
        endpoint("10.0.0.2", ready=False, serving=False, terminating=True),
        endpoint("10.0.0.3", ready=False, serving=False),
    )
    assert addresses(port) == ["10.0.0.1"]


def test_internal_policy_local_stays_on_the_node() -> None:
    """With internalTrafficPolicy Local only the node's own endpoints are used; others count as existing."""
    service = a_service(internalTrafficPolicy="Local")
    port = only_port(service, endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2", "here", ready=True))
    assert addresses(port) == ["10.0.0.2"]
    far = only_port(service, endpoint("10.0.0.1", ready=True))
    assert addresses(far) == []
    assert far.has_endpoints
    assert '"ns/svc has no local endpoints"' in iptables_ruleset([far], HERE)


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "clusterIP": ""}])
def test_services_without_an_address_have_no_rules(spec: dict[str, Any]) -> None:
    """Headless and ExternalName services are none of kube-proxy's business."""
    assert service_ports([a_service(**spec)], [], HERE) == ()


def test_load_balancers_of_mode_proxy_are_left_alone() -> None:
    """A load balancer that must see the traffic itself gets no rule for its address."""
    service = a_service(type="LoadBalancer")
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.1", "ipMode": "Proxy"}]}}
    port = only_port(service, endpoint("10.0.0.1", ready=True))
    assert port.load_balancer_ips == ()


def test_ports_of_a_slice_are_matched_by_name_and_protocol() -> None:
    """A service port takes the endpoints of the slice's port of its own name."""
    item = a_slice(endpoint("10.0.0.1", ready=True))
    item["ports"] = [
        {"name": "a", "port": 1, "protocol": "TCP"},
        {"name": "a", "port": 2, "protocol": "UDP"},
        {"name": "b", "port": 3, "protocol": "TCP"},
    ]
    service = a_service(
        ports=[{"name": "a", "port": 80, "protocol": "UDP"}, {"name": "b", "port": 81, "protocol": "TCP"}]
    )
    texts = {port.port: [e.text for e in port.cluster] for port in service_ports([service], [item], HERE)}
    assert texts == {80: ["10.0.0.1:2"], 81: ["10.0.0.1:3"]}


@pytest.mark.parametrize(
    ("choices", "text"), [(2, "0.50000000000"), (3, "0.33333333349"), (7, "0.14285714272")]
)
def test_probabilities_are_printed_as_the_kernel_keeps_them(choices: int, text: str) -> None:
    """kube-proxy's ten digits become 31 bits in the kernel and eleven digits in iptables-save."""
    assert probability(choices) == text


def test_several_source_ranges_make_one_set() -> None:
    """In nftables mode the ranges of a load balancer stand in one anonymous set."""
    service = a_service(type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/24", "198.51.100.0/24"])
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}]}}
    text = nftables_ruleset([only_port(service, endpoint("10.0.0.1", ready=True))], HERE)
    assert "ip saddr != { 192.0.2.0/24, 198.51.100.0/24 } drop" in text


def test_long_names_are_cut_so_that_nft_takes_them() -> None:
    """A chain's name stays within nft's limit, and its hash keeps it unique."""
    bases = {nft_service_base("n" * 63, "s" * 63, "tcp", "p" * length) for length in (150, 151)}
    assert len(bases) == 2
    assert all(len(base) == 240 for base in bases)
