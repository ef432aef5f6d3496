"""A flow is a transaction: what the client sees follows from the answer, the reset, or the error it hears."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, StepKind, Verdict
from skoopctl.errors import TargetError
from skoopctl.kernel.route import RouteType
from tests.support.worlds import World, cluster, filter_table


def labels(result: PathResult) -> list[str]:
    """Return the packets of the first branch, in order."""
    return [walk.label for walk in result.branches[0].walks]


@pytest.mark.parametrize("vxlan", [True, False])
@pytest.mark.parametrize(
    ("protocol", "packets"),
    [
        ("tcp", ["SYN", "SYN-ACK", "ACK"]),
        ("udp", ["request", "answer"]),
        ("icmp", ["echo request", "echo reply"]),
    ],
)
def test_a_healthy_flow_walks_both_ways(vxlan: bool, protocol: str, packets: list[str]) -> None:
    """TCP takes three packets, UDP and ICMP two, over a tunnel as over plain routes."""
    made = cluster(vxlan=vxlan)
    result = made.walk(made.a, made.b, protocol=protocol)
    assert (result.verdict, result.disposition, result.outcome) == (
        Verdict.PASS,
        Disposition.DELIVERED,
        Outcome.CONNECTED,
    )
    assert labels(result) == packets
    branch = result.branches[0]
    assert (branch.responder, branch.responder_netns, branch.seen_source) == ("b", made.b.key, "10.244.1.10")
    assert result.source_netns == made.a.key


@pytest.mark.parametrize(
    ("protocol", "answer"), [("tcp", "RST"), ("udp", "ICMP error (icmp-port-unreachable)")]
)
def test_a_closed_port_refuses(protocol: str, answer: str) -> None:
    """Nothing listens: TCP hears a reset, UDP a port unreachable; the evidence lists what does listen."""
    made = cluster()
    result = made.walk(made.a, made.b, 9, protocol)
    assert (result.disposition, result.outcome) == (Disposition.REFUSED, Outcome.REFUSED)
    assert labels(result)[1] == answer
    last = result.branches[0].forward.last
    assert (last.cause, last.evidence[0].text) == ("no-listener", f"listening {protocol} ports: 80")


def test_a_reset_that_is_lost_is_a_timeout() -> None:
    """The refusal does not find its way back: the client waits."""
    made = cluster()
    made.n1.iptables(filter_table("-A FORWARD -p tcp -m tcp --tcp-flags RST RST -j DROP"))
    result = made.walk(made.a, made.b, 9)
    assert (result.disposition, result.outcome) == (Disposition.REFUSED, Outcome.TIMEOUT)


@pytest.mark.parametrize(
    ("option", "outcome"),
    [
        ("", Outcome.REFUSED),
        ("--reject-with tcp-reset", Outcome.REFUSED),
        ("--reject-with icmp-host-unreachable", Outcome.UNREACHABLE),
        ("--reject-with icmp-admin-prohibited", Outcome.UNREACHABLE),
    ],
)
def test_a_reject_is_seen_by_the_client(option: str, outcome: Outcome) -> None:
    """The error or reset of a REJECT on the way reaches the client, which fails at once."""
    made = cluster()
    made.n2.iptables(filter_table(f"-A FORWARD -d 10.244.2.10/32 -p tcp -j REJECT {option}"))
    result = made.walk(made.a, made.b)
    assert (result.disposition, result.outcome) == (Disposition.REJECTED, outcome)
    assert result.branches[0].fatal_walk.last.cause == "netfilter-reject"


@pytest.mark.parametrize(
    ("option", "outcome"),
    [
        ("", Outcome.REFUSED),
        ("--reject-with icmp-host-unreachable", Outcome.TIMEOUT),
        ("--reject-with icmp-net-unreachable", Outcome.TIMEOUT),
        ("--reject-with icmp-host-prohibited", Outcome.UNREACHABLE),
        ("--reject-with icmp-admin-prohibited", Outcome.UNREACHABLE),
    ],
)
def test_udp_hears_fatal_errors_only(option: str, outcome: Outcome) -> None:
    """A connected UDP socket is told of closed ports and prohibitions, not of host or net unreachable."""
    made = cluster()
    made.n2.iptables(filter_table(f"-A FORWARD -d 10.244.2.10/32 -p udp -j REJECT {option}"))
    assert made.walk(made.a, made.b, protocol="udp").outcome is outcome


def test_a_reject_whose_error_is_lost_is_a_timeout() -> None:
    """The ICMP error meets rules on its way back too."""
    made = cluster()
    made.n2.iptables(filter_table("-A FORWARD -d 10.244.2.10/32 -j REJECT"))
    made.n1.iptables(filter_table("-A FORWARD -p icmp -j DROP"))
    result = made.walk(made.a, made.b)
    assert (result.disposition, result.outcome) == (Disposition.REJECTED, Outcome.TIMEOUT)


def test_a_reject_at_home_is_seen() -> None:
    """A REJECT in the client's own OUTPUT fails the client at once."""
    made = cluster()
    made.n1.iptables(filter_table("-A OUTPUT -p tcp -d 10.244.2.10/32 -j REJECT"))
    assert made.walk(made.n1, made.b).outcome is Outcome.REFUSED


