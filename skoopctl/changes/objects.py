"""Kubernetes objects, by kind: which of them came, went, or changed in what decides where traffic goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from skoopctl.changes.entries import Entry
from skoopctl.cluster.cluster import Cluster
from skoopctl.cluster.objects import EndpointPort, Pod, Service, ServicePort


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A kind of object by the name that ``--only`` takes."""

    name: str
    entries: Callable[[Cluster], Iterable[Entry]]


def _entry(subject: str, fields: Iterable[tuple[str, str]]) -> Entry:
    kept = tuple(fields)
    words = " ".join(f"{name} {value}" for name, value in kept if value)
    return Entry(subject, f"{subject}: {words}" if words else subject, kept)


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _pairs(mapping: Mapping[str, str]) -> str:
    return ",".join(f"{key}={mapping[key]}" for key in sorted(mapping))


def _namespaces(cluster: Cluster) -> Iterator[Entry]:
    return (Entry(name, name) for name in cluster.namespaces)


def _nodes(cluster: Cluster) -> Iterator[Entry]:
    for node in cluster.nodes.values():
        fields = [("ready", _yes(node.ready)), ("podCIDRs", ",".join(node.pod_cidrs))]
        kinds = dict.fromkeys(kind for kind, _ in node.addresses)
        fields += [(kind, ",".join(node.ips(kind))) for kind in kinds]
        yield _entry(node.name, fields)


def _pods(cluster: Cluster) -> Iterator[Entry]:
    for pod in cluster.pods.values():
        yield _entry(f"{pod.namespace}/{pod.name}", _pod_fields(pod))


def _pod_fields(pod: Pod) -> Iterator[tuple[str, str]]:
    yield "node", pod.node
    yield "ips", ",".join(pod.ips)
    yield "phase", pod.phase
    yield "ready", _yes(pod.ready)
    yield "hostNetwork", "yes" if pod.host_network else ""


def _services(cluster: Cluster) -> Iterator[Entry]:
    for service in cluster.services.values():
        yield _entry(f"{service.namespace}/{service.name}", _service_fields(service))


def _service_fields(service: Service) -> Iterator[tuple[str, str]]:
    yield "type", service.type
    yield "clusterIPs", ",".join(service.cluster_ips)
    yield "ports", ",".join(_port(port) for port in service.ports)
    yield "externalIPs", ",".join(service.external_ips)
    yield "loadBalancer", ",".join(service.load_balancer_ips)
    yield "sourceRanges", ",".join(service.source_ranges)
    yield "selector", _pairs(service.selector)
    yield "internalTrafficPolicy", service.internal_traffic_policy
    yield "externalTrafficPolicy", service.external_traffic_policy
    yield "sessionAffinity", service.session_affinity
    yield "externalName", service.external_name


def _port(port: ServicePort) -> str:
    name = f"{port.name}:" if port.name else ""
    node = f" nodePort {port.node_port}" if port.node_port else ""
    return f"{name}{port.port}/{port.protocol}->{port.target}{node}"


def _endpoints(cluster: Cluster) -> Iterator[Entry]:
    """Yield endpoints by service: the slices that they are spread over have names of no meaning."""
    for found in cluster.slices:
        for endpoint in found.endpoints:
            for address in endpoint.addresses:
                for port in found.ports or (EndpointPort("", "", None),):
                    where = f"{found.namespace}/{found.service or found.name}"
                    end = f"[{address}]" if ":" in address else address
                    subject = f"{where} {end}:{port.port or 'all'}/{port.protocol}"
                    fields = [("ready", _yes(endpoint.ready)), ("serving", _yes(endpoint.serving))]
                    fields += [("terminating", "yes" if endpoint.terminating else "")]
                    fields += [("pod", endpoint.target), ("node", endpoint.node)]
                    yield _entry(subject, fields)


def _policies(cluster: Cluster) -> Iterator[Entry]:
    for policy in cluster.policies:
        selects = _pairs(policy.match_labels) + (" and expressions" if policy.match_expressions else "")
        fields = [("selects", selects or "all pods"), ("types", ",".join(policy.policy_types))]
        yield _entry(f"{policy.namespace}/{policy.name}", fields)


OBJECT_KINDS: tuple[ObjectKind, ...] = (
    ObjectKind("namespace", _namespaces),
    ObjectKind("node", _nodes),
    ObjectKind("pod", _pods),
    ObjectKind("service", _services),
    ObjectKind("endpoint", _endpoints),
    ObjectKind("policy", _policies),
)
"""Every kind of Kubernetes object that is compared."""
