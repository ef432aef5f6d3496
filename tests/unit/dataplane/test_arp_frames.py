"""ARP as frames, which nft's chains at devices and in bridges may drop (net/netfilter/nft_chain_filter.c)."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from tests.support.worlds import Cluster, cluster

DROP: dict[str, Any] = {"drop": None}


def match(left: dict[str, Any], right: Any) -> dict[str, Any]:
    """Return a comparison."""
    return {"match": {"op": "==", "left": left, "right": right}}


def field(protocol: str, name: str, right: Any) -> dict[str, Any]:
    """Return a comparison with a header's field."""
    return match({"payload": {"protocol": protocol, "field": name}}, right)


def filtered(*statements: dict[str, Any], family: str = "bridge", hook: str = "prerouting") -> Cluster:
    """Return a cluster in which one chain of n1 has one rule."""
    made = cluster()
    place = {"family": family, "table": "t"}
    base = {"name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": "accept"}
    made.n1.nftables(
        {"table": {"family": family, "name": "t"}},
        {"chain": place | base | ({} if family == "bridge" else {"dev": "veth-a"})},
        {"rule": place | {"chain": "c", "handle": 2, "expr": list(statements)}},
    )
    return made


def cause(result: PathResult) -> str:
    """Return the cause of the first lost packet."""
    return result.branches[0].fatal_walk.last.cause if result.verdict is not Verdict.PASS else ""


@pytest.mark.parametrize(
    ("expected", "statements"),
    [
        ("arp-filtered", [DROP]),
        ("arp-filtered", [field("ether", "type", "arp"), DROP]),
        ("arp-filtered", [match({"meta": {"key": "protocol"}}, "arp"), DROP]),
        ("arp-filtered", [field("arp", "operation", "request"), DROP]),
        ("arp-filtered", [field("arp", "operation", "reply"), DROP]),
        ("arp-filtered", [field("arp", "daddr ip", "10.244.1.11"), DROP]),
        ("arp-filtered", [match({"ct": {"key": "state"}}, "untracked"), DROP]),
        ("arp-filtered", [{"reject": None}]),
        ("arp-filtered", [field("ether", "daddr", "ff:ff:ff:ff:ff:ff"), DROP]),
        ("arp-filtered", [match({"meta": {"key": "pkttype"}}, "broadcast"), DROP]),
        ("netfilter-drop", [field("ip", "daddr", "10.244.1.11"), DROP]),
        ("netfilter-drop", [field("tcp", "dport", 80), DROP]),
        ("netfilter-drop", [field("th", "dport", 80), DROP]),
        ("netfilter-drop", [match({"meta": {"key": "l4proto"}}, "tcp"), DROP]),
        ("netfilter-drop", [field("ether", "type", "ip"), DROP]),
        ("netfilter-reject", [{"reject": {"type": "icmp", "expr": "host-unreachable"}}]),
        ("", [field("arp", "saddr ip", "10.244.1.77"), DROP]),
        ("", [field("ether", "type", "ip6"), DROP]),
    ],
    ids=str,
)
def test_a_bridge_rule_sees_arp(expected: str, statements: list[dict[str, Any]]) -> None:
    """A rule that does not ask for IP drops the question or its answer; one that does drops the packet itself."""
    made = filtered(*statements)
    assert cause(made.walk(made.a, made.c)) == expected


@pytest.mark.parametrize("hook", ["prerouting", "forward", "postrouting"])
def test_the_sender_hears_that_the_host_is_unreachable(hook: str) -> None:
    """A drop of everything in a bridge is no silence: connect() fails with EHOSTUNREACH."""
    made = filtered(DROP, hook=hook)
    result = made.walk(made.a, made.c)
    assert (result.disposition, result.outcome) == (Disposition.HOST_UNREACHABLE, Outcome.UNREACHABLE)
    assert result.branches[0].errno == "EHOSTUNREACH"
    assert result.branches[0].forward.last.evidence[-1].kind == "nft-rule"


def test_a_known_neighbour_needs_no_arp() -> None:
    """With an entry nothing is asked, and the rule drops the packet."""
    made = filtered(DROP)
    made.a.neighbour("eth0", "10.244.1.11", made.c.dev("eth0").mac)
    assert cause(made.walk(made.a, made.c)) == "netfilter-drop"


@pytest.mark.parametrize(("family", "expected"), [("netdev", "arp-filtered"), ("inet", "netfilter-drop")])
def test_ingress_of_inet_lets_arp_through(family: str, expected: str) -> None:
    """A chain of the family inet at a device's ingress sees IP only; one of netdev sees every frame."""
    made = filtered(DROP, family=family, hook="ingress")
    assert cause(made.walk(made.a, made.c)) == expected


@pytest.mark.parametrize("hook", ["input", "output"])
def test_a_bridges_own_frames_meet_input_and_output(hook: str) -> None:
    """A pod that asks its gateway passes input, and the gateway's answer output."""
    made = filtered(DROP, hook=hook)
    assert cause(made.walk(made.a, made.b)) == "arp-filtered"
    assert made.walk(made.a, made.c).verdict is Verdict.PASS


def test_two_that_answer_for_one_address_are_a_race() -> None:
    """Which of two hosts with one address is heard first is not known: both ways are walked."""
    made = cluster()
    made.c.listen(80)
    assert made.walk(made.a, made.c).verdict is Verdict.PASS
    twin = made.world.pod("n1", "twin")
    made.world.veth(twin, "eth0", made.n1, "veth-twin")
    made.n1.port("veth-twin", "cni0")
    twin.address("eth0", "10.244.1.11/24")
    result = made.walk(made.a, made.c)
    assert result.verdict is Verdict.UNKNOWN
    assert {branch.outcome for branch in result.branches} == {Outcome.CONNECTED, Outcome.REFUSED}
    assert "all answer for 10.244.1.11" in result.unknowns[0]


def test_a_rule_for_a_frames_goal_drops_what_is_sent_to_it() -> None:
    """The destination's MAC address is known once the neighbour is: the question is for all, the packet for one."""
    made = cluster()
    macs = made.c.dev("eth0").mac, made.a.dev("eth0").mac
    for mac, expected in ((macs[0], "netfilter-drop"), (macs[1], "arp-filtered"), ("02:00:00:00:00:77", "")):
        seen = filtered(field("ether", "daddr", mac), DROP)
        result = seen.walk(seen.a, seen.c)
        assert (result.verdict is not Verdict.UNKNOWN, cause(result)) == (True, expected)
