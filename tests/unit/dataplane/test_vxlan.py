"""A packet on a VXLAN device becomes the cargo of an outer packet, which meets rules on both nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, StepKind, Verdict, Walk
from tests.support.worlds import Cluster, cluster, filter_table


def end(result: PathResult) -> tuple[Disposition, str, str, int]:
    """Return how the first lost packet ended: disposition, cause, node and depth."""
    walk = result.branches[0].fatal_walk
    return walk.disposition, walk.last.cause, walk.last.node, walk.last.depth


def outer(walk: Walk) -> list[tuple[str, str]]:
    """Return the hooks that the outer packet met, with their nodes."""
    return [(s.node, s.hook) for s in walk.steps if s.depth == 1 and s.kind in {StepKind.HOOK, StepKind.NAT}]


def with_rules(rule_n1: str = "", rule_n2: str = "") -> Cluster:
    """Make a cluster whose nodes have all chains, and a rule each."""
    made = cluster()
    for node, rule in ((made.n1, rule_n1), (made.n2, rule_n2)):
        node.iptables(filter_table(*([rule] if rule else [])))
        node.iptables(filter_table(table="mangle"))
    return made


def test_the_outer_packet_meets_rules_on_both_nodes() -> None:
    """OUTPUT and POSTROUTING where it is made, PREROUTING and INPUT where it is opened."""
    made = with_rules()
    walk = made.walk(made.a, made.b).branches[0].forward
    assert outer(walk) == [("n1", "OUTPUT"), ("n1", "POSTROUTING"), ("n2", "PREROUTING"), ("n2", "INPUT")]
    inner = [(s.node, s.hook) for s in walk.steps if s.depth == 0 and s.kind is StepKind.HOOK]
    assert ("n2", "FORWARD") in inner
    assert ("n1", "FORWARD") in inner


@pytest.mark.parametrize(
    ("n1", "n2", "where"),
    [
        ("-A OUTPUT -p udp -m udp --dport 8472 -j DROP", "", "n1"),
        ("", "-A INPUT -s 192.168.3.86/32 -j DROP", "n2"),
        ("", "-A INPUT -p udp -m multiport --dports 8472 -j DROP", "n2"),
    ],
)
def test_a_rule_on_the_outer_packet_stops_the_pods(n1: str, n2: str, where: str) -> None:
    """The manual's example: a rule that names no pod stops all traffic between the two nodes' pods."""
    made = with_rules(n1, n2)
    result = made.walk(made.a, made.b)
    assert end(result) == (Disposition.DROPPED, "netfilter-drop", where, 1)
    assert result.outcome is Outcome.TIMEOUT
    view = result.branches[0].forward.last.before
    assert view is not None
    assert (view.source, view.destination, view.destination_port) == ("192.168.3.86", "192.168.3.87", "8472")
    assert view.encapsulates.startswith("tcp 10.244.1.10:")


def test_a_reject_of_the_outer_packet_tells_the_client_nothing() -> None:
    """The ICMP error goes to the tunnel's own node: the client times out."""
    made = with_rules("", "-A INPUT -p udp -j REJECT")
    result = made.walk(made.a, made.b)
    assert (result.disposition, result.outcome) == (Disposition.REJECTED, Outcome.TIMEOUT)


def test_the_drop_may_hit_only_the_answer() -> None:
    """A rule on the client's node stops the way back: the SYN arrives, the answer does not."""
    made = with_rules("-A INPUT -s 192.168.3.87/32 -j DROP")
    result = made.walk(made.a, made.b)
    branch = result.branches[0]
    assert branch.forward.disposition is Disposition.DELIVERED
    assert branch.fatal_walk.label == "SYN-ACK"
    assert end(result) == (Disposition.DROPPED, "netfilter-drop", "n1", 1)


@pytest.mark.parametrize("where", ["", "n1", "n2"])
def test_arp_over_the_tunnel_meets_what_outer_packets_meet(where: str) -> None:
    """Without fixed neighbours a dropped outer packet is a lost question, or a lost answer: unreachable."""
    made = cluster()
    for node, remote in ((made.n1, "192.168.3.87"), (made.n2, "192.168.3.86")):
        node.neighbours.clear()
        node.fdb.clear()
        node.forward_to("flannel.1", "00:00:00:00:00:00", remote)
    if where:
        getattr(made, where).iptables(filter_table("-A INPUT -p udp -m udp --dport 8472 -j DROP"))
    result = made.walk(made.a, made.b)
    if not where:
        assert result.verdict is Verdict.PASS
        return
    last = result.branches[0].forward.last
    assert (result.disposition, last.cause) == (Disposition.HOST_UNREACHABLE, "netfilter-drop")
    assert (result.branches[0].errno, last.evidence[-1].node) == ("EHOSTUNREACH", where)


def test_a_missing_forwarding_entry_ends_the_packet() -> None:
    """Without an entry for the MAC address the kernel does not know which node to send to."""
    made = cluster()
    made.n1.fdb.clear()
    assert end(made.walk(made.a, made.b)) == (Disposition.DROPPED, "fdb-entry-missing", "n1", 0)


def test_the_all_zero_entry_and_the_group_take_the_rest() -> None:
    """A default entry, or the device's default remote, is used where no entry names the MAC address."""
    made = cluster()
    made.n1.fdb.clear()
    made.n1.forward_to("flannel.1", "00:00:00:00:00:00", "192.168.3.87")
    assert made.walk(made.a, made.b).verdict is Verdict.PASS
    made.n1.fdb.clear()
    device = made.n1.dev("flannel.1")
    assert device.vxlan is not None
    made.n1.change("flannel.1", vxlan=replace(device.vxlan, group="192.168.3.87"))
    assert made.walk(made.a, made.b).verdict is Verdict.PASS


