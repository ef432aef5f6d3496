"""Small clusters with one thing wrong each, and what is to be found out about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from skoopctl.checks.diagnose import Question
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import Cluster as Objects
from skoopctl.cluster.objects import Node, Pod, Service, ServicePort
from skoopctl.kernel.conntrack import Connection, Direction, connection_table
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.ipvs import Ipvs
from skoopctl.kernel.ipvs_text import decode_ipvsadm
from skoopctl.kernel.link import Bridge, SharedMode, VlanEntry
from skoopctl.kernel.route import RouteType, RuleAction
from tests.support.worlds import UNDERLAY, Cluster, cluster, filter_table, third_node

SERVICE = "10.96.0.1"


@dataclass
class Case:
    """One broken cluster. ``fix`` is what its fix begins with ('': none is known); ``asked`` is who asks whom."""

    id: str
    damage: Callable[[Cluster], None]
    fix: str = ""
    asked: tuple[str, str] = ("10.244.1.10", "10.244.2.10")
    port: int = 80
    protocol: str = "tcp"
    vxlan: bool = True
    service: Service | None = None
    name: str = ""
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def question(self) -> Question:
        """What is asked."""
        return Question(*self.asked, self.protocol, 0 if self.protocol == "icmp" else self.port)

    def snapshot(self) -> Snapshot:
        """Build the broken cluster with its objects."""
        made = cluster(vxlan=self.vxlan)
        self.damage(made)
        return snapshot_of(made, self.service, self.absent)


def snapshot_of(
    made: Cluster, service: Service | None = None, absent: dict[str, str] | None = None
) -> Snapshot:
    """Return a snapshot of a cluster with its pods, nodes, and a service."""
    pods = {
        ("demo", box.name): Pod("demo", box.name, node=box.host, ips=(box.ip,))
        for box in (made.a, made.b, made.c)
    }
    nodes = {
        name: Node(name, (("InternalIP", UNDERLAY[name]),), (f"10.244.{number}.0/24",))
        for number, name in enumerate(("n1", "n2"), 1)
    }
    services = {(service.namespace, service.name): service} if service is not None else {}
    return Snapshot(made.world.hosts(), Objects(nodes, pods, services), absent=absent or {})


def web(**more: str) -> Service:
    """Return the service demo/web on port 80."""
    return Service("demo", "web", cluster_ips=(SERVICE,), ports=(ServicePort("http", "TCP", 80),), **more)  # type: ignore[arg-type]


def to_endpoint(endpoint: str) -> str:
    """Write the nat table that translates the service to one endpoint."""
    return filter_table(
        f"-A PREROUTING -d {SERVICE}/32 -p tcp -j DNAT --to-destination {endpoint}", table="nat"
    )


def nft_table(
    rule: list[dict[str, object]], *, policy: str = "accept", chain: str = "forward"
) -> list[dict[str, object]]:
    """Return an nft table with one chain at FORWARD."""
    place = {"family": "inet", "table": "fw"}
    base = {"name": chain, "type": "filter", "hook": "forward", "prio": 0, "policy": policy}
    objects: list[dict[str, object]] = [{"table": {"family": "inet", "name": "fw"}}, {"chain": place | base}]
    return objects + ([{"rule": place | {"chain": chain, "handle": 7, "expr": rule}}] if rule else [])


def without_route(made: Cluster, node: str, destination: str) -> None:
    """Delete a route from a node's main table."""
    box = made.n1 if node == "n1" else made.n2
    box.routes = [r for r in box.routes if str(r.destination) != destination or r.table != 254]


V6 = ("fd00:1::10", "fd00:1::11")
FAR_V6 = ("fd00:1::10", "fd00:2::10")


