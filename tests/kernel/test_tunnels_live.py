"""VXLAN over both underlays in real kernels: connections and full-size segments, beside what the walk says."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from tests.support.live_hosts import LONG_S, LiveHosts, arrives, live_hosts, patience_s

pytestmark = pytest.mark.lab

POD_A, POD_B, PORT = "10.244.1.10", "10.244.2.10", 7100
MACS = {"n1": "02:11:00:00:00:01", "n2": "02:11:00:00:00:02"}
UNDERLAY = {4: {"n1": "192.168.3.1", "n2": "192.168.3.2"}, 6: {"n1": "fd03::1", "n2": "fd03::2"}}


@pytest.fixture
def net() -> Iterator[LiveHosts]:
    """Two hosts with a link between them, and a pod on each behind a veth."""
    with live_hosts(f"t-tunnels-v{os.getpid()}", {"n1": ("n1", "a"), "n2": ("n2", "b")}) as made:
        made.veth("n1", "eth0", "n2", "eth0")
        for node, pod, number in (("n1", "a", 1), ("n2", "b", 2)):
            made.veth(pod, "eth0", node, f"veth-{pod}")
            made.run(pod, f"ip addr add 10.244.{number}.10/24 dev eth0")
            made.run(pod, f"ip route add default via 10.244.{number}.1")
            made.run(
                node,
                f"ip addr add 10.244.{number}.1/24 dev veth-{pod}",
                f"ip addr add {UNDERLAY[4][node]}/24 dev eth0",
                f"ip -6 addr add {UNDERLAY[6][node]}/64 dev eth0 nodad",
                "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0",
            )
        yield made


def vxlan(net: LiveHosts, node: str, words: str = "", family: int = 4, entries: bool = True) -> None:
    """Make a VXLAN device as flannel does: a route, a neighbour and a forwarding entry for the other node."""
    other = "n2" if node == "n1" else "n1"
    number = 2 if node == "n1" else 1
    local = UNDERLAY[family][node]
    base = "" if "id " in words else "id 1"
    port = "" if "dstport" in words else "dstport 8472"
    learning = "" if "learning" in words else "nolearning"
    net.run(
        node,
        f"ip link add vx type vxlan {base} {port} {learning} local {local} {words}",
        f"ip link set vx address {MACS[node]} mtu {1450 if family == 4 else 1430}",
        "ip link set vx up",
        f"ip addr add 10.244.{3 - number}.0/32 dev vx",
        f"ip route add 10.244.{number}.0/24 via 10.244.{number}.0 dev vx onlink",
    )
    if entries:
        net.run(
            node,
            f"ip neigh add 10.244.{number}.0 lladdr {MACS[other]} dev vx nud permanent",
            f"bridge fdb append {MACS[other]} dev vx dst {UNDERLAY[family][other]} self permanent",
        )


def agree(net: LiveHosts, source: str = "a") -> tuple[PathResult, bool, bool]:
    """Walk a to b, connect and send full-size segments both ways, and check that the two agree."""
    address = POD_A if source == "a" else UNDERLAY[4]["n1"]
    there = back = connected = False
    with net.listen("b", POD_B, PORT) as server:
        result = net.walk(address, POD_B, PORT)
        wait_s = patience_s(result.outcome is Outcome.CONNECTED)
        stalls = result.mtu.stalls if result.mtu is not None else ""
        try:
            client, accepted = net.connect(source, server, timeout_s=wait_s)
            connected = True
            with client, accepted:
                there = arrives(client, accepted, timeout_s=patience_s(stalls != "forward"))
            net.forget()
            client, accepted = net.connect(source, server, timeout_s=wait_s)
            with client, accepted:
                back = arrives(accepted, client, timeout_s=patience_s(result.verdict is Verdict.PASS))
        except OSError:
            pass
    assert (result.outcome is Outcome.CONNECTED) == connected, (
        result.verdict,
        result.branches[0].fatal_walk.last,
    )
    if connected:
        assert (result.verdict is Verdict.PASS) == (there and back), (result.mtu, there, back)
        assert result.mtu is not None
        assert not (result.mtu.stalls == "forward" and there)
        assert not (result.mtu.stalls == "reply" and back)
    return result, there, back


@pytest.mark.parametrize(("family", "mtu"), [(4, 1450), (6, 1430)])
def test_vxlan_over_both_underlays(net: LiveHosts, family: int, mtu: int) -> None:
    """A healthy tunnel carries full-size segments: 50 bytes are its own over IPv4, 70 over IPv6."""
    for node in ("n1", "n2"):
        vxlan(net, node, family=family)
    result, there, back = agree(net)
    assert (there, back) == (True, True)
    assert result.mtu is not None
    assert result.mtu.forward == mtu


def test_the_device_may_be_larger_than_the_underlay_takes(net: LiveHosts) -> None:
    """Outer IPv4 packets have no DF by default: those of a device that is too large go in fragments."""
    for node in ("n1", "n2"):
        vxlan(net, node)
        net.run(node, "ip link set vx mtu 1500")
    result, there, back = agree(net)
    assert (there, back) == (True, True)
    assert result.mtu is not None
    assert [step.cause for step in result.mtu.concerns] == ["mtu-mismatch", "mtu-mismatch"]


@pytest.mark.parametrize(("family", "words"), [(6, ""), (4, "df set"), (4, "df inherit")])
def test_a_too_large_device_that_may_not_cut_is_a_black_hole(net: LiveHosts, family: int, words: str) -> None:
    """Over IPv6, or with DF on the outer packet, large packets of pods are lost without an error."""
    for node in ("n1", "n2"):
        vxlan(net, node, words, family=family)
        net.run(node, "ip link set vx mtu 1500")
    result, there, _ = agree(net)
    assert not there
    assert result.disposition is Disposition.MTU


@pytest.mark.parametrize(("family", "words"), [(6, ""), (4, "df set")])
def test_the_tunnels_own_node_learns(net: LiveHosts, family: int, words: str) -> None:
    """The node's own sockets are told by skb_tunnel_check_pmtu() and send smaller segments."""
    for node in ("n1", "n2"):
        vxlan(net, node, words, family=family)
    net.run("n1", "ip link set vx mtu 1500")
    _, there, _ = agree(net, "n1")
    assert there