def test_a_drop_of_the_answer_only_is_a_timeout() -> None:
    """The SYN arrives, the SYN-ACK is dropped: the reply is the packet that decides."""
    made = cluster()
    made.n1.iptables(filter_table("-A FORWARD -s 10.244.2.10/32 -j DROP"))
    result = made.walk(made.a, made.b)
    branch = result.branches[0]
    assert (result.disposition, result.outcome) == (Disposition.DROPPED, Outcome.TIMEOUT)
    assert branch.forward.disposition is Disposition.DELIVERED
    assert branch.fatal_walk is branch.reply


def test_a_drop_of_established_packets_only_is_a_timeout() -> None:
    """connect() succeeds and nothing arrives after it: a rule that accepts NEW and drops ESTABLISHED."""
    made = cluster()
    rule = "-A FORWARD -d 10.244.2.10/32 -m conntrack --ctstate ESTABLISHED -j DROP"
    made.n2.iptables(filter_table(rule))
    result = made.walk(made.a, made.b)
    branch = result.branches[0]
    assert (result.disposition, result.outcome) == (Disposition.DROPPED, Outcome.TIMEOUT)
    assert branch.reply is not None
    assert branch.reply.disposition is Disposition.DELIVERED
    assert branch.fatal_walk.label == "ACK"
    assert made.walk(made.a, made.b, protocol="udp").verdict is Verdict.PASS


def test_stateful_rules_let_answers_through() -> None:
    """A firewall that accepts one direction and ESTABLISHED passes the flow, and not the other way round."""
    made = cluster()
    rules = (
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -s 10.244.1.0/24 -j ACCEPT",
    )
    made.n1.iptables(filter_table(*rules, policy="ACCEPT").replace(":FORWARD ACCEPT", ":FORWARD DROP"))
    assert made.walk(made.a, made.b).verdict is Verdict.PASS
    assert made.walk(made.b, made.a).disposition is Disposition.DROPPED


def test_masquerade_hides_the_client_and_is_undone() -> None:
    """The server sees the node's address, and the answer comes back to the pod."""
    made = cluster()
    made.n1.iptables(
        filter_table("-A POSTROUTING -s 10.244.1.0/24 -o flannel.1 -j MASQUERADE --random-fully", table="nat")
    )
    for protocol in ("tcp", "udp", "icmp"):
        result = made.walk(made.a, made.b, protocol=protocol)
        assert result.verdict is Verdict.PASS
        assert result.branches[0].seen_source == "10.244.1.0"


