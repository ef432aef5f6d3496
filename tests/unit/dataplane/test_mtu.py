"""Sizes along a walk: what passes each way, what the ends send, and whether the sender of too much is told."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathMtu, PathResult, Verdict
from skoopctl.kernel.tunnel import Df
from tests.support.tunnel_worlds import between, gre, ipip, number, only, wireguard
from tests.support.worlds import UNDERLAY, Cluster, cluster, filter_table


def sizes(result: PathResult) -> PathMtu:
    """Return the sizes of a path that has some."""
    assert result.mtu is not None
    return result.mtu


def pods_send(made: Cluster, mtu: int) -> Cluster:
    """Give all pods' veths and bridges an MTU."""
    for box in made.world.boxes:
        for link in list(box.links.values()):
            if link.kind in {"veth", "bridge"}:
                box.change(link.name, mtu=mtu)
    return made


def tunnel_takes(made: Cluster, device: str, mtu: int) -> Cluster:
    """Give the nodes' tunnel devices an MTU."""
    for node in (made.n1, made.n2):
        node.change(device, mtu=mtu)
    return made


def test_a_healthy_path_walks_nothing_more() -> None:
    """Where all MTUs agree there are three packets, and the sizes are the pods' own."""
    made = cluster()
    result = made.walk(made.a, made.b)
    assert [walk.label for walk in result.branches[0].walks] == ["SYN", "SYN-ACK", "ACK"]
    assert sizes(result) == PathMtu(1450, 1450, 1450, 1450)


@pytest.mark.parametrize("protocol", ["udp", "icmp"])
def test_other_protocols_agree_on_nothing_and_do_not_stall(protocol: str) -> None:
    """A datagram may be small: the sizes are told, and the verdict is that of small packets."""
    made = pods_send(cluster(), 1500)
    result = made.walk(made.a, made.b, protocol=protocol)
    assert result.verdict is Verdict.PASS
    assert (sizes(result).forward, sizes(result).segment, sizes(result).stalls) == (1450, 0, "")


def test_larger_pods_are_told_by_their_node() -> None:
    """Pods with 1500 over a tunnel with 1450: the node's ICMP error comes home: a detour, and it works."""
    made = pods_send(cluster(), 1500)
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.PASS
    assert (sizes(result).forward, sizes(result).segment) == (1450, 1500)
    assert [(s.node, s.device) for s in sizes(result).concerns] == [("n1", "flannel.1"), ("n2", "flannel.1")]


def test_a_dropped_error_is_a_black_hole() -> None:
    """The node's rules keep the error from the pod: connected, and stalled."""
    made = pods_send(cluster(), 1500)
    made.n2.iptables(filter_table("-A OUTPUT -p icmp -j DROP"))
    result = made.walk(made.a, made.b)
    assert (result.verdict, result.disposition) == (Verdict.FAIL, Disposition.MTU)
    assert (result.outcome, sizes(result).stalls) == (Outcome.CONNECTED, "reply")
    branch = result.branches[0]
    assert not branch.works
    assert branch.fatal_walk.label == "full-size segment (1500 bytes, reply)"
    assert branch.walks[-1].last.cause == "netfilter-drop"


def test_the_error_must_be_about_the_senders_own_packet() -> None:
    """Masquerading of pods is undone in the error as well: it reaches the pod behind it."""
    made = pods_send(cluster(vxlan=False), 1500)
    made.n1.iptables(filter_table("-A POSTROUTING -o eth0 -j MASQUERADE", table="nat"))
    made.n1.change("eth0", mtu=1400)
    made.n2.change("eth0", mtu=1400)
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.PASS
    assert sizes(result).forward == 1400


def test_an_undecided_rule_leaves_it_undecided() -> None:
    """Whether the error comes home depends on a match that cannot be decided: UNKNOWN, with the reason."""
    made = pods_send(cluster(), 1500)
    made.n1.iptables(filter_table("-A OUTPUT -p icmp -m string --string x --algo bm -j DROP"))
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert result.unknowns


@pytest.mark.parametrize(
    ("made", "device", "overhead"),
    [
        (ipip, "tunl0", 20),
        (gre, "gre1", 24),
        (lambda: gre({"out_key": 5, "in_key": 5}, {"out_key": 5, "in_key": 5}), "gre1", 28),
    ],
)
def test_ip_tunnels_answer_themselves(made: object, device: str, overhead: int) -> None:
    """A device larger than the underlay takes: tnl_update_pmtu() sends the error, with the tunnel's own size."""
    assert callable(made)
    built = tunnel_takes(pods_send(made(), 1500), device, 1500)
    result = built.walk(built.a, built.b)
    assert result.verdict is Verdict.PASS
    assert sizes(result).forward == 1500 - overhead
    built.n1.iptables(filter_table("-A OUTPUT -p icmp -j DROP"))
    assert built.walk(built.a, built.b).disposition is Disposition.MTU


