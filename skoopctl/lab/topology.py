"""What the lab consists of, worked out from a few options: hosts, pods and services, all addresses fixed.

Pure data: the same options give the same plan, so what is running can be described, broken and taken down
from the options alone. The addresses are those of the manual's example: pod ``tools/tools-74bdbfc69d-q4h8h``
(10.244.3.70 on node2-c4) calls pod ``tools/demo-5bf67dcbc9-hxtmt`` (10.244.2.201 on node1-c4) on port 8080.

The nodes carry no FLANNEL-POSTRTG or FLANNEL-FWD chains: the clusters that the rules were recorded from had
none, and flannel's masquerade would change what pods see of each other's hosts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from skoopctl.errors import LabError

SWITCH_NETNS = "skoop-lab-switch"
ADMIN_NETNS = "skoop-lab"
ADMIN_ADDRESS = "192.168.3.1"
OUTSIDE_NAME = "outside"
OUTSIDE_ADDRESS = "192.168.3.99"
UNDERLAY = "ens192"
CLUSTER_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/12"
MIN_NODES = 3
MAX_NODES = 60


class ProxyMode(StrEnum):
    """How kube-proxy writes its rules."""

    IPTABLES = "iptables"
    NFTABLES = "nftables"


class Backend(StrEnum):
    """How pods' packets travel between nodes."""

    VXLAN = "vxlan"
    HOST_GW = "host-gw"


class IptablesFlavour(StrEnum):
    """Which of the kernel's two rule stores ``iptables`` writes to."""

    NFT = "nft"
    LEGACY = "legacy"


@dataclass(frozen=True, slots=True)
class LabOptions:
    """What to build. ``nodes`` counts the control plane node."""

    nodes: int = 3
    proxy: ProxyMode = ProxyMode.IPTABLES
    backend: Backend = Backend.VXLAN
    iptables: IptablesFlavour = IptablesFlavour.NFT

    def __post_init__(self) -> None:
        if not MIN_NODES <= self.nodes <= MAX_NODES:
            raise LabError(
                f"--nodes {self.nodes}: the lab has {MIN_NODES} to {MAX_NODES} nodes",
                hint="three are enough for every fault",
            )


@dataclass(frozen=True, slots=True)
class LabNode:
    """A node of the cluster: a set of namespaces with an SSH server."""

    name: str
    index: int
    address: str
    control_plane: bool

    @property
    def netns(self) -> str:
        """The name of its network namespace, as ``ip netns`` shows it."""
        return host_netns(self.name)

    @property
    def subnet(self) -> str:
        """The first three numbers of its pods' addresses."""
        return f"10.244.{self.index + 1}"

    @property
    def pod_cidr(self) -> str:
        """The addresses of its pods."""
        return f"{self.subnet}.0/24"

    @property
    def gateway(self) -> str:
        """The address of its bridge, cni0."""
        return f"{self.subnet}.1"

    @property
    def tunnel_address(self) -> str:
        """The address of its tunnel device, flannel.1."""
        return f"{self.subnet}.0"

    @property
    def tunnel_mac(self) -> str:
        """The hardware address of its tunnel device, which peers know by heart."""
        return f"0e:00:00:00:00:{self.index + 1:02x}"


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A named port that a pod declares."""

    name: str
    number: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class LabPod:
    """A pod. Without ``listening`` it declares its ports, but nothing answers on them."""

    namespace: str
    name: str
    node: str
    address: str
    app: str
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False
    ready: bool = True
    listening: bool = True

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def uid(self) -> str:
        """The pod's UID, the same in every lab."""
        return stable_uid(f"pod/{self.key}")

    @property
    def container_id(self) -> str:
        """The 64 digits of its one container."""
        return (stable_uid(f"container/{self.key}") + stable_uid(f"sandbox/{self.key}")).replace("-", "")

    @property
    def veth(self) -> str:
        """The node's end of its cable, named as the CNI bridge plugin does."""
        return "veth" + stable_uid(f"veth/{self.key}")[:8]

    @property
    def answers(self) -> tuple[int, ...]:
        """The ports on which something answers, over TCP and UDP alike."""
        return tuple(sorted({port.number for port in self.ports})) if self.listening else ()


