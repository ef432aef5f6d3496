"""The skeleton of every state: two nodes with two pods each, a host outside, and the wire between them.

::

    c, d ─ a (node) ─┐
    s, t ─ b (node) ─┼─ w (the wire: a bridge without an address)
           o (host) ─┘
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.kernel.state import Line, Overlay, Pods, Shape, Tool

PREFIX = "skoop-fuzz-"


@dataclass(frozen=True, slots=True)
class Place:
    """One namespace: its addresses, its node if it is a pod, and a number that its MAC ends in."""

    name: str
    number: int
    v4: str
    v6: str
    node: str = ""

    @property
    def mac(self) -> str:
        """The MAC of eth0."""
        return f"02:00:00:00:00:{self.number:02x}"


NODE_A = Place("a", 1, "192.168.7.1", "fd00:7::1")
NODE_B = Place("b", 2, "192.168.7.2", "fd00:7::2")
OUTSIDE = Place("o", 3, "192.168.7.3", "fd00:7::3")
PODS = (
    Place("c", 0x10, "10.244.1.10", "fd00:1::10", "a"),
    Place("d", 0x11, "10.244.1.11", "fd00:1::11", "a"),
    Place("s", 0x20, "10.244.2.10", "fd00:2::10", "b"),
    Place("t", 0x21, "10.244.2.11", "fd00:2::11", "b"),
)
NODES = (NODE_A, NODE_B)
HOSTS = (*NODES, OUTSIDE)
ENDS = (*HOSTS, *PODS)
"""Every place from which a flow may start and where something listens."""
BY_NAME = {place.name: place for place in ENDS}
NAMES = (*BY_NAME, "w")

TCP_OPEN, UDP_OPEN = (8080, 8081), (5353, 5354)
CLOSED = 9
VIPS = {4: ("10.96.0.10", "10.96.0.11", "10.96.0.12"), 6: ("fd00:96::10", "fd00:96::11")}
VIP_PORTS = (80, 53)
NODE_PORTS = (30080, 30053)
NOBODY = {4: ("10.244.1.99", "10.244.2.99", "192.168.7.99"), 6: ("fd00:1::99", "fd00:2::99")}
POD_NETS = {4: {"a": "10.244.1.0/24", "b": "10.244.2.0/24"}, 6: {"a": "fd00:1::/64", "b": "fd00:2::/64"}}
GATEWAYS = {4: {"a": "10.244.1.1", "b": "10.244.2.1"}, 6: {"a": "fd00:1::1", "b": "fd00:2::1"}}
SERVICES = {4: "10.96.0.0/16", 6: "fd00:96::/64"}
CALICO = "169.254.1.1"
VXLAN_PORT = 8472
BRIDGE_OPTIONS = "stp_state 0 forward_delay 0 mcast_snooping 0"
VXLAN_MACS = {"a": "02:00:00:00:01:01", "b": "02:00:00:00:01:02"}
ROUTER_MAC = "ee:ee:ee:ee:ee:ee"

# The kernel copies many of these from the machine's own namespace into a new one: they are all said here.
BASE_SYSCTLS = (
    *(
        f"net/ipv4/conf/{which}/{key}=0"
        for which in ("all", "default")
        for key in (
            "rp_filter",
            "accept_local",
            "route_localnet",
            "proxy_arp",
            "arp_ignore",
            "arp_announce",
            "arp_filter",
            "src_valid_mark",
            "send_redirects",
            "accept_redirects",
            "forwarding",
        )
    ),
    "net/ipv4/ip_forward=0",
    "net/ipv4/icmp_ratelimit=0",
    "net/ipv4/icmp_ratemask=0",
    "net/ipv4/icmp_msgs_per_sec=1000000",
    "net/ipv4/ping_group_range=0 2147483647",
    "net/ipv4/ip_local_port_range=32768 60999",
    "net/ipv6/conf/all/disable_ipv6=0",
    "net/ipv6/conf/default/disable_ipv6=0",
    "net/ipv6/conf/all/accept_dad=0",
    "net/ipv6/conf/default/accept_dad=0",
    "net/ipv6/conf/default/accept_ra=0",
    "net/ipv6/conf/default/router_solicitations=0",
    "net/ipv6/icmp/ratelimit=0",
    "net/ipv4/tcp_syn_retries=1",
)
NEIGHBOUR_SYSCTLS = {"retrans_time_ms": "150", "proxy_delay": "0", "locktime": "0"}
"""For each device: a neighbour that is not there is given up after 3 x 150 ms, and proxies answer at once."""
NODE_SYSCTLS = ("net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1")


def host_end(pod: Place, shape: Shape) -> str:
    """Return the name of a pod's device on its node."""
    return f"{'veth' if pods_of(shape, pod.node) is Pods.BRIDGE else 'cali'}{pod.name}"


def pods_of(shape: Shape, node: str) -> Pods:
    """Return how a node's pods are attached."""
    return shape.node_a if node == "a" else shape.node_b


def devices(shape: Shape, place: str) -> tuple[str, ...]:
    """Return the devices of a place that rules may name."""
    if place not in {"a", "b"}:
        return ("eth0",)
    names = ["eth0", *(host_end(pod, shape) for pod in PODS if pod.node == place)]
    if pods_of(shape, place) is Pods.BRIDGE:
        names.append("cni0")
    if shape.overlay is Overlay.VXLAN:
        names.append("flannel.1")
    return tuple(names)


def wiring(shape: Shape) -> list[str]:
    """Return the ``ip`` commands that make every device, for one batch outside of the places."""
    lines = [
        f"link add eth0 netns {PREFIX}{h.name} address {h.mac} type veth peer name p{h.name} netns {PREFIX}w"
        for h in HOSTS
    ]
    for pod in PODS:
        mac = f" address {ROUTER_MAC}" if pods_of(shape, pod.node) is Pods.ROUTED else ""
        lines.append(
            f"link add eth0 netns {PREFIX}{pod.name} address {pod.mac} type veth "
            f"peer name {host_end(pod, shape)} netns {PREFIX}{pod.node}{mac}"
        )
    return lines