@pytest.mark.parametrize(
    ("n1", "n2"),
    [("id 5", "id 6"), ("dstport 8472", "dstport 4789")],
)
def test_the_peers_device_must_match(net: LiveHosts, n1: str, n2: str) -> None:
    """Another VNI or port at the far end: nobody takes the outer packet."""
    vxlan(net, "n1", n1)
    vxlan(net, "n2", n2)
    result, _, _ = agree(net)
    assert result.branches[0].fatal_walk.last.cause == "tunnel-not-listening"


def test_the_peers_device_may_be_down(net: LiveHosts) -> None:
    """A device that is down has closed its port."""
    for node in ("n1", "n2"):
        vxlan(net, node)
    net.run("n2", "ip link set vx down")
    result, _, _ = agree(net)
    assert result.branches[0].fatal_walk.last.cause == "tunnel-not-listening"


def test_the_default_remote(net: LiveHosts) -> None:
    """Without an entry for the MAC address, frames go to the device's remote."""
    for node, other in (("n1", "n2"), ("n2", "n1")):
        vxlan(net, node, f"remote {UNDERLAY[4][other]} dev eth0", entries=False)
    result, there, back = agree(net)
    assert (result.verdict, there, back) == (Verdict.PASS, True, True)


def test_flooding_to_several_remotes(net: LiveHosts) -> None:
    """Entries for the all-zero MAC address: ARP and frames go to all of them, and one is the right one."""
    for node, other in (("n1", "n2"), ("n2", "n1")):
        vxlan(net, node, entries=False)
        for remote in ("192.168.3.77", UNDERLAY[4][other]):
            net.run(node, f"bridge fdb append 00:00:00:00:00:00 dev vx dst {remote} self permanent")
    result, there, back = agree(net)
    assert (result.verdict, there, back) == (Verdict.PASS, True, True)


