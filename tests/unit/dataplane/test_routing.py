"""Routing lookups: policy rules, longest prefix, types, sources (fib_rules.c, fib_trie.c, fib_frontend.c)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from skoopctl.dataplane.packet import Ports
from skoopctl.dataplane.routes.routing import Query, Router
from skoopctl.kernel.route import NextHop, RouteType, RuleAction
from tests.support.worlds import Box


def box() -> Box:
    """Make a router with two devices."""
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("eth0")
    made.address("eth0", "10.0.0.254/24")
    made.link("eth1")
    made.address("eth1", "10.1.0.254/24")
    return made


def query(destination: str, **more: Any) -> Query:
    """Ask for a destination."""
    address = ip_address(destination)
    return Query(int(address), address.version, **more)


def found(made: Box, destination: str, **more: Any) -> str:
    """Return the text of the route that wins, the type that refuses, or ''."""
    answer = Router(made.build()).lookup(query(destination, **more))
    if answer.route is None:
        return answer.type.value if answer.type else ""
    return answer.route.text


def test_the_longest_prefix_wins() -> None:
    """A /32 beats a /24 beats the default route, whatever their metrics."""
    made = box()
    made.route("default", "10.0.0.1", "eth0")
    made.route("10.5.0.0/16", "10.0.0.2", "eth0")
    made.route("10.5.0.9/32", "10.1.0.2", "eth1", metric=900)
    assert found(made, "10.5.0.9") == "10.5.0.9/32 via 10.1.0.2 dev eth1"
    assert found(made, "10.5.0.8") == "10.5.0.0/16 via 10.0.0.2 dev eth0"
    assert found(made, "8.8.8.8") == "default via 10.0.0.1 dev eth0"


def test_the_smaller_metric_wins() -> None:
    """Of two routes to one prefix the one with the smaller metric is used."""
    made = box()
    made.route("10.5.0.0/16", "10.0.0.2", "eth0", metric=200)
    made.route("10.5.0.0/16", "10.1.0.2", "eth1", metric=100)
    assert found(made, "10.5.0.1") == "10.5.0.0/16 via 10.1.0.2 dev eth1"


def test_a_route_with_another_tos_is_passed_over() -> None:
    """A route with a tos serves only packets with it."""
    made = box()
    made.route("10.5.0.0/16", "10.1.0.2", "eth1", tos=16)
    made.route("10.5.0.0/16", "10.0.0.2", "eth0")
    assert "eth0" in found(made, "10.5.0.1")
    assert "eth1" in found(made, "10.5.0.1", tos=16)


def test_local_comes_before_main() -> None:
    """The local table is asked first: an own address is for this host, whatever main says."""
    made = box()
    made.route("10.0.0.254/32", "10.1.0.2", "eth1")
    assert found(made, "10.0.0.254").startswith("local")


@pytest.mark.parametrize("kind", [RouteType.BLACKHOLE, RouteType.UNREACHABLE, RouteType.PROHIBIT])
def test_a_refusing_route_is_the_answer(kind: RouteType) -> None:
    """blackhole, unreachable and prohibit end the lookup even with a default route behind them."""
    made = box()
    made.route("default", "10.0.0.1", "eth0")
    made.route("10.5.0.0/16", type=kind)
    assert Router(made.build()).lookup(query("10.5.0.1")).type is kind


def test_throw_goes_on_with_the_next_rule() -> None:
    """A throw route leaves its table; the next rule's table decides."""
    made = box()
    made.rule(100, table=7)
    made.rule(200, table=254)
    made.route("10.5.0.0/16", type=RouteType.THROW, table=7)
    made.route("default", "10.1.0.2", "eth1", table=7)
    made.route("default", "10.0.0.1", "eth0")
    assert "eth0" in found(made, "10.5.0.1")
    assert "eth1" in found(made, "10.6.0.1")


@pytest.mark.parametrize(
    ("rule", "asked", "matches"),
    [
        ({"source": ip_network("10.9.0.0/16")}, {"source": int(ip_address("10.9.0.1"))}, True),
        ({"source": ip_network("10.9.0.0/16")}, {"source": int(ip_address("10.8.0.1"))}, False),
        ({"destination": ip_network("10.5.0.0/16")}, {}, True),
        ({"iif": "eth0"}, {"iif": "eth0"}, True),
        ({"iif": "eth0"}, {}, False),
        ({"oif": "eth1"}, {"oif": 3}, True),
        ({"fwmark": 0x100, "fwmask": 0xF00}, {"mark": 0x123}, True),
        ({"fwmark": 0x100, "fwmask": 0xF00}, {"mark": 0x223}, False),
        ({"tos": 8}, {"tos": 8}, True),
        ({"ip_protocol": 6}, {"protocol": 6}, True),
        ({"ip_protocol": 6}, {"protocol": 17}, False),
        ({"destination_ports": (80, 90)}, {"destination_ports": Ports.of(85)}, True),
        ({"destination_ports": (80, 90)}, {"destination_ports": Ports.of(91)}, False),
        ({"iif": "eth0", "invert": True}, {}, True),
        ({"iif": "eth0", "invert": True}, {"iif": "eth0"}, False),
    ],
)
def test_policy_rules_select_tables(rule: dict[str, Any], asked: dict[str, Any], matches: bool) -> None:
    """Each selector of ip-rule(8) sends matching packets to the rule's table, and no others."""
    made = box()
    made.rule(100, table=7, **rule)
    made.rule(32766, table=254)
    made.route("default", "10.1.0.2", "eth1", table=7)
    made.route("default", "10.1.0.1", "eth1")
    assert (found(made, "10.5.0.1", **asked) == "default via 10.1.0.2 dev eth1") is matches