@dataclass(frozen=True, slots=True)
class LabServicePort:
    """A port of a service; ``target`` is a port's name or a number."""

    number: int
    target: str | int
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class LabService:
    """A service. ``cluster_ip`` is ``None`` (the word, as in the API) for a headless one."""

    namespace: str
    name: str
    cluster_ip: str
    ports: tuple[LabServicePort, ...]
    app: str = ""
    kind: str = "ClusterIP"
    external_ips: tuple[str, ...] = ()
    load_balancer_ip: str = ""
    source_ranges: tuple[str, ...] = ()
    internal_local: bool = False
    external_local: bool = False
    client_affinity: bool = False
    health_check_port: int = 0

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a lab with these options consists of."""

    options: LabOptions
    nodes: tuple[LabNode, ...]
    pods: tuple[LabPod, ...]
    services: tuple[LabService, ...]

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts with an SSH server: the nodes and the one outside the cluster."""
        return (*(node.name for node in self.nodes), OUTSIDE_NAME)

    def node(self, name: str) -> LabNode:
        """Return a node by name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError(f"the lab has no node {name}", hint="nodes: " + ", ".join(n.name for n in self.nodes))

    def pod(self, key: str) -> LabPod:
        """Return a pod by ``namespace/name``."""
        for pod in self.pods:
            if pod.key == key:
                return pod
        raise LabError(f"the lab has no pod {key}", hint="pods: " + ", ".join(p.key for p in self.pods))

    def service(self, key: str) -> LabService:
        """Return a service by ``namespace/name``."""
        for service in self.services:
            if service.key == key:
                return service
        raise LabError(f"the lab has no service {key}", hint=", ".join(s.key for s in self.services))

    def pods_on(self, node: str) -> tuple[LabPod, ...]:
        """Return the pods of a node."""
        return tuple(pod for pod in self.pods if pod.node == node)


def plan_lab(options: LabOptions) -> Plan:
    """Return the plan for ``options``."""
    nodes = tuple(_node(index) for index in range(options.nodes))
    return Plan(options, nodes, tuple(_pods(nodes)), SERVICES)


def host_netns(host: str) -> str:
    """Return the name of a host's network namespace."""
    return f"skoop-lab-{host}"


def netns_names(options: LabOptions) -> tuple[str, ...]:
    """Return the names of all network namespaces of a lab with these options."""
    hosts = plan_lab(options).host_names
    return (SWITCH_NETNS, ADMIN_NETNS, *(host_netns(host) for host in hosts))


def stable_uid(text: str) -> str:
    """Return a UUID that depends on ``text`` alone."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"skoopctl-lab/{text}"))


def _node(index: int) -> LabNode:
    """Return the node with this index; 192.168.3.99 is the outside host's, so later nodes move up by one."""
    number = 85 + index
    number += number >= int(OUTSIDE_ADDRESS.rpartition(".")[2])
    name = "master-c4" if index == 0 else f"node{index}-c4"
    return LabNode(name, index, f"192.168.3.{number}", control_plane=index == 0)


HTTP = ContainerPort("http", 8080)
DNS = (ContainerPort("dns", 53), ContainerPort("dns-u", 53, "UDP"))