def test_a_missing_neighbour_is_host_unreachable() -> None:
    """flannel.1 floods ARP to nobody: without its permanent entry the next hop has no MAC address."""
    made = cluster()
    made.n1.neighbours.clear()
    result = made.walk(made.a, made.b)
    assert end(result)[:3] == (Disposition.HOST_UNREACHABLE, "neighbour-unreachable", "n1")
    assert result.outcome is Outcome.UNREACHABLE


def test_a_wrong_mac_is_dropped_by_the_peer() -> None:
    """The cargo is addressed to a MAC address that the peer's device does not have."""
    made = cluster()
    wrong = "02:ee:ee:ee:ee:ee"
    made.n1.neighbours.clear()
    made.n1.neighbour("flannel.1", "10.244.2.0", wrong)
    made.n1.forward_to("flannel.1", wrong, "192.168.3.87")
    assert end(made.walk(made.a, made.b))[:3] == (Disposition.DROPPED, "wrong-mac", "n2")


@pytest.mark.parametrize("change", ["down", "gone", "vni", "port"])
def test_a_peer_that_does_not_unwrap_refuses_the_tunnel(change: str) -> None:
    """A device that is down, missing, or of another VNI or port leaves the outer packet without a socket."""
    made = cluster()
    device = made.n2.dev("flannel.1")
    assert device.vxlan is not None
    if change == "down":
        made.n2.change("flannel.1", up=False)
    elif change == "gone":
        made.n2.change("flannel.1", vxlan=None)
    else:
        made.n2.change("flannel.1", vxlan=replace(device.vxlan, **{change: 9}))
    result = made.walk(made.a, made.b)
    assert end(result)[:3] == (Disposition.REFUSED, "tunnel-not-listening", "n2")
    assert result.outcome is Outcome.TIMEOUT


def test_a_device_that_is_down_here_sends_nothing() -> None:
    """The own VXLAN device that is down ends the packet before it is wrapped."""
    made = cluster()
    made.n1.change("flannel.1", up=False)
    assert end(made.walk(made.a, made.b))[1:] == ("link-down", "n1", 0)


def test_the_mark_stays_on_the_outer_packet() -> None:
    """A mark of the inner packet is on the outer one too, and a rule can see it there."""
    made = cluster()
    made.n1.iptables(
        filter_table("-A FORWARD -s 10.244.1.10/32 -j MARK --set-xmark 0x7/0xffffffff", table="mangle")
    )
    made.n1.iptables(filter_table("-A OUTPUT -p udp -m mark --mark 0x7 -j DROP"))
    assert end(made.walk(made.a, made.b)) == (Disposition.DROPPED, "netfilter-drop", "n1", 1)


def test_a_mark_on_the_outer_packet_is_the_cargos() -> None:
    """Within one namespace unwrapping keeps the mark (skb_scrub_packet without xnet)."""
    made = cluster()
    rule = "-A PREROUTING -p udp -m udp --dport 8472 -j MARK --set-xmark 0x7/0xffffffff"
    made.n2.iptables(filter_table(rule, table="mangle"))
    made.n2.iptables(filter_table("-A FORWARD -m mark --mark 0x7 -j DROP"))
    assert end(made.walk(made.a, made.b)) == (Disposition.DROPPED, "netfilter-drop", "n2", 0)


@pytest.mark.parametrize("vxlan", [True, False])
def test_a_mark_stays_on_its_node(vxlan: bool) -> None:
    """Neither the wire nor a veth into another namespace carries a mark."""
    made = cluster(vxlan=vxlan)
    for box, chain in ((made.a, "OUTPUT"), (made.n1, "POSTROUTING")):
        box.iptables(filter_table(f"-A {chain} -j MARK --set-xmark 0x7/0xffffffff", table="mangle"))
    for box, chain in ((made.n1, "FORWARD"), (made.n2, "FORWARD"), (made.b, "INPUT")):
        box.iptables(filter_table(f"-A {chain} -m mark --mark 0x7 -j DROP"))
    assert made.walk(made.a, made.b).verdict is Verdict.PASS


def test_an_external_device_is_opaque() -> None:
    """A device that takes its remote from metadata cannot be followed."""
    made = cluster()
    device = made.n1.dev("flannel.1")
    assert device.vxlan is not None
    made.n1.change("flannel.1", vxlan=replace(device.vxlan, external=True))
    assert made.walk(made.a, made.b).verdict is Verdict.UNKNOWN


def test_a_tunnel_to_an_uncollected_node_is_unknown() -> None:
    """An outer packet whose remote nobody collected has is UNKNOWN with the address, not a way out."""
    made = cluster()
    made.n1.fdb.clear()
    made.n1.forward_to("flannel.1", made.n2.dev("flannel.1").mac, "192.168.3.88")
    result = made.walk(made.a, made.b)
    assert (result.verdict, result.disposition) == (Verdict.UNKNOWN, Disposition.UNKNOWN)
    assert result.branches[0].forward.last.cause == "node-not-collected"
    assert "192.168.3.88" in result.unknowns[0]


def test_a_tunnel_to_a_host_that_did_not_answer_names_it() -> None:
    """A remote that is in the inventory and gave nothing is UNKNOWN with its name."""
    made = cluster()
    made.n1.fdb.clear()
    made.n1.forward_to("flannel.1", made.n2.dev("flannel.1").mac, "192.168.3.88")
    result = made.walk(made.a, made.b, absent="192.168.3.88")
    assert result.verdict is Verdict.UNKNOWN
    assert "n9 (192.168.3.88) was not collected" in result.unknowns[0]