@pytest.mark.parametrize("action", [RuleAction.BLACKHOLE, RuleAction.UNREACHABLE, RuleAction.PROHIBIT])
def test_a_rule_may_refuse(action: RuleAction) -> None:
    """A rule's own action ends the lookup before any table."""
    made = box()
    made.rule(100, action=action)
    made.rule(32766, table=254)
    made.route("default", "10.0.0.1", "eth0")
    assert found(made, "8.8.8.8") == action.value


def test_goto_jumps_over_rules() -> None:
    """A goto rule goes on at its target's priority; nop does nothing."""
    made = box()
    made.rule(100, action=RuleAction.GOTO, goto=300)
    made.rule(200, action=RuleAction.BLACKHOLE)
    made.rule(300, action=RuleAction.NOP)
    made.rule(400, table=254)
    made.route("default", "10.0.0.1", "eth0")
    assert found(made, "8.8.8.8") == "default via 10.0.0.1 dev eth0"


def test_suppress_prefixlength_passes_over_short_routes() -> None:
    """suppress_prefixlength 0 uses a table for anything but its default route (wg-quick, Tailscale)."""
    made = box()
    made.rule(100, table=254, suppress_prefixlength=0)
    made.rule(200, table=7)
    made.route("default", "10.0.0.1", "eth0")
    made.route("default", "10.1.0.2", "eth1", table=7)
    assert "eth1" in found(made, "8.8.8.8")
    assert found(made, "10.0.0.9").startswith("10.0.0.0/24")


def test_an_undecodable_rule_makes_the_answer_doubtful() -> None:
    """A rule with attributes outside the model may match: the answer says so."""
    made = box()
    made.rule(100, table=254, undecoded=("FRA_X",), text="100: odd")
    made.route("default", "10.0.0.1", "eth0")
    assert "100: odd" in Router(made.build()).lookup(query("8.8.8.8")).doubt


@pytest.mark.parametrize(
    ("part", "doubt"), [("route", "routes of n1: denied"), ("rule", "policy rules: denied")]
)
def test_what_was_not_read_is_doubt(part: str, doubt: str) -> None:
    """Missing routes or rules are never an empty table."""
    made = box()
    made.gaps[part] = "denied"
    assert Router(made.build()).lookup(query("10.0.0.1")).doubt == doubt


def test_dead_next_hops_are_not_used() -> None:
    """A dead hop is passed over, and a route without live hops; linkdown counts when the sysctl says so."""
    made = box()
    made.route("default", "10.0.0.1", "eth0")
    dead = NextHop(made.index("eth1"), ip_address("10.1.0.1"), dead=True)
    down = NextHop(made.index("eth1"), ip_address("10.1.0.1"), linkdown=True)
    made.route("10.5.0.0/16", next_hops=(dead,), text="dead")
    made.route("10.6.0.0/16", next_hops=(down,), text="down")
    assert found(made, "10.5.0.1").startswith("default")
    assert found(made, "10.6.0.1") == "down"
    made.set("net/ipv4/conf/all/ignore_routes_with_linkdown", 1)
    assert found(made, "10.6.0.1").startswith("default")


def test_multipath_gives_all_usable_hops() -> None:
    """A multipath route answers with every hop that is alive, restricted to a wanted device."""
    made = box()
    hops = (NextHop(2, ip_address("10.0.0.1")), NextHop(3, ip_address("10.1.0.1"), weight=3))
    made.route("default", next_hops=hops)
    assert Router(made.build()).lookup(query("8.8.8.8")).hops == hops
    assert Router(made.build()).lookup(query("8.8.8.8", oif=3)).hops == hops[1:]


@pytest.mark.parametrize(
    ("destination", "kind"),
    [
        ("10.0.0.254", RouteType.LOCAL),
        ("127.0.0.5", RouteType.LOCAL),
        ("10.0.0.9", RouteType.UNICAST),
        ("224.0.0.1", RouteType.MULTICAST),
    ],
)
def test_address_types(destination: str, kind: RouteType) -> None:
    """Types are those of the local table: own addresses, all of 127/8, multicast, the rest."""
    assert Router(box().build()).address_type(int(ip_address(destination)), 4) is kind


def test_an_address_type_may_be_asked_for_one_device() -> None:
    """limit-iface-in: an address of another device is not local to this one."""
    router = Router(box().build())
    own = int(ip_address("10.0.0.254"))
    assert router.address_type(own, 4, 2) is RouteType.LOCAL
    assert router.address_type(own, 4, 3) is RouteType.UNICAST


def test_the_source_is_the_routes_own_else_the_devices() -> None:
    """A prefsrc wins; else the address that shares the next hop's subnet; else the device's first."""
    made = box()
    made.address("eth0", "10.7.0.1/24")
    made.route("10.5.0.0/16", "10.7.0.9", "eth0")
    made.route("10.6.0.0/16", "10.0.0.9", "eth0", prefsrc=ip_address("10.1.0.254"))
    made.route("10.8.0.0/16", dev="eth0")
    router = Router(made.build())

    def source(destination: str) -> str:
        asked = query(destination)
        answer = router.lookup(asked)
        return str(ip_address(router.source_for(answer, answer.hops[0], asked) or 0))

    assert [source(f"10.{n}.0.1") for n in (5, 6, 8)] == ["10.7.0.1", "10.1.0.254", "10.0.0.254"]
    assert source("10.0.0.254") == "10.0.0.254"


def test_a_device_without_an_address_borrows_one() -> None:
    """inet_select_addr takes another device's address when the device has none."""
    made = box()
    made.link("tun0")
    assert Router(made.build()).select_source(made.index("tun0"), 0, 4) == int(ip_address("10.0.0.254"))
