"""Neighbour discovery meets the firewalls of both ends (live: tests/kernel/test_flows_live.py)."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from skoopctl.kernel.route import RouteType
from tests.support.broken import dual_stack
from tests.support.worlds import Box, Cluster, cluster, filter_table

FROM, TO = "fd00:1::10", "fd00:1::11"


@pytest.fixture
def made() -> Cluster:
    """Return a healthy dual-stack cluster."""
    built = cluster()
    dual_stack(built)
    return built


def rule(box: Box, text: str) -> None:
    """Add a rule of IPv6 to the filter table."""
    box.iptables(filter_table(text), family=6)


def causes(result: PathResult) -> set[str]:
    """Return the causes of all packets that did not arrive."""
    return {walk.last.cause for branch in result.branches for walk in branch.walks}


@pytest.mark.parametrize(
    ("who", "text"),
    [
        ("c", "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP"),
        ("c", "-A OUTPUT -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j DROP"),
        ("a", "-A OUTPUT -p ipv6-icmp -m icmp6 --icmpv6-type neighbour-solicitation -j DROP"),
        ("a", "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 136/0 -j DROP"),
        ("c", "-A INPUT -m conntrack ! --ctstate ESTABLISHED,RELATED -p ipv6-icmp -j DROP"),
        ("c", "-A INPUT -d ff02::/16 -j DROP"),
        ("c", "-A INPUT -m pkttype --pkt-type multicast -j DROP"),
    ],
)
def test_a_dropped_discovery_makes_the_neighbour_unreachable(made: Cluster, who: str, text: str) -> None:
    """Whichever of the two packets a rule drops, at either end, the sender hears 'address unreachable'."""
    rule(getattr(made, who), text)
    result = made.walk(FROM, TO)
    assert (result.verdict, result.disposition) == (Verdict.FAIL, Disposition.HOST_UNREACHABLE)
    assert (result.branches[0].errno, causes(result) & {"ndp-filtered"}) == ("EHOSTUNREACH", {"ndp-filtered"})
    last = result.branches[0].forward.last
    assert last.evidence[-1].text == text
    assert "neighbour" in last.decision
    assert made.walk(made.a, made.c).verdict is Verdict.PASS


def test_a_neighbour_that_is_known_needs_no_discovery(made: Cluster) -> None:
    """With an entry in the table nothing is asked."""
    rule(made.c, "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP")
    made.a.neighbour("eth0", TO, made.c.dev("eth0").mac, "REACHABLE")
    result = made.walk(FROM, TO)
    assert result.verdict is Verdict.PASS


def test_the_answer_needs_no_discovery_of_its_own(made: Cluster) -> None:
    """Who was asked has learned the asker's address: a client that drops solicitations loses nothing."""
    rule(made.a, "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP")
    assert made.walk(FROM, TO).verdict is Verdict.PASS


def test_echo_and_errors_are_not_discovery(made: Cluster) -> None:
    """A rule for another type of ICMPv6 leaves discovery alone."""
    rule(made.c, "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j DROP")
    assert made.walk(FROM, TO).verdict is Verdict.PASS
    assert made.walk(FROM, TO, protocol="icmp").outcome is Outcome.TIMEOUT


def test_only_the_device_that_has_an_address_answers_for_it(made: Cluster) -> None:
    """ndisc_recv_ns asks for the address on the very device: unlike ARP, one on another device does not count."""
    made.c.link("other")
    made.c.address("other", "fd00:1::77/128")
    made.c.address("other", "10.244.1.77/32")
    assert made.walk(FROM, "fd00:1::77").disposition is Disposition.HOST_UNREACHABLE
    assert made.walk(made.a, "10.244.1.77").verdict is Verdict.PASS


def test_a_listed_proxy_answers(made: Cluster) -> None:
    """With proxy_ndp and an entry, a router answers for somebody else; without the entry it does not."""
    made.n1.set("net/ipv6/conf/all/proxy_ndp", 1)
    made.n1.route("fd00:1::88/128", dev="eth0")
    assert made.walk(FROM, "fd00:1::88").disposition is Disposition.HOST_UNREACHABLE
    made.n1.neighbour("cni0", "fd00:1::88", "", proxy=True)
    assert made.walk(FROM, "fd00:1::88").disposition is not Disposition.HOST_UNREACHABLE


def test_a_rule_that_cannot_be_decided_leaves_discovery_unknown(made: Cluster) -> None:
    """A match outside of the model at the neighbour: both ways."""
    rule(made.c, "-A INPUT -p ipv6-icmp -m geoip --source-country XX -j DROP")
    result = made.walk(FROM, TO)
    assert result.verdict is Verdict.UNKNOWN
    assert result.conditions


