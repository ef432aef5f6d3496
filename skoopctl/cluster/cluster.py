"""All objects of one cluster with the questions that a diagnosis asks of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType

from skoopctl.cluster.decode import (
    decode_endpoint_slice,
    decode_list,
    decode_namespace,
    decode_network_policy,
    decode_node,
    decode_pod,
    decode_service,
)
from skoopctl.cluster.objects import (
    Endpoint,
    EndpointSlice,
    NetworkPolicy,
    Node,
    Pod,
    Service,
    ServicePort,
)


class IdentityKind(StrEnum):
    """What an address belongs to."""

    POD = "pod"
    NODE = "node"
    SERVICE = "service"
    ENDPOINT = "endpoint"
    POD_RANGE = "pod-range"


@dataclass(frozen=True, slots=True)
class Identity:
    """The answer to "what is 10.244.3.70?".

    ``name`` is ``namespace/name`` but for nodes. ``node`` is where it lives (empty for a service). ``also``
    names others with the same address: pods on the host's network, or a second claimant.
    """

    kind: IdentityKind
    name: str
    address: str
    node: str = ""
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind is IdentityKind.POD_RANGE:
            return f"an unknown address of node {self.node}'s pod range {self.name}"
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """One address and port behind a service's port. ``port`` is None where the slice means all ports."""

    address: str
    port: int | None
    endpoint: Endpoint


