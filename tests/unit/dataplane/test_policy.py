"""Policy rules, tables of both families, next hops and sources: what a walk makes of them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from skoopctl.dataplane.packet import Ports
from skoopctl.dataplane.routes.query import Query
from skoopctl.dataplane.routes.routing import Router
from skoopctl.dataplane.routes.source_check import martian, source_refused
from skoopctl.dataplane.trace import Outcome, Verdict
from skoopctl.kernel.address import Address
from skoopctl.kernel.neighbour import Neighbour, NeighbourState
from skoopctl.kernel.route import NextHop, PolicyRule, Route, RouteType, RuleAction
from tests.support.worlds import Box, World, cluster, packet


def router_box() -> Box:
    """Make a host with two devices."""
    made = Box("n1", "n1", 1000, is_host=True)
    for number in range(2):
        made.link(f"eth{number}")
        made.address(f"eth{number}", f"10.{number}.0.254/24")
    return made


def rules(made: Box, *own: PolicyRule) -> None:
    """Give a box rules beside the kernel's."""
    made.rules = [
        PolicyRule(4, 0, table=255, text="0:\tfrom all lookup local"),
        *own,
        PolicyRule(4, 32766, table=254, text="32766:\tfrom all lookup main"),
    ]


def query(destination: str, **more: Any) -> Query:
    """Ask for a destination."""
    address = ip_address(destination)
    return Query(int(address), address.version, **more)


def test_a_rule_divides_a_range_of_ports() -> None:
    """A rule for some of the client's ports sends that share of flows elsewhere."""
    made = cluster(vxlan=False)
    half = (32768, 46883)
    rules(
        made.n1,
        PolicyRule(
            4, 100, RuleAction.BLACKHOLE, source_ports=half, destination=ip_network("10.244.2.0/24"), text="r"
        ),
    )
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.MIXED
    assert result.outcomes()[Outcome.TIMEOUT] == pytest.approx(0.5, abs=0.001)


def test_a_rule_for_users_is_unknown_for_who_sends_and_decided_for_who_forwards() -> None:
    """Uidrange depends on the sending program; a forwarded packet counts as root's."""
    made = cluster(vxlan=False)
    rules(made.n1, PolicyRule(4, 100, RuleAction.BLACKHOLE, uids=(1000, 2000), text="r"))
    assert made.walk(made.a, made.b).verdict is Verdict.PASS
    assert made.walk(made.n1, made.b).verdict is Verdict.UNKNOWN
    rules(made.n1, PolicyRule(4, 100, RuleAction.BLACKHOLE, uids=(0, 10), text="r"))
    assert made.walk(made.a, made.b).verdict is Verdict.FAIL


def test_a_connecting_socket_asks_again_with_its_source() -> None:
    """A rule by source applies to a client that did not bind, since connect() looks the route up twice."""
    made = cluster(vxlan=False)
    source = ip_network("192.168.3.86/32")
    rules(made.n1, PolicyRule(4, 100, RuleAction.UNREACHABLE, source=source, text="r"))
    assert made.walk(made.n1, made.b).outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("count", [3, 40])
def test_goto_needs_a_rule_of_exactly_that_priority(count: int) -> None:
    """A goto whose target is missing is passed over, with few rules and with an index over many."""
    made = router_box()
    made.route("default", "10.0.0.1", "eth0")
    filler = [PolicyRule(4, 500 + n, table=9, fwmark=n + 1, fwmask=0xFFFF, text="f") for n in range(count)]
    goto = PolicyRule(4, 100, RuleAction.GOTO, goto=300, text="g")
    block = PolicyRule(4, 200, RuleAction.PROHIBIT, text="p")
    rules(made, goto, block, *filler)
    assert Router(made.build()).lookup(query("8.8.8.8")).type is RouteType.PROHIBIT
    rules(made, goto, block, PolicyRule(4, 300, RuleAction.NOP, text="n"), *filler)
    assert Router(made.build()).lookup(query("8.8.8.8")).type is RouteType.UNICAST


