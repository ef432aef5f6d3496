"""The lab's links, addresses, routes and neighbours, as lines for ``ip -batch`` and ``bridge -batch``.

Pure functions of the plan. Lines are idempotent where a fault may have to be undone by running them again
(``route replace``, ``neigh replace``, ``fdb replace``).
"""

from __future__ import annotations

from skoopctl.lab.topology import (
    ADMIN_ADDRESS,
    ADMIN_NETNS,
    CLUSTER_CIDR,
    OUTSIDE_ADDRESS,
    OUTSIDE_NAME,
    UNDERLAY,
    Backend,
    LabNode,
    LabPod,
    Plan,
    host_netns,
)

VXLAN_PORT = 8472
POD_MTU = 1450
ARP_RETRANS_MS = 150
"""A neighbour that does not answer is given up after three tries. With the kernel's usual second between
them that takes longer than a probe waits, and an unreachable address would look like a silent one."""
ARP_REACHABLE_MS = 3_600_000
"""A neighbour that has answered stays known: what a probe gets then does not depend on when it is made."""

_NO_IPV6 = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
"""Without IPv6 nothing waits for duplicate address detection, and no solicitation disturbs a counter."""

_ALL_ICMP = {"net/ipv4/icmp_ratemask": "0"}
"""The kernel sends one client about six ICMP errors a second; a flow matrix asks for dozens at once."""

NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/route_localnet": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    **_ALL_ICMP,
    **_NO_IPV6,
}
"""What kubelet, kube-proxy and a CNI plugin set on a node; ``ip_forward`` first, since it resets others."""

_NO_REDIRECTS = {"net/ipv4/conf/all/accept_redirects": "0", "net/ipv4/conf/default/accept_redirects": "0"}
"""A wrong route makes a node send redirects, and what a pod learned from one would outlive the fault."""

OUTSIDE_SYSCTLS = {"net/ipv4/ip_forward": "0", **_NO_REDIRECTS, **_ALL_ICMP, **_NO_IPV6}
POD_SYSCTLS = {**_NO_REDIRECTS, **_ALL_ICMP, **_NO_IPV6}
SWITCH_SYSCTLS = {"net/bridge/bridge-nf-call-iptables": "0", **_NO_IPV6}
ADMIN_SYSCTLS = dict(_NO_IPV6)


def switch_lines(plan: Plan) -> list[str]:
    """Return what makes the switch and a cable to every host; run in the switch's namespace."""
    lines = ["link add br0 type bridge", "link set br0 up"]
    ends = [(ADMIN_NETNS, "eth0"), *((host_netns(host), UNDERLAY) for host in plan.host_names)]
    for number, (netns, device) in enumerate(ends):
        lines.append(f"link add port{number} type veth peer name {device} netns {netns}")
        lines.append(f"link set port{number} master br0 up")
    return lines


def admin_lines() -> list[str]:
    """Return the set-up of the namespace from which skoopctl dials."""
    return [f"addr add {ADMIN_ADDRESS}/24 brd + dev eth0", *_up("eth0")]


def outside_lines() -> list[str]:
    """Return the set-up of the outside host: it knows no way to pods or services."""
    return [f"addr add {OUTSIDE_ADDRESS}/24 brd + dev {UNDERLAY}", *_up(UNDERLAY)]


def node_lines(plan: Plan, node: LabNode) -> list[str]:
    """Return a node's links, addresses and routes."""
    lines = [
        f"addr add {node.address}/24 brd + dev {UNDERLAY}",
        *_up(UNDERLAY),
        f"link add cni0 address {pod_mac(node.gateway)} type bridge",
        f"link set cni0 mtu {POD_MTU}",
        f"addr add {node.gateway}/24 brd + dev cni0",
        *_up("cni0"),
    ]
    if plan.options.backend is Backend.VXLAN:
        lines += [
            (
                f"link add flannel.1 address {node.tunnel_mac} type vxlan id 1 local {node.address}"
                f" dev {UNDERLAY} dstport {VXLAN_PORT} nolearning"
            ),
            f"link set flannel.1 mtu {POD_MTU}",
            f"addr add {node.tunnel_address}/32 dev flannel.1",
            *_up("flannel.1"),
        ]
    lines.append(f"route replace default via {OUTSIDE_ADDRESS} dev {UNDERLAY}")
    for peer in plan.nodes:
        if peer is not node:
            lines += peer_lines(plan, peer)
    return lines


def peer_lines(plan: Plan, peer: LabNode) -> list[str]:
    """Return the neighbour and the route by which a node reaches the pods of ``peer``."""
    if plan.options.backend is Backend.HOST_GW:
        return [f"route replace {peer.pod_cidr} via {peer.address} dev {UNDERLAY}"]
    via = peer.tunnel_address
    return [
        f"neigh replace {via} lladdr {peer.tunnel_mac} dev flannel.1 nud permanent",
        f"route replace {peer.pod_cidr} via {via} dev flannel.1 onlink",
    ]


def peer_fdb_lines(plan: Plan, node: LabNode) -> list[str]:
    """Return the lines of ``bridge`` that tell a node's tunnel where its peers are."""
    if plan.options.backend is Backend.HOST_GW:
        return []
    return [
        f"fdb replace {peer.tunnel_mac} dev flannel.1 dst {peer.address} self permanent"
        for peer in plan.nodes
        if peer is not node
    ]


def pod_cable_lines(pod: LabPod, pid: int) -> list[str]:
    """Return the cable from a pod's namespace to its node's bridge; run on the node."""
    return [
        (
            f"link add {pod.veth} mtu {POD_MTU} type veth peer name eth0 address {pod_mac(pod.address)}"
            f" mtu {POD_MTU} netns {pid}"
        ),
        f"link set {pod.veth} master cni0",
        f"link set {pod.veth} type bridge_slave hairpin on",
        *_up(pod.veth),
    ]


def pod_lines(node: LabNode, pod: LabPod) -> list[str]:
    """Return the address and routes inside a pod, as the flannel CNI plugin sets them."""
    return [f"addr add {pod.address}/24 brd + dev eth0", *_up("eth0"), *pod_route_lines(node)]


def pod_route_lines(node: LabNode) -> list[str]:
    """Return a pod's routes beyond its own link."""
    return [
        f"route replace default via {node.gateway} dev eth0",
        f"route replace {CLUSTER_CIDR} via {node.gateway} dev eth0",
    ]


def pod_mac(address: str) -> str:
    """Return the hardware address that CNI's bridge plugin derives from an IPv4 address."""
    return "0a:58:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def host_lines(plan: Plan, host: str) -> list[str]:
    """Return the set-up of any host, by name."""
    return outside_lines() if host == OUTSIDE_NAME else node_lines(plan, plan.node(host))


def _up(device: str) -> list[str]:
    """Bring a device up, with a short patience for neighbours."""
    return [
        f"ntable change name arp_cache dev {device} retrans {ARP_RETRANS_MS} base_reachable {ARP_REACHABLE_MS}",
        f"link set {device} up",
    ]