def dual_stack(made: Cluster) -> None:
    """Give every pod and node an IPv6 address, and the nodes routes to each other's pods."""
    for number, (node, pods) in enumerate(((made.n1, (made.a, made.c)), (made.n2, (made.b,))), 1):
        node.address("eth0", f"fd00:9::{number}/64")
        node.address("cni0", f"fd00:{number}::1/64")
        node.route(f"fd00:{3 - number}::/64", f"fd00:9::{3 - number}", "eth0")
        node.set("net/ipv6/conf/all/forwarding", 1)
        for last, pod in enumerate(pods, 10):
            pod.address("eth0", f"fd00:{number}::{last}/64")
            pod.route("::/0", f"fd00:{number}::1", "eth0")
            for protocol in ("tcp", "udp"):
                pod.listen(80, protocol, "::")


def drop_icmpv6(made: Cluster) -> None:
    """Drop ICMPv6 in a pod, as a firewall written for IPv4 does."""
    dual_stack(made)
    made.c.iptables(filter_table("-A INPUT -p ipv6-icmp -j DROP"), family=6)


def drop_icmpv6_nft(made: Cluster) -> None:
    """The same in nft."""
    dual_stack(made)
    place = {"family": "inet", "table": "fw", "chain": "input"}
    echo = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "ipv6-icmp"}}
    made.c.nftables(
        {"table": {"family": "inet", "name": "fw"}},
        {"chain": {"family": "inet", "table": "fw", "name": "input"} | FILTER_INPUT},
        {"rule": place | {"handle": 7, "expr": [echo, {"drop": None}]}},
    )


def drop_frames_of_no_connection(made: Cluster) -> None:
    """Drop what conntrack does not follow in the bridge of n1: ARP is UNTRACKED."""
    place = {"family": "bridge", "table": "fw", "chain": "frames"}
    base = {"type": "filter", "hook": "prerouting", "prio": -200, "policy": "accept"}
    untracked = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "untracked"}}
    made.n1.nftables(
        {"table": {"family": "bridge", "name": "fw"}},
        {"chain": {"family": "bridge", "table": "fw", "name": "frames"} | base},
        {"rule": place | {"handle": 7, "expr": [untracked, {"drop": None}]}},
    )


FILTER_INPUT = {"type": "filter", "hook": "input", "prio": 0, "policy": "accept"}


def ipv6_disabled(made: Cluster) -> None:
    """Disable IPv6 on a pod's device; its neighbour still has an entry, or it would not even send."""
    dual_stack(made)
    made.c.set("net/ipv6/conf/eth0/disable_ipv6", 1)
    for one, other, address in ((made.a, made.c, V6[1]), (made.c, made.a, V6[0])):
        one.neighbour("eth0", address, other.dev("eth0").mac)


def short_ttl(made: Cluster) -> None:
    """Set a TTL that does not reach the other node."""
    made.n1.iptables(filter_table("-A PREROUTING -s 10.244.1.10/32 -j TTL --ttl-set 1", table="mangle"))


def only_link_local(made: Cluster) -> None:
    """Take a pod's global address away: it sends from its link-local one."""
    dual_stack(made)
    made.a.addresses = [a for a in made.a.addresses if a.ip.version == 4]
    made.a.address("eth0", "fe80::10/64")
    made.a.routes = [r for r in made.a.routes if str(r.destination) != "::/0"]
    made.a.route("::/0", "fd00:1::1", "eth0", prefsrc=ip_address("fe80::10"))


def no_ipv6_forwarding(made: Cluster) -> None:
    """Turn forwarding off for IPv6 alone."""
    dual_stack(made)
    made.n1.set("net/ipv6/conf/all/forwarding", 0)


def no_ipv6_default(made: Cluster) -> None:
    """Take the pod's default route of IPv6 away."""
    dual_stack(made)
    made.a.routes = [r for r in made.a.routes if str(r.destination) != "::/0"]


def reject_ipv6(made: Cluster) -> None:
    """Reject in FORWARD, with an ICMPv6 error."""
    dual_stack(made)
    made.n1.iptables(filter_table("-A FORWARD -p udp -j REJECT --reject-with icmp6-adm-prohibited"), family=6)