def test_endpoints_of_a_service_are_branches() -> None:
    """One of two endpoints refuses: MIXED, with each endpoint's weight and name."""
    made = cluster()
    rules = (
        (
            '-A PREROUTING -d 10.96.0.1/32 -p tcp -m comment --comment "one" -m statistic --mode random '
            "--probability 0.25 -j DNAT --to-destination 10.244.2.10:80"
        ),
        '-A PREROUTING -d 10.96.0.1/32 -p tcp -m comment --comment "two" -j DNAT --to-destination 10.244.2.10:81',
    )
    made.n1.iptables(filter_table(*rules, table="nat"))
    result = made.walk(made.a, "10.96.0.1")
    assert result.verdict is Verdict.MIXED
    assert result.outcomes() == {Outcome.CONNECTED: 0.25, Outcome.REFUSED: 0.75}
    assert [b.choices for b in result.branches] == [("one",), ()]
    assert result.representative.outcome is Outcome.REFUSED


def test_multipath_hops_are_branches() -> None:
    """A multipath route gives one branch a hop, by weight."""
    from ipaddress import ip_address

    from skoopctl.kernel.route import NextHop

    made = cluster()
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) != "10.244.2.0/24"]
    device = made.n1.index("flannel.1")
    hops = (
        NextHop(device, ip_address("10.244.2.0")),
        NextHop(made.n1.index("cni0"), ip_address("10.244.1.77"), weight=3),
    )
    made.n1.route("10.244.2.0/24", next_hops=hops)
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.MIXED
    assert result.outcomes()[Outcome.CONNECTED] == 0.25


# --- ways that end elsewhere ---------------------------------------------------------------------------------


def test_routes_in_a_circle_are_a_loop() -> None:
    """Two nodes that send a packet to each other end it as LOOP, and the client hears that its TTL is used up."""
    made = cluster(vxlan=False)
    made.n1.route("10.99.0.0/16", "192.168.3.87", "eth0")
    made.n2.route("10.99.0.0/16", "192.168.3.86", "eth0")
    result = made.walk(made.a, "10.99.0.1")
    assert (result.disposition, result.outcome) == (Disposition.LOOP, Outcome.UNREACHABLE)
    assert result.branches[0].errno == "EHOSTUNREACH"
    assert result.branches[0].forward.last.cause == "routing-loop"
    # udp_err: time exceeded is not fatal, so a connected UDP socket hears nothing.
    assert made.walk(made.a, "10.99.0.1", protocol="udp", port=53).outcome is Outcome.TIMEOUT


@pytest.mark.parametrize(
    ("kind", "disposition", "outcome"),
    [
        (RouteType.BLACKHOLE, Disposition.BLACKHOLE, Outcome.TIMEOUT),
        (RouteType.UNREACHABLE, Disposition.HOST_UNREACHABLE, Outcome.UNREACHABLE),
        (RouteType.PROHIBIT, Disposition.REJECTED, Outcome.UNREACHABLE),
    ],
)
def test_a_refusing_route_on_the_way(kind: RouteType, disposition: Disposition, outcome: Outcome) -> None:
    """A blackhole is silent; unreachable and prohibit send an ICMP error to the client."""
    made = cluster()
    made.n1.route("10.244.2.10/32", type=kind)
    result = made.walk(made.a, made.b)
    assert (result.disposition, result.outcome) == (disposition, outcome)
    assert result.branches[0].forward.last.evidence[-1].text == f"{kind.value} 10.244.2.10/32"


def test_no_route_at_home_and_no_route_on_the_way() -> None:
    """Without a route the client fails at once, and a router tells it by ICMP; UDP hears only its own kernel."""
    made = cluster()
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) not in {"0.0.0.0/0", "10.244.2.0/24"}]
    on_the_way = made.walk(made.a, made.b)
    assert (on_the_way.disposition, on_the_way.outcome) == (Disposition.NO_ROUTE, Outcome.UNREACHABLE)
    assert on_the_way.branches[0].forward.last.node == "n1"
    assert made.walk(made.a, made.b, protocol="udp").outcome is Outcome.TIMEOUT
    for protocol in ("tcp", "udp"):
        assert made.walk(made.n1, made.b, protocol=protocol).outcome is Outcome.UNREACHABLE