def test_without_own_rules_main_beats_a_shorter_local_prefix() -> None:
    """Local and main are one trie until a rule is added; then local comes first whatever the prefix."""
    made = router_box()
    made.routes.append(Route(255, ip_network("10.5.0.0/16"), RouteType.LOCAL, (NextHop(1),), text="anyip"))
    made.route("10.5.1.0/24", "10.0.0.1", "eth0")
    assert Router(made.build()).lookup(query("10.5.1.1")).type is RouteType.UNICAST
    rules(made, PolicyRule(4, 100, table=9, fwmark=1, fwmask=1, text="r"))
    assert Router(made.build()).lookup(query("10.5.1.1")).type is RouteType.LOCAL


def test_suppress_ifgroup_passes_over_devices_of_a_group() -> None:
    """A rule with suppress_ifgroup takes no route out of such a device."""
    made = router_box()
    made.route("default", "10.0.0.1", "eth0")
    made.change("eth0", group=5)
    rules(made, PolicyRule(4, 100, table=254, suppress_ifgroup=5, text="r"))
    made.rules = made.rules[:2]
    assert Router(made.build()).lookup(query("8.8.8.8")).type is None


def test_a_multipath_flow_keeps_its_hop() -> None:
    """The ACK of a connection takes the way of its SYN: two ways are two branches, not four."""
    made = cluster(vxlan=False)
    network = ip_network("10.244.2.0/24")
    made.n1.routes = [r for r in made.n1.routes if r.destination != network]
    index = made.n1.index("eth0")
    good, bad = (
        NextHop(index, ip_address("192.168.3.87"), weight=3),
        NextHop(index, ip_address("192.168.3.99")),
    )
    made.n1.routes.append(Route(254, network, next_hops=(good, bad), text="multi"))
    made.n1.neighbour("eth0", "192.168.3.99", "", "FAILED")
    result = made.walk(made.a, made.b)
    assert sorted(branch.weight for branch in result.branches) == [0.25, 0.75]
    assert result.verdict is Verdict.MIXED


def test_a_next_hop_object_is_left_out_when_its_neighbour_failed() -> None:
    """A group of objects uses the hops whose neighbours are not known to be bad."""
    made = cluster(vxlan=False)
    network = ip_network("10.244.2.0/24")
    made.n1.routes = [r for r in made.n1.routes if r.destination != network]
    index = made.n1.index("eth0")
    hops = (NextHop(index, ip_address("192.168.3.99")), NextHop(index, ip_address("192.168.3.87")))
    made.n1.routes.append(Route(254, network, next_hops=hops, text="multi", nexthop_id=10))
    made.n1.neighbour("eth0", "192.168.3.99", "", "FAILED")
    assert made.walk(made.a, made.b).verdict is Verdict.PASS


def six() -> Box:
    """Make a host with IPv6 on two devices."""
    made = Box("n1", "n1", 1000, is_host=True)
    for number in range(2):
        made.link(f"eth{number}")
        made.address(f"eth{number}", f"fd00:{number}::1/64")
    made.set("net/ipv6/conf/all/forwarding", 1)
    return made


def route6(made: Box, network: str, gateway: str, device: str, **more: Any) -> None:
    """Add an IPv6 route."""
    hop = NextHop(made.index(device), ip_address(gateway))
    made.routes.append(Route(254, ip_network(network), next_hops=(hop,), text=gateway, **more))


def test_ipv6_prefers_by_metric_then_by_preference() -> None:
    """The smaller metric wins; at one metric the router's preference does."""
    made = six()
    route6(made, "::/0", "fe80::1", "eth0", metric=1024)
    route6(made, "::/0", "fe80::2", "eth1", metric=1024, preference=1)
    asked = query("2001:db8::1")
    assert Router(made.build()).lookup(asked).hops[0].gateway == ip_address("fe80::2")
    route6(made, "::/0", "fe80::3", "eth0", metric=100, preference=-1)
    assert Router(made.build()).lookup(asked).hops[0].gateway == ip_address("fe80::3")