def rule_prohibits(made: Cluster) -> None:
    """A policy rule that refuses."""
    for priority, table in ((0, 255), (32766, 254), (32767, 253)):
        made.n1.rule(priority, table=table)
    made.n1.rule(
        10,
        source=ip_network("10.244.1.10/32"),
        action=RuleAction.PROHIBIT,
        text="10:\tfrom 10.244.1.10 prohibit",
    )


# --- one function for each kind of damage ----------------------------------------------------------------------


def drop_vxlan(made: Cluster) -> None:
    """Drop what n1 sends, on n2: the manual's example."""
    made.n2.iptables(filter_table("-A INPUT -s 192.168.3.86/32 -j DROP"))


def drop_legacy(made: Cluster) -> None:
    """The same in the legacy backend."""
    made.n2.iptables(filter_table("-A INPUT -s 192.168.3.86/32 -j DROP"), Backend.LEGACY)


def drop_by_policy(made: Cluster) -> None:
    """Docker's FORWARD policy."""
    made.n2.iptables(filter_table().replace(":FORWARD ACCEPT", ":FORWARD DROP"))


def drop_nft(made: Cluster) -> None:
    """An nft rule that drops."""
    made.n2.nftables(*nft_table([{"drop": None}]))


def drop_nft_policy(made: Cluster) -> None:
    """An nft chain that drops by default."""
    made.n2.nftables(*nft_table([], policy="drop"))


def balance(made: Cluster, text: str, *addresses: str) -> None:
    """Give n1 services of IPVS (``ipvsadm -S -n``), and the addresses of services on kube-ipvs0."""
    made.n1.link("kube-ipvs0", kind="dummy", up=False, noarp=True)
    for address in addresses:
        made.n1.address("kube-ipvs0", f"{address}/32")
    made.n1.more |= {"ipvs_services": True, "ipvs": Ipvs(decode_ipvsadm(text).services)}
    made.n1.set("net/ipv4/vs/conntrack", 1)


def short_life(made: Cluster) -> None:
    """A rule leaves packets of pods no way beyond n1."""
    made.n1.iptables(filter_table("-A PREROUTING -i cni0 -j TTL --ttl-set 1", table="mangle"))


def drained_service(made: Cluster) -> None:
    """IPVS's only server takes no new connections."""
    balance(made, f"-A -t {SERVICE}:80 -s rr\n-a -t {SERVICE}:80 -r 10.244.2.10:80 -m -w 0\n", SERVICE)


def balanced_loopback(made: Cluster) -> None:
    """A service of IPVS on a loopback address has its server elsewhere."""
    balance(made, "-A -t 127.0.0.1:80 -s rr\n-a -t 127.0.0.1:80 -r 10.244.2.10:80 -m -w 1\n")


def old_connection(made: Cluster) -> None:
    """A client that keeps its port has an entry for an endpoint that is gone."""
    made.n1.iptables(to_endpoint("10.244.2.10").replace("-p tcp", "-p udp"))
    made.a.set("net/ipv4/ip_local_port_range", "40001 40001")
    client, service, gone = (ip_address(ip) for ip in ("10.244.1.10", SERVICE, "10.244.1.99"))
    entry = Connection(
        17,
        Direction(client, service, 40001, 80),
        Direction(gone, client, 80, 40001),
        destination_nat=True,
        timeout_s=29,
    )
    made.n1.more["conntrack"] = connection_table((entry,))


def full_table(made: Cluster) -> None:
    """The table of connections of n2 has no room."""
    made.n2.set("net/netfilter/nf_conntrack_max", 65536)
    made.n2.set("net/netfilter/nf_conntrack_count", 65536)


def drop_in_pod(made: Cluster) -> None:
    """A rule inside the pod."""
    made.b.iptables(filter_table("-A INPUT -p tcp -j DROP"))
    made.b.more["pid"] = 4711


def reject(made: Cluster) -> None:
    """A rule that rejects."""
    made.n2.iptables(
        filter_table("-A FORWARD -d 10.244.2.10/32 -j REJECT --reject-with icmp-host-prohibited")
    )