def test_what_leaves_the_cluster_says_so() -> None:
    """A node's own packet to a known gateway PASSes with an assumption; a pod's without masquerade is UNKNOWN."""
    made = cluster()
    made.n1.neighbour("eth0", "192.168.3.1", "02:01:01:01:01:01", "REACHABLE")
    result = made.walk(made.n1, "203.0.113.9", 443)
    assert (result.verdict, result.disposition) == (Verdict.PASS, Disposition.EXITS_CLUSTER)
    assert "203.0.113.9 was not collected" in result.assumptions[-1]
    pod = made.walk(made.a, "203.0.113.9", 443)
    assert pod.verdict is Verdict.UNKNOWN
    assert "sees the source 10.244.1.10" in pod.unknowns[0]
    made.n1.iptables(filter_table("-A POSTROUTING -s 10.244.1.0/24 -o eth0 -j MASQUERADE", table="nat"))
    assert made.walk(made.a, "203.0.113.9", 443).verdict is Verdict.PASS


def test_a_gateway_that_nobody_has_seen_is_doubt() -> None:
    """Without a neighbour entry for the gateway it is not known whether anybody has its address."""
    made = cluster()
    result = made.walk(made.n1, "203.0.113.9", 443)
    assert (result.verdict, result.disposition) == (Verdict.UNKNOWN, Disposition.EXITS_CLUSTER)
    assert result.unknowns == ("whether anybody has 192.168.3.1 on eth0 of n1 is not known",)


@pytest.mark.parametrize(
    ("protocol", "outcome"),
    [("tcp", Outcome.TIMEOUT), ("udp", Outcome.UNREACHABLE), ("icmp", Outcome.UNREACHABLE)],
)
def test_a_drop_in_the_senders_own_output_is_eperm(protocol: str, outcome: Outcome) -> None:
    """sendto() of a datagram that OUTPUT drops fails with EPERM; TCP retries until it times out."""
    made = cluster()
    made.n1.iptables(filter_table("-A OUTPUT -d 10.244.2.10/32 -j DROP"))
    result = made.walk(made.n1, made.b, protocol=protocol)
    assert (result.disposition, result.outcome) == (Disposition.DROPPED, outcome)


def test_a_drop_on_the_bridge_is_not_eperm_for_the_pod() -> None:
    """A bridged datagram that the node's POSTROUTING drops is lost in silence: send() was elsewhere."""
    made = cluster()
    made.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    made.n1.iptables(filter_table("-A POSTROUTING -p udp -j DROP", table="mangle"))
    result = made.walk(made.a, made.c, protocol="udp")
    assert (result.disposition, result.outcome) == (Disposition.DROPPED, Outcome.TIMEOUT)


def test_the_second_syn_is_established_and_hears_the_reject() -> None:
    """After a rejected SYN-ACK the SYN goes out again, is ESTABLISHED, and its rejection is heard."""
    made = cluster()
    made.n1.iptables(filter_table("-A FORWARD -m conntrack --ctstate ESTABLISHED -j REJECT"))
    result = made.walk(made.a, made.b)
    assert (result.disposition, result.outcome) == (Disposition.REJECTED, Outcome.REFUSED)
    assert result.branches[0].fatal_walk.label == "SYN-ACK"
    assert result.branches[0].others[0].label == "SYN again"
    # A datagram is not sent again by itself.
    assert made.walk(made.a, made.b, protocol="udp").outcome is Outcome.TIMEOUT


def test_a_host_that_was_not_collected_is_unknown() -> None:
    """A packet to a host that gave no answer is UNKNOWN and names it, over the underlay or behind a gateway."""
    made = cluster()
    result = made.walk(made.a, "192.168.3.88", absent="192.168.3.88")
    assert result.verdict is Verdict.UNKNOWN
    assert result.branches[0].forward.last.cause == "node-not-collected"
    assert "n9 (192.168.3.88) was not collected" in result.unknowns[0]
    behind = made.walk(made.a, "172.16.0.1", absent="172.16.0.1")
    assert behind.branches[0].forward.last.cause == "node-not-collected"