def test_an_entry_with_its_own_port_and_vni(net: LiveHosts) -> None:
    """A forwarding entry may send to another port and VNI than the device's."""
    vxlan(net, "n1", "id 5", entries=False)
    vxlan(net, "n2", "id 6 dstport 4789", entries=False)
    for node, other, number, words in (
        ("n1", "n2", 2, "port 4789 vni 6"),
        ("n2", "n1", 1, "port 8472 vni 5"),
    ):
        net.run(
            node,
            f"ip neigh add 10.244.{number}.0 lladdr {MACS[other]} dev vx nud permanent",
            f"bridge fdb append {MACS[other]} dev vx dst {UNDERLAY[4][other]} {words} self permanent",
        )
    result, there, back = agree(net)
    assert (result.verdict, there, back) == (Verdict.PASS, True, True)


def test_a_learning_device_refuses_a_known_mac_from_elsewhere(net: LiveHosts) -> None:
    """With learning, a frame whose sender has a static entry for another remote is dropped (vxlan_snoop)."""
    vxlan(net, "n1")
    vxlan(net, "n2", "learning", entries=False)
    net.run(
        "n2",
        f"ip neigh add 10.244.1.0 lladdr {MACS['n1']} dev vx nud permanent",
        f"bridge fdb append {MACS['n1']} dev vx dst 192.168.3.99 self permanent",
    )
    result, _, _ = agree(net)
    assert result.branches[0].fatal_walk.last.cause == "fdb-entry-wrong"


def test_the_way_to_the_remote_leads_over_the_tunnel(net: LiveHosts) -> None:
    """A route for the remote over the tunnel itself: the kernel drops (-ELOOP)."""
    for node in ("n1", "n2"):
        vxlan(net, node)
    net.run("n1", "ip route add 192.168.3.2/32 dev vx")
    result, _, _ = agree(net)
    assert (result.disposition, result.branches[0].fatal_walk.last.cause) == (Disposition.LOOP, "tunnel-loop")


def test_the_entry_goes_by_the_route_and_not_by_the_devices_link(net: LiveHosts) -> None:
    """The device is made on lo, the entry's remote is reached over eth0: only the default remote is bound."""
    for node in ("n1", "n2"):
        vxlan(net, node, "dev lo")
    result, there, back = agree(net)
    assert (result.verdict, there, back) == (Verdict.PASS, True, True)


def test_rules_see_the_outer_packet_over_ipv6(net: LiveHosts) -> None:
    """An ip6tables rule for the tunnel's port stops all pods' IPv4 traffic between the nodes."""
    for node in ("n1", "n2"):
        vxlan(net, node, family=6)
    net.run("n2", "ip6tables -A INPUT -p udp -m udp --dport 8472 -j DROP")
    result, _, _ = agree(net)
    last = result.branches[0].fatal_walk.last
    assert (last.node, last.cause, last.depth) == ("n2", "netfilter-drop", 1)


def test_the_mark_comes_along(net: LiveHosts) -> None:
    """A mark set on the inner packet is on the outer one, and a mark set on the outer one on what it held."""
    for node in ("n1", "n2"):
        vxlan(net, node)
    net.run("n1", "iptables -t mangle -A PREROUTING -i veth-a -j MARK --set-mark 0x7")
    net.run("n1", "iptables -A OUTPUT -p udp --dport 8472 -m mark --mark 0x7 -j DROP")
    result, _, _ = agree(net)
    assert result.branches[0].fatal_walk.last.hook == "OUTPUT"