def no_endpoints(made: Cluster) -> None:
    """kube-proxy's rule for a service without endpoints."""
    made.n1.iptables(
        filter_table(
            f'-A FORWARD -d {SERVICE}/32 -p tcp -m comment --comment "demo/web:http has no endpoints" -j REJECT'
        )
    )


def source_ranges(made: Cluster) -> None:
    """kube-proxy's rule for a load balancer's source ranges."""
    made.n1.iptables(
        filter_table(
            "-A FORWARD -j KUBE-PROXY-FIREWALL",
            '-A KUBE-PROXY-FIREWALL -m comment --comment "demo/web traffic not accepted" -j DROP',
            chains="KUBE-PROXY-FIREWALL",
        )
    )


def wrong_cluster_port(made: Cluster) -> None:
    """kube-proxy's nftables chain that rejects unknown ports of cluster addresses."""
    made.n1.nftables(*nft_table([{"reject": {"type": "tcp reset"}}], chain="cluster-ips-check"))


def blackhole(made: Cluster) -> None:
    """A route that swallows the other node's pods."""
    made.n1.route("10.244.2.10/32", type=RouteType.BLACKHOLE)


def wrong_route(made: Cluster) -> None:
    """The other node's pods are routed to the own bridge."""
    without_route(made, "n1", "10.244.2.0/24")
    made.n1.route("10.244.2.0/24", dev="cni0")


def no_pod_default(made: Cluster) -> None:
    """A pod without its default route."""
    made.a.routes = [r for r in made.a.routes if r.destination.prefixlen]


def strict_rp_filter(made: Cluster) -> None:
    """Routes that are not symmetric, and strict rp_filter."""
    without_route(made, "n2", "10.244.1.0/24")
    made.n2.route("10.244.1.0/24", UNDERLAY["n1"], "eth0")
    made.n2.set("net/ipv4/conf/all/rp_filter", 0)
    made.n2.set("net/ipv4/conf/flannel.1/rp_filter", 1)


def own_source(made: Cluster) -> None:
    """A pod calls itself by its service: the answer is its own packet, unmasqueraded."""
    made.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    made.n1.port("veth-a", "cni0", hairpin=True)
    made.n1.iptables(to_endpoint("10.244.1.10:80"))


def loopback_nodeport(made: Cluster) -> None:
    """A packet to 127.0.0.1 on a real device."""
    made.a.routes = [r for r in made.a.routes if not r.destination.is_loopback]
    made.a.route("127.0.0.1/32", "10.244.1.1", "eth0")
    made.a.set("net/ipv4/conf/eth0/route_localnet", 1)
    made.a.set("net/ipv4/conf/eth0/accept_local", 1)


def closed_neighbour(made: Cluster) -> None:
    """An address of the underlay that failed to answer."""
    made.n1.neighbour("eth0", "192.168.3.200", "", "FAILED")


def wrong_mac(made: Cluster) -> None:
    """A permanent neighbour entry with a MAC address that nobody has."""
    made.a.neighbour("eth0", "10.244.1.1", "02:ff:ff:ff:ff:ff")


def wrong_remote(made: Cluster) -> None:
    """A forwarding entry that names a third node."""
    third_node(made)
    made.n1.fdb.clear()
    made.n1.forward_to("flannel.1", made.n2.dev("flannel.1").mac, UNDERLAY["n3"])


def hairpin(made: Cluster) -> None:
    """A pod calls itself by its service, masqueraded, and hairpin is off."""
    made.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    made.n1.iptables(to_endpoint("10.244.1.10:80"))
    made.n1.iptables(
        filter_table("-A POSTROUTING -s 10.244.1.10/32 -d 10.244.1.10/32 -j MASQUERADE", table="nat")
    )


