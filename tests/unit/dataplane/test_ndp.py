"""Neighbour discovery meets the firewalls of both ends (live: tests/kernel/test_flows_live.py)."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
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