def test_a_host_that_does_not_forward_avoids_a_failed_router() -> None:
    """Of two routers, one that failed is passed over; alone, it is used all the same."""
    made = six()
    made.set("net/ipv6/conf/all/forwarding", 0)
    route6(made, "::/0", "fe80::1", "eth0", metric=1024)
    failed = Neighbour(made.index("eth0"), ip_address("fe80::1"), "", NeighbourState.FAILED)
    made.neighbours.append(failed)
    asked = query("2001:db8::1")
    assert Router(made.build()).lookup(asked).hops[0].gateway == ip_address("fe80::1")
    route6(made, "::/0", "fe80::2", "eth1", metric=1024)
    assert Router(made.build()).lookup(asked).hops[0].gateway == ip_address("fe80::2")


def test_link_local_addresses_mean_a_device() -> None:
    """A packet for a link-local address takes the route on its own device."""
    made = six()
    for device in ("eth0", "eth1"):
        made.routes.append(
            Route(
                254,
                ip_network("fe80::/64"),
                next_hops=(NextHop(made.index(device)),),
                metric=256,
                text=device,
            )
        )
    router = Router(made.build())
    for device in ("eth0", "eth1"):
        assert router.lookup(query("fe80::9", oif=made.index(device))).hops[0].index == made.index(device)


def test_routes_for_a_source_come_before_routes_for_all() -> None:
    """An IPv6 route ``from`` a prefix wins for packets from it."""
    made = six()
    route6(made, "::/0", "fe80::1", "eth0", metric=1024)
    route6(made, "::/0", "fe80::2", "eth1", metric=1024, source=ip_network("fd00:1::/64"))
    router = Router(made.build())
    assert router.lookup(query("2001:db8::1", source=int(ip_address("fd00:1::1")))).hops[0].index == 3
    assert router.lookup(query("2001:db8::1", source=int(ip_address("fd00:0::1")))).hops[0].index == 2


@pytest.mark.parametrize(
    ("addresses", "destination", "chosen"),
    [
        (["fd00::5", "2001:db8::5"], "2001:db8:1::1", "2001:db8::5"),  # the label
        (["2001:db8::5", "fd00::5"], "fd99::1", "fd00::5"),
        (["2001:db8:1::5", "2001:db8:2::5"], "2001:db8:2::9", "2001:db8:2::5"),  # the longest prefix
        (["fe80::5", "2001:db8::5"], "2001:db8:1::1", "2001:db8::5"),  # the scope
        (["2001:db8::5", "fe80::5"], "fe80::9", "fe80::5"),
        (["2001:db8::5 deprecated", "2001:db8::6"], "2001:db8::9", "2001:db8::6"),
        (["2001:db8::5 temporary", "2001:db8::6"], "2001:db8::9", "2001:db8::6"),
        (["2001:db8::5 tentative", "2001:db9::6"], "2001:db8::9", "2001:db9::6"),
    ],
)
def test_ipv6_source_selection(addresses: list[str], destination: str, chosen: str) -> None:
    """RFC 6724's rules in their order: scope, deprecated, label, temporary, longest prefix."""
    made = Box("n1", "n1", 1000)
    made.link("eth0")
    for text in addresses:
        ip, *flags = text.split()
        made.addresses.append(Address(2, ip_address(ip), 64, **dict.fromkeys(flags, True)))
    source = Router(made.build()).select_source(2, int(ip_address(destination)), 6)
    assert source == int(ip_address(chosen))


def check(made: Box, source: str, device: str = "eth0", oif: int = 0) -> str:
    """Return why a source is refused, in a word, or ''."""
    netns = made.build()
    link = made.dev(device)
    refused = source_refused(Router(netns), link, packet(source, "10.1.0.9"), oif)
    return refused.cause if refused is not None else ""