def foreign_snat(made: Cluster) -> None:
    """Source NAT to a third node's address: the answer goes there."""
    third_node(made)
    made.n1.iptables(
        filter_table(f"-A POSTROUTING -o flannel.1 -j SNAT --to-source {UNDERLAY['n3']}", table="nat")
    )


def circle(made: Cluster) -> None:
    """Two nodes that send a range to each other."""
    made.n1.route("10.99.0.0/16", UNDERLAY["n2"], "eth0")
    made.n2.route("10.99.0.0/16", UNDERLAY["n1"], "eth0")


def short_lived(made: Cluster) -> None:
    """A rule that lets packets get no further than the next router."""
    made.n2.iptables(filter_table("-A PREROUTING -p tcp -j TTL --ttl-set 1", table="mangle"))


def unknown_match(made: Cluster) -> None:
    """A rule that nobody can decide."""
    made.n2.iptables(filter_table("-A FORWARD -m set --match-set blocked src -j DROP"))


def unread_rules(made: Cluster) -> None:
    """Rules that were not read."""
    made.n2.gaps["iptables-nft"] = "denied: no root"


def incompatible_table(made: Cluster) -> None:
    """A table that iptables-save does not show."""
    made.n2.iptables("# Table `filter' is incompatible, use 'nft' tool.\n")


def separate_vlans(made: Cluster) -> None:
    """Put two pods of one bridge into different VLANs."""
    made.n1.change(
        "cni0", bridge=Bridge(vlan_filtering=True), vlans=(VlanEntry(1, pvid=True, untagged=True),)
    )
    for device, vid in (("veth-a", 10), ("veth-c", 20)):
        made.n1.change(device, vlans=(VlanEntry(vid, pvid=True, untagged=True),))


def macvlan_to_host(made: Cluster) -> None:
    """Give a pod a macvlan on the node's NIC, and let it know the node's MAC address."""
    pod = made.world.pod("n1", "m")
    pod.nsids[0] = made.n1.inode
    lower = made.n1.index("eth0")
    pod.link("net1", kind="macvlan", peer=lower, peer_nsid=0, shared=SharedMode.BRIDGE)
    pod.address("net1", "10.244.1.99/32")
    pod.route("default", dev="net1")
    pod.neighbour("net1", "192.168.3.86", made.n1.dev("eth0").mac)


def dummy_route(made: Cluster) -> None:
    """Route a destination out of a device that swallows everything."""
    made.n1.link("dummy0", kind="dummy", noarp=True)
    made.n1.route("10.77.0.0/16", dev="dummy0")


def full_neighbours(made: Cluster) -> None:
    """Let the neighbour table reach its limit, and drop something."""
    made.n1.set("net/ipv4/neigh/default/gc_thresh3", 2)
    for number in range(2):
        made.n1.neighbour("eth0", f"192.168.3.{100 + number}", "02:00:00:00:09:00", "STALE")
    drop_vxlan(made)


def nothing(_made: Cluster) -> None:
    """Leave all as it is."""


