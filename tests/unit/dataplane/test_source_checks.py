"""What a router refuses before it forwards: sources, loopback addresses, other people's packets."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from skoopctl.kernel.route import RouteType
from tests.support.worlds import Cluster, cluster


def end(result: PathResult) -> tuple[Disposition, str, str, str]:
    """Return how a flow's first lost packet ended: disposition, cause, node and device."""
    walk = result.branches[0].fatal_walk
    return walk.disposition, walk.last.cause, walk.last.node, walk.last.device


def asymmetric() -> Cluster:
    """Make a cluster in which n2 would answer the pods of n1 over its underlay, not its tunnel."""
    made = cluster()
    made.n2.routes = [r for r in made.n2.routes if str(r.destination) != "10.244.1.0/24"]
    made.n2.route("10.244.1.0/24", "192.168.3.86", "eth0")
    made.n1.set("net/ipv4/conf/all/rp_filter", 0)
    return made


@pytest.mark.parametrize(
    ("everywhere", "own", "dropped"),
    [(0, 0, False), (1, 0, True), (0, 1, True), (1, 2, False), (2, 1, False)],
)
def test_the_larger_rp_filter_counts(everywhere: int, own: int, dropped: bool) -> None:
    """Strict (1) drops what came in by another device than its answer would take; loose (2) and off do not."""
    made = asymmetric()
    made.n2.set("net/ipv4/conf/all/rp_filter", everywhere)
    made.n2.set("net/ipv4/conf/flannel.1/rp_filter", own)
    result = made.walk(made.a, made.b)
    if dropped:
        assert end(result) == (Disposition.RP_FILTER, "rp-filter", "n2", "flannel.1")
    else:
        assert result.verdict is Verdict.PASS


@pytest.mark.parametrize("mode", [1, 2])
def test_a_source_without_any_route_fails_even_the_loose_check(mode: int) -> None:
    """Loose mode still wants some way back to the source."""
    made = cluster()
    made.n2.set("net/ipv4/conf/flannel.1/rp_filter", mode)
    made.n2.routes = [r for r in made.n2.routes if str(r.destination) not in {"10.244.1.0/24", "0.0.0.0/0"}]
    assert end(made.walk(made.a, made.b))[:2] == (Disposition.RP_FILTER, "rp-filter")


def test_the_evidence_is_the_sysctl_that_counts() -> None:
    """The setting in force is shown with its value, and the route back beside it."""
    made = asymmetric()
    made.n2.set("net/ipv4/conf/all/rp_filter", 1)
    lines = made.walk(made.a, made.b).branches[0].fatal_walk.last.evidence
    assert lines[0].text == "net.ipv4.conf.all.rp_filter = 1"
    assert lines[1].text == "10.244.1.0/24 via 192.168.3.86 dev eth0"


@pytest.mark.parametrize("accept_local", [0, 1])
def test_a_packet_from_the_receivers_own_address_is_dropped(accept_local: int) -> None:
    """A packet from outside that claims an own address is dropped unless accept_local is on."""
    made = cluster(vxlan=False)
    made.n2.address("cni0", "10.244.1.10/32")
    made.n2.set("net/ipv4/conf/eth0/accept_local", accept_local)
    result = made.walk(made.a, made.b)
    step = result.branches[0].forward.last
    assert (step.cause == "own-source") is (not accept_local)


def test_loopback_addresses_are_martians_on_a_device() -> None:
    """A packet to 127/8 that comes in by a real device is dropped unless route_localnet is on there."""
    made = cluster()
    made.a.routes = [
        r for r in made.a.routes if r.type is not RouteType.LOCAL or not r.destination.is_loopback
    ]
    made.a.route("127.0.0.0/8", "10.244.1.1", "eth0")
    assert end(made.walk(made.a, "127.0.0.1", 22)) == (Disposition.DROPPED, "martian", "n1", "cni0")
    made.n1.set("net/ipv4/conf/cni0/route_localnet", 1)
    result = made.walk(made.a, "127.0.0.1", 22)
    assert result.branches[0].forward.disposition is Disposition.DELIVERED


@pytest.mark.parametrize(
    ("protocol", "outcome", "errno"), [("tcp", Outcome.TIMEOUT, ""), ("udp", Outcome.UNREACHABLE, "EINVAL")]
)
def test_a_loopback_source_may_not_leave(protocol: str, outcome: Outcome, errno: str) -> None:
    """A packet from 127.0.0.1 that DNAT sends elsewhere needs route_localnet on the device that it leaves by."""
    made = cluster()
    made.b.listen(80, "udp")
    made.n1.address("lo", "127.0.0.1/8")
    to = f"-A OUTPUT -p {protocol} -d 127.0.0.1 -j DNAT --to-destination {made.b.ip}:80"
    made.n1.iptables(
        f"*nat\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n{to}\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
    )
    result = made.walk(made.n1, "127.0.0.1", protocol=protocol)
    assert end(result) == (Disposition.DROPPED, "martian", "n1", "flannel.1")
    assert (result.outcome, result.branches[0].errno) == (outcome, errno)
    made.n1.set("net/ipv4/conf/flannel.1/route_localnet", 1)
    assert made.walk(made.n1, "127.0.0.1", protocol=protocol).verdict is Verdict.PASS


def test_an_answer_from_loopback_may_not_leave_either() -> None:
    """DNAT to 127.0.0.1 needs route_localnet where the request comes in and where the answer goes out."""
    made = cluster()
    made.n2.listen(80)
    made.n2.address("lo", "127.0.0.1/8")
    to = "-A PREROUTING -p tcp -j DNAT --to-destination 127.0.0.1:80"
    made.n2.iptables(f"*nat\n:PREROUTING ACCEPT\n{to}\nCOMMIT\n")
    made.n2.set("net/ipv4/conf/eth0/route_localnet", 1)
    ended = end(made.walk(made.a, made.n2.ip))
    assert ended == (Disposition.DROPPED, "martian", "n2", "flannel.1")


def test_forwarding_counts_on_the_device_that_the_packet_came_in_on() -> None:
    """A node drops what is not for it when the input device does not forward; the output's does not count."""
    made = cluster()
    made.n1.set("net/ipv4/conf/flannel.1/forwarding", 0)
    assert made.walk(made.a, made.b, protocol="udp").branches[0].forward.disposition is Disposition.DELIVERED
    made.n1.set("net/ipv4/conf/cni0/forwarding", 0)
    assert end(made.walk(made.a, made.b)) == (Disposition.DROPPED, "forwarding-off", "n1", "cni0")


def test_a_device_without_a_setting_follows_ip_forward() -> None:
    """net.ipv4.ip_forward stands in where the device's own value was not read."""
    made = cluster()
    made.n1.set("net/ipv4/ip_forward", 0)
    assert end(made.walk(made.a, made.b))[1] == "forwarding-off"


def test_forwarding_that_was_not_read_is_unknown() -> None:
    """Without the sysctl both ways are walked."""
    made = cluster()
    del made.n1.sysctls["net/ipv4/ip_forward"]
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "whether n1 forwards from cni0 was not read" in result.unknowns


def test_delivery_to_the_node_itself_needs_no_forwarding() -> None:
    """A pod reaches its own node with forwarding off."""
    made = cluster()
    made.n1.set("net/ipv4/ip_forward", 0)
    assert made.walk(made.a, made.n1, 22).verdict is Verdict.PASS