def test_a_flow_from_outside_comes_in_at_the_destinations_node() -> None:
    """An uncollected client's packet enters at the node that it asks, and the answer must leave again."""
    made = cluster()
    result = made.walk("203.0.113.9", made.n1, 22)
    assert result.verdict is Verdict.PASS
    assert result.branches[0].forward.steps[0].node == "n1"
    assert result.source_netns is None
    with pytest.raises(TargetError, match=r"203\.0\.113\.9 was not collected"):
        made.walk("203.0.113.9", made.b)


def test_two_ip_families_do_not_talk() -> None:
    """A source and a destination of different families are refused with a clear line."""
    made = cluster()
    with pytest.raises(TargetError, match="different IP families"):
        made.walk(made.a, "fd00::1")


# --- what cannot be decided ----------------------------------------------------------------------------------


def test_an_unknown_match_that_could_drop_is_unknown() -> None:
    """Both ways of an undecided DROP are walked; they end differently, and the reason names the rule."""
    made = cluster()
    made.n2.iptables(filter_table("-A FORWARD -m set --match-set blocked src -j DROP"))
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert result.unknowns == ("filter FORWARD rule 1 on n2: the set blocked is not in the dump",)
    dropped = next(b for b in result.branches if b.disposition is Disposition.DROPPED)
    assert "the set blocked" in dropped.fatal_walk.last.unknown


def test_an_unknown_that_does_not_matter_is_not_told() -> None:
    """Where both ways of an undecided match come to the same end the verdict is certain."""
    made = cluster()
    made.n2.iptables(filter_table("-A FORWARD -m set --match-set allowed src -j ACCEPT"))
    result = made.walk(made.a, made.b)
    assert (result.verdict, result.unknowns) == (Verdict.PASS, ())


@pytest.mark.parametrize("part", ["iptables-nft", "iptables-legacy", "nft"])
def test_rules_that_were_not_read_are_unknown(part: str) -> None:
    """A rule set that is missing may drop anything."""
    made = cluster()
    made.n2.gaps[part] = "denied: no root"
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert f"rules of n2 (host) could not be read: {part}: denied: no root" in result.unknowns


def test_routes_that_were_not_read_are_unknown() -> None:
    """Missing routes are not an empty table."""
    made = cluster()
    made.n1.gaps["route"] = "truncated: cap"
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "routing on n1 (host) is uncertain" in result.unknowns[0]


def test_sockets_that_were_not_read_are_unknown() -> None:
    """Without the list of sockets nobody knows whether a port is open."""
    made = cluster()
    made.b.sockets.clear()
    made.b.gaps["proc-net-tcp"] = "denied"
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "sockets of n2 (b) were not read" in result.unknowns[0]


@pytest.mark.parametrize("what", ["xdp", "tc"])
def test_programs_on_devices_are_opaque(what: str) -> None:
    """An XDP or tc program may do anything: UNKNOWN, with device and node."""
    made = cluster()
    if what == "xdp":
        made.n2.change("eth0", xdp=True)
    else:
        made.n2.more["tc_devices"] = frozenset({made.n2.index("eth0")})
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "on eth0 of n2 decides, and was not read" in result.unknowns[0]


def test_ipvs_services_are_opaque() -> None:
    """A node with IPVS services may take the packet elsewhere."""
    made = cluster()
    made.n2.more["ipvs_services"] = True
    assert made.walk(made.a, made.n2, 22).verdict is Verdict.UNKNOWN


def test_egress_chains_drop_last() -> None:
    """An nft netdev chain at a device's egress drops what is about to leave there."""
    made = cluster()
    place = {"family": "netdev", "table": "d"}
    base = {"name": "c", "type": "filter", "hook": "egress", "prio": 0, "policy": "drop", "dev": "eth0"}
    made.n1.nftables({"table": {"family": "netdev", "name": "d"}}, {"chain": place | base})
    result = made.walk(made.a, made.b)
    last = result.branches[0].forward.last
    assert (result.disposition, last.hook, last.node) == (Disposition.DROPPED, "netdev egress", "n1")