def skeleton(shape: Shape) -> list[Line]:
    """Return what gives the devices their addresses and routes, before any decoration."""
    lines = [Line("w", Tool.IP, text) for text in _wire()]
    for host in HOSTS:
        lines += [Line(host.name, Tool.IP, text) for text in _host(host)]
    for node in NODES:
        lines += [Line(node.name, Tool.IP, text) for text in _node(node, shape)]
    for pod in PODS:
        lines += [Line(pod.name, Tool.IP, text) for text in _pod(pod, shape)]
    lines += [Line("o", Tool.IP, f"route add {net} via {via}") for net, via in _outside_routes()]
    return lines


def _wire() -> list[str]:
    return [
        "link set lo up",
        f"link add br0 type bridge {BRIDGE_OPTIONS}",
        "link set br0 up",
        *(f"link set p{host.name} master br0 up" for host in HOSTS),
    ]


def _host(host: Place) -> list[str]:
    return [
        "link set lo up",
        f"addr add {host.v4}/24 dev eth0",
        f"addr add {host.v6}/64 dev eth0 nodad",
        "link set eth0 up",
    ]


def _node(node: Place, shape: Shape) -> list[str]:
    own, other = node.name, "b" if node.name == "a" else "a"
    gateway4, gateway6 = GATEWAYS[4][own], GATEWAYS[6][own]
    lines = []
    if pods_of(shape, own) is Pods.BRIDGE:
        lines += [
            f"link add cni0 address 02:00:00:00:02:{node.number:02x} type bridge {BRIDGE_OPTIONS}",
            f"addr add {gateway4}/24 dev cni0",
            f"addr add {gateway6}/64 dev cni0 nodad",
            "link set cni0 up",
        ]
    for pod in (p for p in PODS if p.node == own):
        device = host_end(pod, shape)
        if pods_of(shape, own) is Pods.BRIDGE:
            lines.append(f"link set {device} master cni0 up")
        else:
            lines += [
                f"link set {device} up",
                f"addr add fe80::1/64 dev {device} nodad",
                f"route add {pod.v4} dev {device} scope link",
                f"-6 route add {pod.v6} dev {device}",
            ]
    # Calico's proxy_arp answers for 169.254.1.1 only on a node that has a route to it: a default route.
    lines += [f"route add default via {OUTSIDE.v4}", f"-6 route add default via {OUTSIDE.v6}"]
    return lines + _overlay(node, other, shape)


def _overlay(node: Place, other: str, shape: Shape) -> list[str]:
    peer = BY_NAME[other]
    net4, net6 = POD_NETS[4][other], POD_NETS[6][other]
    if shape.overlay is Overlay.ROUTES:
        return [f"route add {net4} via {peer.v4}", f"-6 route add {net6} via {peer.v6}"]
    base = net4.partition("/")[0]
    own_base = POD_NETS[4][node.name].partition("/")[0]
    mac = VXLAN_MACS[other]
    options = f"id 1 local {node.v4} dev eth0 dstport {VXLAN_PORT} nolearning"
    return [
        f"link add flannel.1 address {VXLAN_MACS[node.name]} type vxlan {options}",
        f"addr add {own_base}/32 dev flannel.1",
        "link set flannel.1 up",
        f"route add {net4} via {base} dev flannel.1 onlink",
        f"neigh add {base} lladdr {mac} dev flannel.1 nud permanent",
        f"-6 route add {net6} via {peer.v6}",
    ]


def fdb_lines(shape: Shape) -> list[Line]:
    """Return the forwarding entries of the tunnel, for ``bridge``."""
    if shape.overlay is not Overlay.VXLAN:
        return []
    pairs = ((NODE_A, NODE_B), (NODE_B, NODE_A))
    return [
        Line(node.name, Tool.BRIDGE, f"fdb append {VXLAN_MACS[peer.name]} dev flannel.1 dst {peer.v4} self")
        for node, peer in pairs
    ]


def _pod(pod: Place, shape: Shape) -> list[str]:
    bridged = pods_of(shape, pod.node) is Pods.BRIDGE
    via4, via6 = (GATEWAYS[4][pod.node], GATEWAYS[6][pod.node]) if bridged else (CALICO, "fe80::1")
    return [
        "link set lo up",
        f"addr add {pod.v4}/{24 if bridged else 32} dev eth0",
        f"addr add {pod.v6}/{64 if bridged else 128} dev eth0 nodad",
        "link set eth0 up",
        *([] if bridged else [f"route add {CALICO} dev eth0 scope link"]),
        f"route add default via {via4}",
        f"-6 route add default via {via6} dev eth0",
    ]


def _outside_routes() -> list[tuple[str, str]]:
    return [
        (POD_NETS[4]["a"], NODE_A.v4),
        (POD_NETS[4]["b"], NODE_B.v4),
        (SERVICES[4], NODE_A.v4),
        (POD_NETS[6]["a"], NODE_A.v6),
        (POD_NETS[6]["b"], NODE_B.v6),
        (SERVICES[6], NODE_A.v6),
    ]


def skeleton_sysctls(shape: Shape) -> list[Line]:
    """Return the settings that come after the devices: Calico's devices answer for everybody."""
    return [
        Line(pod.node, Tool.SYSCTL, f"net/ipv4/conf/{host_end(pod, shape)}/proxy_arp=1")
        for pod in PODS
        if pods_of(shape, pod.node) is Pods.ROUTED
    ]