def bridged(made: Cluster, *texts: str, table: str = "filter") -> None:
    """Have n1's bridge show IPv6 to ip6tables, with these rules there."""
    made.n1.set("net/bridge/bridge-nf-call-ip6tables", 1)
    made.n1.iptables(filter_table(*texts, table=table), family=6)


@pytest.mark.parametrize("switch", [0, 1])
def test_a_bridge_shows_discovery_to_ip6tables(made: Cluster, switch: int) -> None:
    """With bridge-nf-call-ip6tables a DROP of bridged packets drops the solicitation first."""
    bridged(made, "-A FORWARD -m physdev --physdev-is-bridged -j DROP")
    made.n1.set("net/bridge/bridge-nf-call-ip6tables", switch)
    result = made.walk(FROM, TO)
    assert (result.branches[0].errno, causes(result) & {"ndp-filtered"}) == (
        ("EHOSTUNREACH", {"ndp-filtered"}) if switch else ("", set())
    )


def test_a_bridge_keeps_the_mark_that_prerouting_gives(made: Cluster) -> None:
    """The solicitation is UNTRACKED in the bridge too, and its mark is there in FORWARD."""
    mark = "-A PREROUTING -m conntrack --ctstate UNTRACKED -j MARK --set-xmark 0x4000/0x4000"
    bridged(made, mark, table="mangle")
    bridged(made, "-A FORWARD -m mark --mark 0x4000/0x4000 -j REJECT")
    assert "ndp-filtered" in causes(made.walk(FROM, TO))


def test_a_hop_limit_that_a_rule_sets_makes_discovery_invalid(made: Cluster) -> None:
    """A hop limit other than 255 says that the packet was forwarded: ndisc_rcv ignores it."""
    made.a.iptables(filter_table("-A INPUT -p ipv6-icmp -j HL --hl-set 64", table="mangle"), family=6)
    result = made.walk(FROM, TO)
    assert causes(result) & {"ndp-filtered"}
    assert "hop limit to 64" in result.branches[0].forward.last.decision


def test_of_several_routers_with_one_address_the_one_on_the_wire_is_asked(made: Cluster) -> None:
    """Every node has fe80::1: rules of another device that has it too do not count."""
    made.n2.link("other")
    made.n2.change("other", mac=made.c.dev("eth0").mac)
    made.n2.address("other", TO + "/128")
    rule(made.n2, "-A INPUT -p ipv6-icmp -j DROP")
    assert made.walk(FROM, TO).verdict is Verdict.PASS


def test_who_was_asked_knows_only_the_address_that_asked(made: Cluster) -> None:
    """A router asks from an address of its own: a pod does not learn from that where the packet came from."""
    nat = "-A PREROUTING -d fd00:96::1/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00:1::11]:80"
    made.n1.iptables(filter_table(nat, table="nat"), family=6)
    made.n1.set("net/bridge/bridge-nf-call-ip6tables", 0)
    assert "answer-not-translated" in causes(made.walk(FROM, "fd00:96::1"))


def test_masquerade_of_ipv6_looks_at_the_destination(made: Cluster) -> None:
    """With a link-local next hop the source is global all the same (nf_nat_masquerade_ipv6)."""
    gateway = "fe80::1"
    made.n1.address("cni0", gateway + "/64")
    made.a.address("eth0", "fe80::10/64")
    made.a.routes = [r for r in made.a.routes if r.destination is None or str(r.destination) != "::/0"]
    made.a.route("fd00:96::/64", gateway, "eth0")
    nat = "-A PREROUTING -d fd00:96::1/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00:1::11]:80"
    made.n1.iptables(filter_table(nat, "-A POSTROUTING -j MASQUERADE", table="nat"), family=6)
    made.a.iptables(filter_table("-A POSTROUTING -j MASQUERADE", table="nat"), family=6)
    result = made.walk(FROM, "fd00:96::1")
    assert (result.verdict, result.branches[0].seen_source) == (Verdict.PASS, "fd00:1::1")
    assert any(
        s.before and s.before.source == FROM for s in result.branches[0].forward.steps if s.node == "n1"
    )


def test_a_local_route_alone_is_no_source_for_udp(made: Cluster) -> None:
    """A server answers UDP over IPv6 only from an address that a device has; TCP does not mind."""
    made.c.route("fd00:1::77/128", dev="lo", type=RouteType.LOCAL, table=255)
    made.a.route("fd00:1::77/128", TO, "eth0")
    assert made.walk(FROM, "fd00:1::77").verdict is Verdict.PASS
    assert made.walk(FROM, "fd00:1::77", protocol="udp").outcome is Outcome.TIMEOUT
    made.c.set("net/ipv6/ip_nonlocal_bind", 1)
    assert made.walk(FROM, "fd00:1::77", protocol="udp").outcome is Outcome.CONNECTED
