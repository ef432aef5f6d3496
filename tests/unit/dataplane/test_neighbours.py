"""From an address to a MAC address: the neighbour table, and who would answer ARP (net/ipv4/arp.c)."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from skoopctl.kernel.route import RuleAction
from tests.support.worlds import Box, World, cluster

NOBODY = "02:ff:ff:ff:ff:ff"


def end(result: PathResult) -> tuple[Disposition, str, str]:
    """Return how the first lost packet ended: disposition, cause and node."""
    walk = result.branches[0].fatal_walk
    return walk.disposition, walk.last.cause, walk.last.node


def pair() -> tuple[World, Box, Box]:
    """Join a pod to its host with one veth, without a bridge."""
    world = World()
    host, pod = world.host("n1"), world.pod("n1", "p")
    world.veth(pod, "eth0", host, "veth0")
    pod.address("eth0", "10.0.0.1/24")
    host.address("veth0", "10.0.0.254/24")
    host.listen(80)
    return world, host, pod


@pytest.mark.parametrize("state", ["PERMANENT", "NOARP", "REACHABLE", "STALE", "DELAY", "PROBE"])
def test_a_valid_entry_is_used(state: str) -> None:
    """Every valid state gives its MAC address, and the entry is the evidence."""
    world, host, pod = pair()
    pod.neighbour("eth0", "10.0.0.254", host.dev("veth0").mac, state)
    result = world.walk(pod, host)
    assert result.verdict is Verdict.PASS
    assert any(
        state in e.text for s in result.branches[0].forward.steps for e in s.evidence if e.kind == "neighbour"
    )


@pytest.mark.parametrize("state", ["FAILED", "INCOMPLETE"])
def test_a_failed_entry_asks_again(state: str) -> None:
    """A failed entry does not decide: whoever has the address would answer now."""
    world, host, pod = pair()
    pod.neighbour("eth0", "10.0.0.254", "", state)
    assert world.walk(pod, host).verdict is Verdict.PASS


def test_nobody_answers_for_an_address_without_an_owner() -> None:
    """After its retries the kernel tells a TCP client no route to host; a UDP client hears nothing."""
    world, _, pod = pair()
    result = world.walk(pod, "10.0.0.77")
    assert end(result) == (Disposition.HOST_UNREACHABLE, "neighbour-unreachable", "n1")
    assert result.outcome is Outcome.UNREACHABLE
    assert world.walk(pod, "10.0.0.77", protocol="udp").outcome is Outcome.TIMEOUT


def test_a_router_tells_the_sender_of_an_address_without_an_owner() -> None:
    """The node's ICMP host unreachable reaches a pod that asks for a pod address nobody has."""
    made = cluster()
    result = made.walk(made.b, "10.244.1.99")
    assert end(result)[:2] == (Disposition.HOST_UNREACHABLE, "neighbour-unreachable")
    assert result.outcome is Outcome.UNREACHABLE
    assert made.walk(made.b, "10.244.1.99", protocol="udp").outcome is Outcome.TIMEOUT


def test_a_permanent_wrong_mac_is_somebody_elses() -> None:
    """The frame arrives and is ignored: a timeout, however long the entry stands."""
    world, host, pod = pair()
    pod.neighbour("eth0", "10.0.0.254", NOBODY)
    result = world.walk(pod, host)
    assert end(result)[:2] == (Disposition.DROPPED, "wrong-mac")
    assert result.outcome is Outcome.TIMEOUT
    assert NOBODY in result.branches[0].forward.last.decision


def test_a_promiscuous_device_does_not_mend_a_wrong_mac_for_others() -> None:
    """A promiscuous device sees the frame, and IP does not take what is for somebody else."""
    world, host, pod = pair()
    pod.neighbour("eth0", "10.0.0.254", NOBODY)
    host.change("veth0", promiscuous=True)
    assert world.walk(pod, host).branches[0].forward.last.cause == "wrong-mac"


@pytest.mark.parametrize(("ignore", "answers"), [(0, True), (1, False), (2, False)])
def test_arp_ignore_refuses_addresses_of_other_devices(ignore: int, answers: bool) -> None:
    """With arp_ignore a device answers only for its own addresses; without, for all of the host's."""
    world, host, pod = pair()
    host.link("eth1")
    host.address("eth1", "10.0.0.200/32")
    host.set("net/ipv4/conf/all/arp_ignore", ignore)
    assert (world.walk(pod, "10.0.0.200").verdict is Verdict.PASS) is answers
    assert world.walk(pod, host).verdict is Verdict.PASS


@pytest.mark.parametrize("proxy", [0, 1])
def test_proxy_arp_answers_for_what_it_routes(proxy: int) -> None:
    """Calico's 169.254.1.1: the host answers for an address that it does not have, if it routes it elsewhere."""
    made = cluster()
    made.a.routes = [r for r in made.a.routes if r.table == 255]
    made.a.route("169.254.1.1/32", dev="eth0", scope=253)
    made.a.route("default", "169.254.1.1", "eth0", prefsrc=made.a.addresses[-1].ip)
    made.n1.set("net/ipv4/conf/cni0/proxy_arp", proxy)
    assert (made.walk(made.a, made.b).verdict is Verdict.PASS) is bool(proxy)


def test_a_proxy_with_an_uncertain_way_is_uncertain_further_on() -> None:
    """A rule that may refuse the way leaves the flow unknown: that nobody answers for 169.254.1.1 is not decided."""
    made = cluster()
    made.a.routes = [r for r in made.a.routes if r.table == 255]
    made.a.route("169.254.1.1/32", dev="eth0", scope=253)
    made.a.route("default", "169.254.1.1", "eth0", prefsrc=made.a.addresses[-1].ip)
    made.n1.set("net/ipv4/conf/cni0/proxy_arp", 1)
    made.n1.rule(0, table=255)
    made.n1.rule(100, action=RuleAction.UNREACHABLE, undecoded=("attribute 99",))
    made.n1.rule(32766, table=254)
    assert made.walk(made.a, made.b).verdict is Verdict.UNKNOWN
    made.n1.set("net/ipv4/conf/cni0/proxy_arp", 0)
    assert end(made.walk(made.a, made.b))[0] is Disposition.HOST_UNREACHABLE


def test_a_proxy_entry_answers_for_one_address() -> None:
    """``ip neigh add proxy`` answers for the one address, on a router that has a way to it."""
    world, host, pod = pair()
    host.link("eth1")
    host.route("10.9.0.0/24", dev="eth1")
    pod.route("10.9.0.1/32", dev="eth0")
    assert end(world.walk(pod, "10.9.0.1"))[0] is Disposition.HOST_UNREACHABLE
    host.neighbour("veth0", "10.9.0.1", "", "NONE", proxy=True)
    assert end(world.walk(pod, "10.9.0.1"))[0] is not Disposition.HOST_UNREACHABLE


def test_a_device_that_is_down_sends_nothing() -> None:
    """An out device that is down ends the way with its name."""
    world, host, pod = pair()
    pod.change("eth0", up=False)
    result = world.walk(pod, host)
    assert (result.disposition, result.branches[0].forward.last.cause) == (Disposition.DROPPED, "link-down")


def test_tunnels_outside_the_model_are_unknown() -> None:
    """An IPsec device ends as UNKNOWN with its kind and the reason, never as a guess."""
    made = cluster()
    made.n1.link("xfrm0", kind="xfrm")
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) != "10.244.2.0/24"]
    made.n1.route("10.244.2.0/24", dev="xfrm0")
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "xfrm0 is a xfrm device: IPsec" in result.unknowns[0]
