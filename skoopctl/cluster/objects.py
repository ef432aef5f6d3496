"""The Kubernetes objects that decide where traffic goes, reduced to what does.

Field names follow the API reference (core/v1, discovery.k8s.io/v1, networking.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Node:
    """A node. ``addresses`` are pairs of type (``InternalIP``, ``ExternalIP``, ``Hostname`` …) and value."""

    name: str
    addresses: tuple[tuple[str, str], ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    ready: bool | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def ips(self, kind: str = "InternalIP") -> tuple[str, ...]:
        """Return the addresses of one type."""
        return tuple(value for name, value in self.addresses if name == kind)


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a container says it listens on; nothing enforces it."""

    name: str
    protocol: str
    port: int
    host_port: int = 0
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. ``created`` is the creation time as the API gives it (RFC 3339, sorts as text).

    ``config_hash`` is the UID by which the kubelet knows a static pod, whose mirror in the API has another one.
    """

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    ips: tuple[str, ...] = ()
    phase: str = ""
    host_network: bool = False
    ready: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[ContainerPort, ...] = ()
    created: str = ""
    config_hash: str = ""

    @property
    def terminated(self) -> bool:
        """Tell whether all containers have ended for good: the addresses are free for others then."""
        return self.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service. ``target`` is a number or a container port's name; ``node_port`` 0 is none."""

    name: str
    protocol: str
    port: int
    target: str = ""
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A service. ``cluster_ips`` is empty for a headless one."""

    namespace: str
    name: str
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    internal_traffic_policy: str = "Cluster"
    external_traffic_policy: str = "Cluster"
    session_affinity: str = "None"
    affinity_timeout_s: int = 0
    selector: Mapping[str, str] = field(default_factory=dict)
    external_name: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All virtual addresses: cluster, external and load balancer's."""
        return self.cluster_ips + self.external_ips + self.load_balancer_ips


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """A port of an endpoint slice; ``port`` is None where the slice means all ports."""

    name: str
    protocol: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a slice. Conditions that the API leaves out count as the API says they do."""

    addresses: tuple[str, ...]
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """A slice of the endpoints of ``service`` (its label ``kubernetes.io/service-name``)."""

    namespace: str
    name: str
    service: str
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """A network policy: whom it selects and which directions it isolates."""

    namespace: str
    name: str
    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: bool = False
    policy_types: tuple[str, ...] = ()