@dataclass(frozen=True)
class Cluster:
    """Every object that was collected, or none at all. ``problems`` lists what could not be used."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    pods: Mapping[tuple[str, str], Pod] = field(default_factory=dict)
    services: Mapping[tuple[str, str], Service] = field(default_factory=dict)
    slices: tuple[EndpointSlice, ...] = ()
    policies: tuple[NetworkPolicy, ...] = ()
    namespaces: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.nodes or self.pods or self.services)

    def whois(self, ip: str) -> Identity | None:
        """Tell what an address is; None when no object says so."""
        address = _canonical(ip)
        return (
            self._service_identity(address)
            or self._pod_identity(address)
            or self._node_identity(address)
            or self._endpoint_identities.get(address)
            or self._range_identity(address)
        )

    def pod_by_uid(self, uid: str) -> Pod | None:
        """Return the pod with that UID."""
        return self._pods_by_uid.get(uid)

    def pod_of_cgroup(self, uid: str) -> Pod | None:
        """Return the pod whose cgroups have that UID in their names: of a static pod it is the hash of its file."""
        return self._pods_by_uid.get(uid) or self._pods_by_config_hash.get(uid)

    def pods_at(self, ip: str) -> tuple[Pod, ...]:
        """Return the live pods with that address, the likeliest owner first; host network ones too."""
        return self._pods_by_ip.get(_canonical(ip), ())

    def service_at(self, ip: str) -> Service | None:
        """Return the service with that virtual address."""
        return self._services_by_ip.get(_canonical(ip))

    def node_at(self, ip: str) -> Node | None:
        """Return the node with that address."""
        return self._nodes_by_ip.get(_canonical(ip))

    def node_port(self, protocol: str, port: int) -> tuple[Service, ServicePort] | None:
        """Return the service that has this node port; ``protocol`` is ``tcp`` or ``udp``."""
        return self._node_ports.get((protocol.upper(), port))

    def service_port(self, ip: str, protocol: str, port: int) -> tuple[Service, ServicePort] | None:
        """Return the service and its port that a virtual address stands for."""
        service = self.service_at(ip)
        if service is None:
            return None
        found = (p for p in service.ports if p.port == port and p.protocol == protocol.upper())
        return next(((service, p) for p in found), None)

    def endpoints(self, service: Service, port: ServicePort) -> tuple[ServiceEndpoint, ...]:
        """Return the endpoints of one port of a service, ready or not, without repetition."""
        found: dict[tuple[str, int | None], ServiceEndpoint] = {}
        for piece in self._slices_by_service.get((service.namespace, service.name), ()):
            for entry in piece.ports:
                if (entry.name, entry.protocol) != (port.name, port.protocol):
                    continue
                for endpoint in piece.endpoints:
                    for address in endpoint.addresses:
                        found[address, entry.port] = ServiceEndpoint(address, entry.port, endpoint)
        return tuple(found.values())

    # --- identities -----------------------------------------------------------------------------------

    def _service_identity(self, ip: str) -> Identity | None:
        service = self._services_by_ip.get(ip)
        if service is None:
            return None
        return Identity(IdentityKind.SERVICE, f"{service.namespace}/{service.name}", ip)

    def _pod_identity(self, ip: str) -> Identity | None:
        pods = [p for p in self._pods_by_ip.get(ip, ()) if not p.host_network]
        if not pods:
            return None
        first, *others = pods
        also = tuple(f"{p.namespace}/{p.name}" for p in others)
        return Identity(IdentityKind.POD, f"{first.namespace}/{first.name}", ip, first.node, also)

    def _node_identity(self, ip: str) -> Identity | None:
        sharing = [p for p in self._pods_by_ip.get(ip, ()) if p.host_network]
        node = self._nodes_by_ip.get(ip)
        name = node.name if node else next((p.node for p in sharing if p.node), "")
        if not name:
            return None
        also = tuple(f"{p.namespace}/{p.name}" for p in sharing)
        return Identity(IdentityKind.NODE, name, ip, name, also)

    def _range_identity(self, ip: str) -> Identity | None:
        try:
            address = ip_address(ip)
        except ValueError:
            return None
        for network, node in self._pod_ranges:
            if address.version == network.version and address in network:
                return Identity(IdentityKind.POD_RANGE, str(network), ip, node)
        return None

    # --- indexes --------------------------------------------------------------------------------------

    @cached_property
    def _pods_by_uid(self) -> Mapping[str, Pod]:
        return {pod.uid: pod for pod in self.pods.values() if pod.uid}

    @cached_property
    def _pods_by_config_hash(self) -> Mapping[str, Pod]:
        return {pod.config_hash: pod for pod in self.pods.values() if pod.config_hash}

    @cached_property
    def _pods_by_ip(self) -> Mapping[str, tuple[Pod, ...]]:
        """Live pods by address. A terminated pod's address may be somebody else's by now."""
        found: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods.values():
            if not pod.terminated:
                for ip in pod.ips:
                    found[_canonical(ip)].append(pod)
        for pods in found.values():
            pods.sort(key=lambda p: (p.phase == "Running", p.ready, p.created), reverse=True)
        return MappingProxyType({ip: tuple(pods) for ip, pods in found.items()})

    @cached_property
    def _endpoint_identities(self) -> Mapping[str, Identity]:
        """What has an address in a slice: of several, the first."""
        found: dict[str, Identity] = {}
        for piece in self.slices:
            name = f"{piece.namespace}/{piece.service or piece.name}"
            for endpoint in piece.endpoints:
                for ip in map(_canonical, endpoint.addresses):
                    found.setdefault(ip, Identity(IdentityKind.ENDPOINT, name, ip, endpoint.node))
        return found

    @cached_property
    def _services_by_ip(self) -> Mapping[str, Service]:
        found: dict[str, Service] = {}
        for service in self.services.values():
            for ip in service.addresses:
                found.setdefault(_canonical(ip), service)
        return found

    @cached_property
    def _nodes_by_ip(self) -> Mapping[str, Node]:
        found: dict[str, Node] = {}
        for node in self.nodes.values():
            for kind, value in node.addresses:
                if kind.endswith("IP"):
                    found.setdefault(_canonical(value), node)
        return found

    @cached_property
    def _node_ports(self) -> Mapping[tuple[str, int], tuple[Service, ServicePort]]:
        return {
            (port.protocol, port.node_port): (service, port)
            for service in self.services.values()
            for port in service.ports
            if port.node_port
        }

    @cached_property
    def _slices_by_service(self) -> Mapping[tuple[str, str], list[EndpointSlice]]:
        found: defaultdict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
        for piece in self.slices:
            found[piece.namespace, piece.service].append(piece)
        return found

    @cached_property
    def _pod_ranges(self) -> tuple[tuple[IPv4Network | IPv6Network, str], ...]:
        found = []
        for node in self.nodes.values():
            for cidr in node.pod_cidrs:
                try:
                    found.append((ip_network(cidr, strict=False), node.name))
                except ValueError:
                    continue
        return tuple(found)


def load_cluster(raw: Mapping[str, bytes]) -> Cluster:
    """Build a cluster from the API's lists by kind.

    Kinds: ``nodes pods services endpointslices networkpolicies namespaces``; any may be missing.
    """
    nodes, problems = decode_list("nodes", raw.get("nodes", b"[]"), decode_node)
    pods, more = decode_list("pods", raw.get("pods", b"[]"), decode_pod)
    problems += more
    services, more = decode_list("services", raw.get("services", b"[]"), decode_service)
    problems += more
    slices, more = decode_list("endpointslices", raw.get("endpointslices", b"[]"), decode_endpoint_slice)
    problems += more
    policies, more = decode_list("networkpolicies", raw.get("networkpolicies", b"[]"), decode_network_policy)
    problems += more
    namespaces, more = decode_list("namespaces", raw.get("namespaces", b"[]"), decode_namespace)
    problems += more
    return Cluster(
        {node.name: node for node in nodes},
        {(pod.namespace, pod.name): pod for pod in pods},
        {(service.namespace, service.name): service for service in services},
        tuple(slices),
        tuple(policies),
        tuple(namespaces),
        tuple(problems),
    )


def _canonical(ip: str) -> str:
    """Return the one spelling of an address; what is not one stays as it is."""
    try:
        return str(ip_address(ip))
    except ValueError:
        return ip