def _pods(nodes: tuple[LabNode, ...]) -> Iterator[LabPod]:
    """Yield the pods of the manual and of the recorded cluster, an agent a node, a pod on further nodes."""
    master, one, two = nodes[:3]
    yield _host_pod(
        "kube-system", "kube-apiserver-master-c4", master, "kube-apiserver", ContainerPort("https", 6443)
    )
    for node in nodes:
        short = "m" if node.control_plane else str(node.index)
        yield _host_pod("infra", f"agent-{short}", node, "agent", ContainerPort("agent", 9100))
    yield _pod("tools", "demo-5bf67dcbc9-hxtmt", one, 201, "demo", HTTP)
    yield _pod("tools", "tools-74bdbfc69d-qf4sl", one, 199, "tools")
    yield _pod("tools", "tools-74bdbfc69d-q4h8h", two, 70, "tools")
    yield _pod("tools", "web-a", one, 10, "web", HTTP)
    yield _pod("tools", "web-b", two, 10, "web", HTTP)
    yield _pod("tools", "web-c", two, 11, "web", HTTP)
    yield _pod("tools", "local-a", one, 30, "local", HTTP)
    yield LabPod(
        "infra", "notready", one.name, f"{one.subnet}.50", "sick", (HTTP,), ready=False, listening=False
    )
    yield _pod("infra", "db-0", two, 40, "db", ContainerPort("pg", 5432))
    yield _pod("kube-system", "coredns-a", one, 53, "kube-dns", *DNS)
    yield _pod("kube-system", "coredns-b", two, 53, "kube-dns", *DNS)
    for node in nodes[3:]:
        yield _pod("tools", f"spare-{node.index}", node, 10, "spare", HTTP)


def _pod(namespace: str, name: str, node: LabNode, number: int, app: str, *ports: ContainerPort) -> LabPod:
    """Return a pod in its node's pod network."""
    return LabPod(namespace, name, node.name, f"{node.subnet}.{number}", app, ports)


def _host_pod(namespace: str, name: str, node: LabNode, app: str, port: ContainerPort) -> LabPod:
    """Return a pod in its node's own network."""
    return LabPod(namespace, name, node.name, node.address, app, (port,), host_network=True)


WEB = (LabServicePort(80, "http"),)

SERVICES = (
    LabService("default", "kubernetes", "10.96.0.1", (LabServicePort(443, 6443, "https"),)),
    LabService(
        "kube-system",
        "kube-dns",
        "10.96.0.10",
        (LabServicePort(53, "dns-u", "dns", "UDP"), LabServicePort(53, "dns", "dns-tcp")),
        app="kube-dns",
    ),
    LabService("tools", "web", "10.96.10.1", WEB, app="web"),
    LabService(
        "tools",
        "web-np",
        "10.96.10.2",
        (LabServicePort(80, "http", node_port=30080),),
        app="web",
        kind="NodePort",
    ),
    LabService(
        "tools",
        "local-np",
        "10.96.10.3",
        (LabServicePort(80, "http", node_port=30081),),
        app="local",
        kind="NodePort",
        external_local=True,
    ),
    LabService(
        "tools",
        "web-lb",
        "10.96.10.4",
        (LabServicePort(443, "http", node_port=30443),),
        app="web",
        kind="LoadBalancer",
        load_balancer_ip="198.51.100.10",
        source_ranges=("203.0.113.0/24",),
    ),
    LabService(
        "tools",
        "web-lb-local",
        "10.96.10.5",
        (LabServicePort(443, "http", node_port=30444),),
        app="local",
        kind="LoadBalancer",
        load_balancer_ip="198.51.100.11",
        external_local=True,
        health_check_port=31825,
    ),
    LabService(
        "tools",
        "web-ext",
        "10.96.10.6",
        (LabServicePort(8000, "http"),),
        app="web",
        external_ips=("198.51.100.77",),
    ),
    LabService("tools", "web-aff", "10.96.10.7", WEB, app="web", client_affinity=True),
    LabService("tools", "web-int", "10.96.10.8", WEB, app="local", internal_local=True),
    LabService("tools", "web-head", "None", WEB, app="web"),
    LabService("tools", "demo", "10.96.10.9", (LabServicePort(8080, "http"),), app="demo"),
    LabService("infra", "db", "10.96.20.1", (LabServicePort(5432, "pg"),), app="db"),
    LabService("infra", "agent", "10.96.20.2", (LabServicePort(9100, "agent"),), app="agent"),
    LabService(
        "infra",
        "empty",
        "10.96.20.3",
        (LabServicePort(80, 8080, node_port=30090),),
        app="nothing",
        kind="NodePort",
    ),
    LabService("infra", "sick", "10.96.20.4", WEB, app="sick"),
)
