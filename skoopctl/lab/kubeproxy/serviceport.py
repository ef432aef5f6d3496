"""Service ports and the endpoints that one node may send to, from Kubernetes API objects.

Follows pkg/proxy/topology.go (``CategorizeEndpoints``): ready endpoints; failing those, endpoints that still
serve while they terminate; cluster-wide or local to the node, as the service's two traffic policies ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeView:
    """The node whose kube-proxy is imitated, and the flags that it was started with."""

    name: str
    address: str
    cluster_cidr: str
    service_cidr: str = "10.96.0.0/12"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address and port behind a service port."""

    text: str
    address: str = field(compare=False)
    port: int = field(compare=False)
    local: bool = field(compare=False)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service, with the endpoints that the node uses for it.

    ``cluster`` and ``local`` are the endpoints of the two traffic policies; each is empty where no rule of
    the service would use it. ``has_endpoints`` is true when any usable endpoint exists anywhere.
    """

    namespace: str
    service: str
    port_name: str
    protocol: str
    port: int
    cluster_ip: str
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    node_port: int
    health_check_port: int
    internal_local: bool
    external_local: bool
    affinity_s: int
    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    has_endpoints: bool

    @property
    def name(self) -> str:
        """``namespace/name``, and ``:port`` for a named port, as kube-proxy writes it in comments."""
        base = f"{self.namespace}/{self.service}"
        return f"{base}:{self.port_name}" if self.port_name else base

    @property
    def externally_accessible(self) -> bool:
        """Whether a node port, an external IP or a load balancer IP leads here."""
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def internal_endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints for traffic to the cluster IP."""
        return self.local if self.internal_local else self.cluster

    @property
    def external_endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints for traffic from outside the cluster."""
        return self.local if self.external_local else self.cluster

    @property
    def reachable(self) -> tuple[Endpoint, ...]:
        """All endpoints that some chain of this node leads to, in order."""
        return tuple(sorted(set(self.cluster) | set(self.local)))

    @property
    def has_firewall(self) -> bool:
        """Whether load balancer source ranges limit who may come in."""
        return bool(self.load_balancer_ips and self.source_ranges)


def service_ports(
    services: Iterable[Object], endpoint_slices: Iterable[Object], node: NodeView
) -> tuple[ServicePort, ...]:
    """Return every service port that kube-proxy makes rules for on ``node``, ordered by name.

    Headless services and ``ExternalName`` services have none.
    """
    slices = list(endpoint_slices)
    ports = [
        _service_port(service, port, slices, node)
        for service in services
        if service["spec"].get("clusterIP", "None") not in ("", "None")
        and service["spec"].get("type") != "ExternalName"
        for port in service["spec"].get("ports") or ()
    ]
    return tuple(sorted(ports, key=lambda port: (port.name, port.protocol)))


def _service_port(service: Object, port: Object, slices: Sequence[Object], node: NodeView) -> ServicePort:
    """Combine one port of a service with its endpoints as ``node`` sees them."""
    spec = service["spec"]
    meta = service["metadata"]
    affinity = spec.get("sessionAffinity") == "ClientIP"
    timeout = (spec.get("sessionAffinityConfig") or {}).get("clientIP", {}).get("timeoutSeconds", 10800)
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    bare = ServicePort(
        namespace=meta["namespace"],
        service=meta["name"],
        port_name=port.get("name") or "",
        protocol=port.get("protocol", "TCP").lower(),
        port=port["port"],
        cluster_ip=spec["clusterIP"],
        external_ips=tuple(spec.get("externalIPs") or ()),
        load_balancer_ips=tuple(i["ip"] for i in ingress if i.get("ip") and i.get("ipMode", "VIP") == "VIP"),
        source_ranges=tuple(spec.get("loadBalancerSourceRanges") or ()),
        node_port=port.get("nodePort") or 0,
        health_check_port=spec.get("healthCheckNodePort") or 0,
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        external_local=spec.get("externalTrafficPolicy") == "Local",
        affinity_s=timeout if affinity else 0,
        cluster=(),
        local=(),
        has_endpoints=False,
    )
    return _with_endpoints(bare, list(_candidates(bare, slices, node)))


def _candidates(
    port: ServicePort, slices: Sequence[Object], node: NodeView
) -> Iterable[tuple[Endpoint, Mapping[str, bool]]]:
    """Yield every endpoint of a service port with its conditions, usable or not."""
    for item in slices:
        meta = item["metadata"]
        owner = (meta.get("labels") or {}).get("kubernetes.io/service-name")
        if meta["namespace"] != port.namespace or owner != port.service:
            continue
        for slice_port in item.get("ports") or ():
            wanted = (slice_port.get("name") or "", slice_port.get("protocol", "TCP").lower())
            if wanted != (port.port_name, port.protocol):
                continue
            for endpoint in item.get("endpoints") or ():
                address = endpoint["addresses"][0]
                number = slice_port["port"]
                local = endpoint.get("nodeName") == node.name
                yield (
                    Endpoint(f"{address}:{number}", address, number, local),
                    endpoint.get("conditions") or {},
                )


def _with_endpoints(
    port: ServicePort, candidates: Sequence[tuple[Endpoint, Mapping[str, bool]]]
) -> ServicePort:
    """Sort endpoints into those of the cluster policy and those of the local policy."""
    uses_cluster = not port.internal_local or port.externally_accessible
    uses_local = port.internal_local or (port.external_local and port.externally_accessible)
    cluster = _usable(candidates)
    local = _usable([(endpoint, state) for endpoint, state in candidates if endpoint.local])
    values = {name: getattr(port, name) for name in port.__slots__}
    values.update(
        cluster=cluster if uses_cluster else (),
        local=local if uses_local else (),
        has_endpoints=bool(cluster),
    )
    return ServicePort(**values)


def _usable(candidates: Sequence[tuple[Endpoint, Mapping[str, bool]]]) -> tuple[Endpoint, ...]:
    """Return the ready endpoints, or else those that serve while they terminate."""
    ready = {endpoint for endpoint, state in candidates if state.get("ready", True)}
    draining = {
        endpoint
        for endpoint, state in candidates
        if state.get("terminating", False) and state.get("serving", state.get("ready", True))
    }
    return tuple(sorted(ready or draining))