CASES = (
    Case("netfilter-drop", drop_vxlan, "delete rule 1 of INPUT (table filter) on n2"),
    Case("netfilter-drop", drop_legacy, "delete rule 1 of INPUT (table filter) on n2", name="legacy"),
    Case(
        "netfilter-drop", drop_by_policy, "let FORWARD (table filter) on n2 accept by default", name="policy"
    ),
    Case("netfilter-drop", drop_nft, "delete rule 1 of chain forward (nft table inet fw) on n2", name="nft"),
    Case(
        "netfilter-drop",
        drop_nft_policy,
        "let chain forward (nft table inet fw) on n2 accept",
        name="nft policy",
    ),
    Case("netfilter-drop", drop_in_pod, "delete rule 1 of INPUT (table filter) on n2", name="in the pod"),
    Case("netfilter-reject", reject, "delete rule 1 of FORWARD (table filter) on n2"),
    Case("service-without-endpoints", no_endpoints, asked=("10.244.1.10", SERVICE), service=web()),
    Case("source-range-refused", source_ranges),
    Case("service-port-unknown", wrong_cluster_port, name="rejected"),
    Case(
        "service-port-unknown",
        nothing,
        asked=("10.244.1.10", SERVICE),
        port=81,
        service=web(),
        name="untranslated",
    ),
    Case(
        "no-local-endpoint",
        nothing,
        asked=("10.244.1.10", SERVICE),
        service=web(internal_traffic_policy="Local"),
    ),
    Case("stale-endpoint", nothing, asked=("10.244.1.10", SERVICE), service=web(), name="untranslated"),
    Case(
        "stale-endpoint",
        lambda made: made.n1.iptables(to_endpoint("10.244.2.99:80")),
        asked=("10.244.1.10", SERVICE),
        service=web(),
        name="gone",
    ),
    Case("no-listener", nothing, port=9),
    Case("no-route", no_pod_default, "add the pod's default route via 10.244.1.1"),
    Case(
        "pod-route-missing",
        lambda made: without_route(made, "n1", "10.244.2.0/24"),
        "add the route to 10.244.2.0/24",
    ),
    Case(
        "pod-route-missing",
        lambda made: without_route(made, "n1", "10.244.2.0/24"),
        "add the route to 10.244.2.0/24",
        vxlan=False,
        name="host-gw",
    ),
    Case("pod-route-wrong", wrong_route, "add the route to 10.244.2.0/24"),
    Case("blackhole-route", blackhole, "delete the route 'blackhole 10.244.2.10/32' on n1"),
    Case("address-nowhere", nothing, asked=("10.244.1.10", "10.244.2.99")),
    Case(
        "forwarding-off",
        lambda made: made.n1.set("net/ipv4/ip_forward", 0),
        "set net.ipv4.ip_forward=1 on n1",
    ),
    Case(
        "forwarding-off",
        lambda made: made.n1.set("net/ipv4/conf/cni0/forwarding", 0),
        "set net.ipv4.conf.cni0.forwarding=1 on n1",
        name="one device",
    ),
    Case("rp-filter", strict_rp_filter, "set net.ipv4.conf.flannel/1.rp_filter=2 on n2"),
    Case("own-source", own_source, asked=("10.244.1.10", SERVICE), service=web()),
    Case(
        "martian",
        loopback_nodeport,
        "set net.ipv4.conf.cni0.route_localnet=1",
        ("10.244.1.10", "127.0.0.1"),
        22,
    ),
    Case("link-down", lambda made: made.n1.change("flannel.1", up=False), "set flannel.1 up on n1"),
    Case("neighbour-unreachable", closed_neighbour, asked=("192.168.3.86", "192.168.3.200")),
    Case(
        "vxlan-neighbour-missing",
        lambda made: made.n1.neighbours.clear(),
        "write the neighbour entry of 10.244.2.0 on flannel.1 of n1",
    ),
    Case("wrong-mac", wrong_mac, "write the neighbour entry of 10.244.1.1 on eth0 of n1"),
    Case(
        "fdb-entry-missing",
        lambda made: made.n1.fdb.clear(),
        "write the forwarding entry for 192.168.3.87 on flannel.1 of n1",
    ),
    Case("fdb-entry-wrong", wrong_remote, "write the forwarding entry for 192.168.3.87 on flannel.1 of n1"),
    Case(
        "tunnel-not-listening", lambda made: made.n2.change("flannel.1", up=False), "set flannel.1 up on n2"
    ),
    Case(
        "bridge-port-closed",
        lambda made: (
            made.n1.change("cni0", up=False),
            made.a.neighbour("eth0", "10.244.1.1", made.n1.dev("cni0").mac),
        ),  # type: ignore[arg-type, return-value]
        "set cni0 up on n1",
    ),
    Case("vlan-not-allowed", separate_vlans, asked=("10.244.1.10", "10.244.1.11")),
    Case("same-wire", macvlan_to_host, asked=("10.244.1.99", "192.168.3.86")),
    Case("dummy-device", dummy_route, asked=("10.244.1.10", "10.77.0.1")),
    Case("neighbour-table-full", full_neighbours),
    Case(
        "ttl-exceeded",
        lambda made: made.n1.iptables(
            filter_table("-A PREROUTING -i cni0 -j TTL --ttl-set 1", table="mangle")
        ),
    ),
    Case(
        "hairpin-off",
        hairpin,
        "turn hairpin on for veth-a on n1",
        asked=("10.244.1.10", SERVICE),
        service=web(),
    ),
    Case(
        "answer-not-translated",
        lambda made: made.n1.iptables(to_endpoint("10.244.1.11:80")),
        "set net.bridge.bridge-nf-call-iptables=1 on n1",
        asked=("10.244.1.10", SERVICE),
        service=web(),
    ),
    Case("answer-lost", foreign_snat),
    Case("ttl-exceeded", short_life),
    Case("ipvs-no-server", drained_service, asked=("10.244.1.10", SERVICE)),
    Case("ipvs-loopback-source", balanced_loopback, asked=("192.168.3.86", "127.0.0.1")),
    Case(
        "stale-conntrack",
        old_connection,
        f"delete the old connections from 10.244.1.10 to {SERVICE} on n1",
        asked=("10.244.1.10", SERVICE),
        protocol="udp",
        service=web(),
    ),
    Case("conntrack-table-full", full_table),
    Case("ndp-filtered", drop_icmpv6, "accept ICMPv6 in INPUT on n1", asked=V6),
    Case("ndp-filtered", drop_icmpv6_nft, "delete rule 1 of chain input", asked=V6, name="nft"),
    Case(
        "arp-filtered",
        drop_frames_of_no_connection,
        "delete rule 1 of chain frames",
        asked=("10.244.1.10", "10.244.1.11"),
    ),
    Case(
        "echo-ignored",
        lambda made: made.b.set("net/ipv4/icmp_echo_ignore_all", 1),
        "set net.ipv4.icmp_echo_ignore_all=0 on n2",
        protocol="icmp",
    ),
    Case(
        "ipv6-disabled",
        ipv6_disabled,
        "set net.ipv6.conf.eth0.disable_ipv6=0 on n1",
        asked=V6,
    ),
    Case("no-protocol", lambda made: made.b.more.update(speaks_sctp=False), protocol="sctp"),
    Case("link-local-source", only_link_local, asked=("fe80::10", "fd00:2::10"), vxlan=False),
    Case(
        "forwarding-off",
        no_ipv6_forwarding,
        "set net.ipv6.conf.all.forwarding=1 on n1",
        asked=FAR_V6,
        vxlan=False,
        name="IPv6",
    ),
    Case(
        "no-route",
        no_ipv6_default,
        "add the pod's default route via fd00:1::1",
        asked=FAR_V6,
        vxlan=False,
        name="IPv6",
    ),
    Case(
        "netfilter-reject",
        reject_ipv6,
        "delete rule 1 of FORWARD",
        asked=FAR_V6,
        vxlan=False,
        protocol="udp",
        name="IPv6",
    ),
    Case("ttl-exceeded", short_ttl, vxlan=False),
    Case("blackhole-route", rule_prohibits, "delete the policy rule 10 on n1", name="policy rule"),
    Case("routing-loop", circle, asked=("10.244.1.10", "10.99.0.1"), vxlan=False),
    Case("ttl-exceeded", short_lived, "delete rule 1 of PREROUTING"),
    Case("opaque-program", lambda made: made.n2.change("eth0", xdp=True)),
    Case("not-decided", unknown_match, name="match"),
    Case("not-decided", nothing, asked=("10.244.1.10", "203.0.113.9"), name="outside"),
    Case("node-not-collected", nothing, asked=("10.244.1.10", "192.168.3.99"), absent={"192.168.3.99": "n9"}),
    Case("evidence-incomplete", unread_rules),
    Case("unreadable-rules", incompatible_table),
)