def test_the_outer_mark_comes_along_inside(net: LiveHosts) -> None:
    """What PREROUTING marks on the outer packet is the mark of the inner one in FORWARD."""
    for node in ("n1", "n2"):
        vxlan(net, node)
    net.run("n2", "iptables -t mangle -A PREROUTING -p udp --dport 8472 -j MARK --set-mark 0x9")
    net.run("n2", "iptables -A FORWARD -i vx -m mark --mark 0x9 -j DROP")
    result, _, _ = agree(net)
    assert result.branches[0].fatal_walk.last.hook == "FORWARD"


def test_a_device_that_was_moved_sends_from_where_it_was_made(net: LiveHosts) -> None:
    """A VXLAN device moved into the pod keeps its socket on the node: rules of the node see its packets."""
    for node, pod, number in (("n1", "a", 1), ("n2", "b", 2)):
        other = "n2" if node == "n1" else "n1"
        net.run(
            node,
            f"ip link add vx type vxlan id 1 dstport 8472 nolearning local {UNDERLAY[4][node]}",
            f"ip link set vx address {MACS[node]} netns {net.name(pod)}",
        )
        net.run(
            pod,
            "ip link set vx up",
            f"ip route add 10.244.{3 - number}.10/32 dev vx",
            f"ip neigh add 10.244.{3 - number}.10 lladdr {MACS[other]} dev vx nud permanent",
            f"bridge fdb append {MACS[other]} dev vx dst {UNDERLAY[4][other]} self permanent",
        )
    result, _, _ = agree(net)
    assert result.verdict is Verdict.PASS
    net.run("n2", "iptables -A INPUT -p udp --dport 8472 -j DROP")
    result, _, _ = agree(net)
    assert result.branches[0].fatal_walk.last.node == "n2"


def test_a_tunnel_as_a_bridges_port(net: LiveHosts) -> None:
    """A bridge with a pod and a VXLAN device on each node: one network, ARP and all, and too large is told."""
    for node, pod in (("n1", "a"), ("n2", "b")):
        other = "n2" if node == "n1" else "n1"
        net.run(
            node,
            "ip link add br0 type bridge",
            "ip link set br0 up",
            f"ip link add vx type vxlan id 9 dstport 8472 remote {UNDERLAY[4][other]} dev eth0",
            "ip link set vx master br0 up",
            f"ip link set veth-{pod} master br0",
        )
        net.run(pod, f"ip addr add 10.99.0.{10 if pod == 'a' else 11}/24 dev eth0")
    with net.listen("b", "10.99.0.11", PORT) as server:
        result = net.walk("10.99.0.10", "10.99.0.11", PORT)
        client, accepted = net.connect("a", server, timeout_s=LONG_S)
        with client, accepted:
            there = arrives(client, accepted, timeout_s=patience_s(result.verdict is Verdict.PASS))
    assert result.outcome is Outcome.CONNECTED
    assert there is (result.verdict is Verdict.PASS)


@pytest.mark.parametrize("where", ["", "n2", "n1"])
def test_arp_goes_through_the_tunnel_as_well(net: LiveHosts, where: str) -> None:
    """Without fixed neighbours ARP is wrapped too: where the outer packets are dropped, the host is unreachable.

    A drop at the far end loses the question, one at this end the answer.
    """
    for node, other in (("n1", "n2"), ("n2", "n1")):
        vxlan(net, node, f"remote {UNDERLAY[4][other]}", entries=False)
        net.run(node, f"sysctl -qw net.ipv4.neigh.vx.retrans_time_ms={150 if where else 1000}")
    if where:
        net.run(where, "iptables -A INPUT -p udp --dport 8472 -j DROP")
    with net.listen("b", POD_B, PORT) as server:
        result = net.walk(POD_A, POD_B, PORT)
        try:
            client, accepted = net.connect("a", server, timeout_s=LONG_S)
            client.close()
            accepted.close()
            heard = ""
        except OSError as error:
            heard = errno.errorcode.get(error.errno or 0, "timeout")
    assert heard == ("EHOSTUNREACH" if where else "")
    assert result.branches[0].errno == heard
    if where:
        last = result.branches[0].forward.last
        assert (last.cause, last.evidence[-1].node) == ("netfilter-drop", where)