@pytest.mark.parametrize(
    ("settings", "source", "cause"),
    [
        ({"rp_filter": 1}, "10.1.0.7", "rp-filter"),
        ({"rp_filter": 2}, "10.1.0.7", ""),
        ({"rp_filter": 2}, "99.0.0.1", "rp-filter"),
        ({"rp_filter": 0}, "99.0.0.1", ""),
        ({"rp_filter": 0}, "10.1.0.254", "own-source"),
        ({"rp_filter": 0, "accept_local": 1}, "10.1.0.254", ""),
        # accept_local lets a local source through to the filter, which it then has to pass.
        ({"rp_filter": 1, "accept_local": 1}, "10.1.0.254", "rp-filter"),
        ({"rp_filter": 2, "accept_local": 1}, "10.1.0.254", ""),
    ],
)
def test_the_reverse_path_filter(settings: dict[str, int], source: str, cause: str) -> None:
    """fib_validate_source, by rp_filter and accept_local."""
    made = router_box()
    for name, value in settings.items():
        made.set(f"net/ipv4/conf/eth0/{name}", value)
    assert check(made, source) == cause


def test_a_device_without_an_address_gets_no_credit_from_loose_mode() -> None:
    """Loose mode drops too, on a device without an address that is not the way back."""
    made = router_box()
    made.link("cali1")
    made.set("net/ipv4/conf/cali1/rp_filter", 2)
    assert check(made, "10.1.0.7", "cali1") == "rp-filter"
    made.address("cali1", "10.9.0.1/24")
    assert check(made, "10.1.0.7", "cali1") == ""


@pytest.mark.parametrize("source", ["224.0.0.1", "255.255.255.255", "0.1.2.3", "127.0.0.1"])
def test_martian_sources(source: str) -> None:
    """Addresses that nobody may send from are refused whatever the routes say."""
    netns = router_box().build()
    refused = martian(netns, netns.links[2], packet(source, "10.0.0.254"))
    assert refused is not None
    assert refused.cause == "martian"


def test_arp_answers_by_arp_ignore_and_pvlan() -> None:
    """arp_ignore=1 answers for the device's own addresses only; proxy_arp_pvlan for others on the same device."""
    world = World()
    host, pod = world.host("n1"), world.pod("n1", "p")
    world.veth(pod, "eth0", host, "vp")
    host.address("vp", "10.0.0.254/24")
    host.link("eth1")
    host.address("eth1", "10.5.0.1/24")
    host.listen(80)
    pod.address("eth0", "10.0.0.1/24")
    pod.route("10.5.0.0/24", dev="eth0")
    assert world.walk(pod, "10.5.0.1").verdict is Verdict.PASS
    host.set("net/ipv4/conf/vp/arp_ignore", 1)
    assert world.walk(pod, "10.5.0.1").outcome is Outcome.UNREACHABLE
    assert world.walk(pod, "10.0.0.77").outcome is Outcome.UNREACHABLE
    host.set("net/ipv4/conf/vp/proxy_arp_pvlan", 1)
    host.set("net/ipv4/conf/vp/forwarding", 1)
    steps = world.walk(pod, "10.0.0.77").branches[0].forward.steps
    assert any(s.namespace == "host" and s.device == "vp" for s in steps)


def test_ports_narrow_a_query() -> None:
    """A rule outside the packet's ports is decided, not divided."""
    made = router_box()
    made.route("default", "10.0.0.1", "eth0")
    rules(made, PolicyRule(4, 100, RuleAction.PROHIBIT, destination_ports=(80, 90), text="r"))
    router = Router(made.build())
    assert router.lookup(query("8.8.8.8", destination_ports=Ports.of(85))).type is RouteType.PROHIBIT
    assert router.lookup(query("8.8.8.8", destination_ports=Ports.of(91))).type is RouteType.UNICAST
    doubtful = router.lookup(query("8.8.8.8", destination_ports=Ports(1, 1000)))
    assert "destination port" in doubtful.doubt