def test_ingress_chains_drop_before_everything() -> None:
    """An nft netdev chain on one device drops what comes in there, and nothing elsewhere."""
    made = cluster()
    place = {"family": "netdev", "table": "d"}
    base = {"name": "c", "type": "filter", "hook": "ingress", "prio": 0, "policy": "drop", "dev": "eth0"}
    made.n2.nftables({"table": {"family": "netdev", "name": "d"}}, {"chain": place | base})
    assert made.walk(made.a, made.b).branches[0].forward.last.cause == "arp-filtered"
    made.n1.neighbour("eth0", "192.168.3.87", made.n2.dev("eth0").mac)
    result = made.walk(made.a, made.b)
    assert (result.disposition, result.branches[0].forward.last.hook) == (
        Disposition.DROPPED,
        "netdev ingress",
    )
    assert made.walk(made.a, made.n1, 22).verdict is Verdict.PASS


def test_a_route_whose_device_is_not_there_is_unknown() -> None:
    """A route by a device that the dump of links does not hold ends as UNKNOWN."""
    made = cluster()
    index = made.n1.index("flannel.1")
    del made.n1.links[index]
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert result.branches[0].forward.last.cause == "evidence-incomplete"


def test_an_ipv6_wildcard_socket_takes_ipv4_with_a_note() -> None:
    """Whether ``[::]`` takes IPv4 too is not told by /proc: it is taken to, and said so."""
    world = World()
    host = world.host("n1")
    host.link("eth0")
    host.address("eth0", "192.168.3.86/24")
    host.listen(80, ip="::", dual_stack=None)
    result = world.walk(host, host)
    assert result.verdict is Verdict.PASS
    assert "takes IPv4 too" in result.assumptions[0]
    host.sockets.clear()
    host.listen(80, ip="::", dual_stack=False)
    assert world.walk(host, host).outcome is Outcome.REFUSED


def test_a_socket_bound_to_another_address_does_not_take_the_packet() -> None:
    """A program that listens on 127.0.0.1 only refuses everybody else."""
    made = cluster()
    made.b.sockets.clear()
    made.b.listen(80, ip="127.0.0.1")
    assert made.walk(made.a, made.b).outcome is Outcome.REFUSED


def test_every_step_keeps_its_place_and_the_packet() -> None:
    """Steps name node, namespace, device and the packet before and after; only the last one ends."""
    made = cluster()
    steps = made.walk(made.a, made.b).branches[0].forward.steps
    assert [s for s in steps if s.ends is not None] == [steps[-1]]
    assert (steps[0].kind, steps[0].node, steps[0].namespace) == (StepKind.SEND, "n1", "a")
    assert (steps[-1].kind, steps[-1].node, steps[-1].namespace) == (StepKind.SOCKET, "n2", "b")
    assert all(s.before is not None and s.after is not None for s in steps)


_DIVIDED = (
    "*nat\n:PREROUTING ACCEPT\n"
    "-A PREROUTING -p tcp -m tcp --sport 40000:65535 -j DNAT --to-destination 10.244.2.10\nCOMMIT\n"
)


def test_what_follows_is_of_the_port_that_a_rule_picked() -> None:
    """Where a rule divides the client's ports, the ACK is of the SYN's part: ESTABLISHED on every node."""
    made = cluster()
    made.n1.iptables(_DIVIDED)
    made.n2.iptables(filter_table("-A FORWARD -p tcp -m tcp ! --syn -m conntrack --ctstate NEW -j DROP"))
    result = made.walk(made.a, made.b)
    assert len(result.branches) == 2
    assert (result.verdict, result.outcome) == (Verdict.PASS, Outcome.CONNECTED)


def test_a_syn_that_is_sent_again_is_of_that_port_too() -> None:
    """A SYN-ACK that is rejected makes the connection ESTABLISHED; the next SYN meets the rule and is refused."""
    made = cluster()
    made.n1.iptables(_DIVIDED)
    made.n2.iptables(filter_table("-A FORWARD -p tcp -m conntrack --ctstate ESTABLISHED -j REJECT"))
    result = made.walk(made.a, made.b)
    assert {branch.outcome for branch in result.branches} == {Outcome.REFUSED}
    assert all("SYN again" in [walk.label for walk in branch.walks] for branch in result.branches)