def test_wireguard_is_cut_into_fragments() -> None:
    """Outer packets without DF: nothing is lost, and it is said that they are cut."""
    made = tunnel_takes(pods_send(wireguard(), 1500), "wg0", 1500)
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.PASS
    assert "60 for the tunnel" in sizes(result).concerns[0].decision


@pytest.mark.parametrize(("df", "passes"), [(Df.UNSET, True), (Df.SET, False), (Df.INHERIT, False)])
def test_a_vxlan_device_larger_than_the_underlay(df: Df, passes: bool) -> None:
    """Without DF outer packets are cut, with it they are lost: a pod is not told."""
    made = pods_send(cluster(), 1500)
    for node in (made.n1, made.n2):
        vxlan = node.dev("flannel.1").vxlan
        assert vxlan is not None
        node.change("flannel.1", mtu=1500, vxlan=type(vxlan)(1, 8472, vxlan.local, learning=False, df=df))
    result = made.walk(made.a, made.b)
    assert (result.verdict is Verdict.PASS) is passes
    assert sizes(result).stalls == ("" if passes else "forward")


def test_hardware_that_nobody_sees_is_a_concern_and_no_verdict() -> None:
    """A peer whose network card has a smaller MTU may drop, or not: said, and never guessed."""
    made = pods_send(cluster(vxlan=False), 1500)
    made.n2.change("eth0", mtu=1400)
    made.n2.routes = [
        r
        if r.next_hops[0].index != made.n2.index("eth0")
        else type(r)(r.table, r.destination, r.type, r.next_hops, r.prefsrc, r.scope, mtu=1500)
        for r in made.n2.routes
    ]
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.PASS
    assert "up to the hardware" in sizes(result).concerns[0].decision


def test_tcp_that_probes_recovers() -> None:
    """tcp_mtu_probing finds a smaller size by itself: slow at first, and no failure."""
    made = pods_send(cluster(), 1500)
    made.n1.iptables(filter_table("-A OUTPUT -p icmp -j DROP"))
    assert made.walk(made.a, made.b).verdict is Verdict.FAIL
    made.a.set("net/ipv4/tcp_mtu_probing", 1)
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.PASS
    assert "lost until" in sizes(result).concerns[0].decision or sizes(result).concerns


def test_a_clamp_lets_full_size_segments_fit() -> None:
    """TCPMSS on the nodes' FORWARD: both ends send what fits, though errors are dropped."""
    made = pods_send(cluster(), 1500)
    made.n1.iptables(filter_table("-A OUTPUT -p icmp -j DROP"))
    clamp = "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    made.n1.iptables(filter_table(clamp, table="mangle"))
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.PASS
    assert (sizes(result).segment, sizes(result).reply_segment) == (1450, 1450)
    assert sizes(result).concerns == ()


def test_a_clamp_never_makes_segments_larger() -> None:
    """--set-mss above the offered size leaves it as it is."""
    made = cluster()
    rule = "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 9000"
    made.n1.iptables(filter_table(rule, table="mangle"))
    assert sizes(made.walk(made.a, made.b)).segment == 1450


def test_a_nested_tunnel_takes_both_overheads() -> None:
    """IPIP over a WireGuard device with 1420: 1400 bytes are left for the pods' packets."""
    made = wireguard(device=only("n1", fwmark=1))
    for node, other, pods in ((made.n1, "n2", "10.244.2.0/24"), (made.n2, "n1", "10.244.1.0/24")):
        from skoopctl.kernel.tunnel import IpTunnel

        tunnel = IpTunnel(remote=number(UNDERLAY[other]), local=number(UNDERLAY[node.name]))
        node.link("ipip1", kind="ipip", tunnel=tunnel, mtu=1500, noarp=True)
        node.routes = [r for r in node.routes if str(r.destination) != pods]
        node.route(pods, dev="ipip1")
    made.n1.rule(0, table=255)
    made.n1.rule(100, fwmark=0, fwmask=0xFFFF, table=77)
    made.n1.rule(101, table=254)
    made.n1.route(f"{UNDERLAY['n2']}/32", dev="wg0", table=77)
    made.n1.change("wg0", mtu=1420)
    result = pods_send(made, 1500).walk(made.a, made.b)
    assert sizes(result).forward == 1400


def test_a_device_without_a_known_mtu_limits_nothing() -> None:
    """An MTU of 0 is one that was not read."""
    made = between("t0", lambda _me, _other: {"kind": "ipip", "mtu": 0})
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
