"""Bridges, VLANs, macvlans, proxies and neighbours: real connections against the model's walk."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, permutations

import pytest

from tests.support.live_flows import Live, live

pytestmark = pytest.mark.lab

_NUMBERS = count(1)
PODS = "abc"


def agree(made: Live, pairs: list[tuple[str, str, str]]) -> None:
    """Predict and connect for each (client, its address, destination), and compare."""
    wrong = []
    for client, source, destination in pairs:
        result = made.predict(client, source, destination)
        seen = made.connect(client, destination, result.outcome.value)
        if result.outcome.value != seen:
            last = result.branches[0].fatal_walk.last
            wrong.append((client, destination, "model", result.outcome.value, last.decision, "kernel", seen))
    assert not wrong, chr(10).join(map(str, wrong))


@pytest.fixture
def bridged() -> Iterator[Live]:
    """A host with a bridge and three pods on it, IPv4 and IPv6."""
    with live(f"t-routing-b{next(_NUMBERS)}", "h", *PODS) as made:
        made.run("ip -n @h link add br0 type bridge", "ip -n @h link set br0 up")
        made.run("ip -n @h addr add 10.9.0.100/24 dev br0", "ip -n @h addr add fd09::100/64 dev br0 nodad")
        for number, pod in enumerate(PODS, 1):
            made.run(
                f"ip -n @h link add v{pod} type veth peer name eth0 netns @{pod}",
                f"ip -n @h link set v{pod} master br0 up",
                f"ip -n @{pod} link set eth0 up",
                f"ip -n @{pod} addr add 10.9.0.{number}/24 dev eth0",
                f"ip -n @{pod} addr add fd09::{number}/64 dev eth0 nodad",
            )
        yield made


def bridge_pairs(family: int) -> list[tuple[str, str, str]]:
    """Return everybody to everybody."""
    base = "10.9.0." if family == 4 else "fd09::"
    addresses = {"h": f"{base}100"} | {pod: f"{base}{number}" for number, pod in enumerate(PODS, 1)}
    return [(one, addresses[one], addresses[other]) for one, other in permutations(addresses, 2)]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("seed", range(4))
def test_bridge_ports(bridged: Live, seed: int, family: int) -> None:
    """Isolation, flooding, learning, port states and entries for neighbours decide as in the kernel."""
    dice = random.Random(100 + seed)
    for pod in PODS:
        for flag, chance in (("isolated", 0.4), ("flood", 0.7), ("learning", 0.8)):
            state = "on" if dice.random() < chance else "off"
            bridged.run(f"bridge -n @h link set dev v{pod} {flag} {state}")
        if dice.random() < 0.3:
            bridged.run(
                f"ip -n @h link set v{pod} type bridge_slave {dice.choice(('bcast_flood', 'mcast_flood'))} off"
            )
        if dice.random() < 0.2:
            bridged.run(f"bridge -n @h link set dev v{pod} state {dice.choice((1, 2, 4))}")
    wrong = "02:00:00:00:00:99"
    base = "10.9.0." if family == 4 else "fd09::"
    for pod in PODS:
        if dice.random() < 0.3:
            target = dice.choice((1, 2, 3, 100))
            bridged.run(f"ip -n @{pod} neigh replace {base}{target} lladdr {wrong} dev eth0 nud permanent")
    if dice.random() < 0.3:
        bridged.run("ip -n @b link set eth0 promisc on")
    agree(bridged, bridge_pairs(family))


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa"])
def test_macvlan(mode: str) -> None:
    """Macvlans reach each other in bridge mode only, the wire always, and never their own host."""
    with live(f"t-routing-m{next(_NUMBERS)}", "h", "w", "a", "b") as made:
        made.run(
            "ip -n @h link add eth0 type veth peer name eth0 netns @w",
            "ip -n @h link set eth0 up",
            "ip -n @w link set eth0 up",
            "ip -n @h addr add 10.9.0.100/24 dev eth0",
            "ip -n @w addr add 10.9.0.200/24 dev eth0",
        )
        for number, pod in enumerate("ab", 1):
            made.run(
                f"ip -n @h link add mv{pod} link eth0 netns @{pod} type macvlan mode {mode}",
                f"ip -n @{pod} link set mv{pod} up",
                f"ip -n @{pod} addr add 10.9.0.{number}/24 dev mv{pod}",
            )
        addresses = {"h": "10.9.0.100", "w": "10.9.0.200", "a": "10.9.0.1", "b": "10.9.0.2"}
        agree(made, [(one, addresses[one], addresses[two]) for one, two in permutations(addresses, 2)])


@pytest.mark.parametrize("seed", range(8))
def test_proxy_arp(seed: int) -> None:
    """Calico's shape: a /32 pod behind 169.254.1.1, which nobody has and proxy_arp answers for."""
    dice = random.Random(200 + seed)
    with live(f"t-routing-p{next(_NUMBERS)}", "h", "a", "b") as made:
        made.sysctl("h", ipv4__ip_forward=1)
        for number, pod in enumerate("ab", 1):
            made.run(
                f"ip -n @h link add cali{pod} type veth peer name eth0 netns @{pod}",
                f"ip -n @h link set cali{pod} up",
                f"ip -n @{pod} link set eth0 up",
                f"ip -n @{pod} addr add 10.9.0.{number}/32 dev eth0",
                f"ip -n @{pod} route add 169.254.1.1 dev eth0 scope link",
                f"ip -n @{pod} route add default via 169.254.1.1 dev eth0",
                f"ip -n @h route add 10.9.0.{number}/32 dev cali{pod} scope link",
            )
            made.sysctl("h", **{f"ipv4__conf__cali{pod}__proxy_arp": dice.choice((1, 1, 1, 0))})
            made.sysctl("h", **{f"ipv4__conf__cali{pod}__rp_filter": dice.choice((0, 1, 2))})
            made.sysctl("h", **{f"ipv4__conf__cali{pod}__forwarding": dice.choice((1, 1, 1, 0))})
            made.sysctl("h", **{f"ipv4__conf__cali{pod}__arp_ignore": dice.choice((0, 1, 2, 8))})
            made.sysctl("h", **{f"ipv4__conf__cali{pod}__arp_filter": dice.choice((0, 0, 1))})
            made.sysctl(pod, ipv4__conf__eth0__arp_announce=dice.choice((0, 1, 2)))
        made.run(
            "ip -n @h link add up0 type veth peer name up1",
            "ip -n @h link set up0 up",
            "ip -n @h link set up1 up",
        )
        made.run("ip -n @h addr add 10.200.0.1/24 dev up0")
        if dice.random() < 0.7:
            made.run("ip -n @h route add default via 10.200.0.9 dev up0")
        if dice.random() < 0.5:
            made.run("ip -n @h addr add 10.9.0.100/32 dev lo")
        if dice.random() < 0.2:
            made.run(f"ip -n @h route replace 10.9.0.1/32 dev cali{dice.choice('ab')} scope link")
        pairs = [
            ("a", "10.9.0.1", "10.9.0.2"),
            ("b", "10.9.0.2", "10.9.0.1"),
            ("a", "10.9.0.1", "10.200.0.1"),
        ]
        agree(made, [*pairs, ("h", "10.200.0.1", "10.9.0.2"), ("b", "10.9.0.2", "10.9.0.100")])


@pytest.mark.parametrize("seed", range(8))
def test_two_ways(seed: int) -> None:
    """Two ways between two routers: rp_filter, forwarding, sources and rules decide in both directions."""
    dice = random.Random(300 + seed)
    with live(f"t-routing-r{next(_NUMBERS)}", "h", "r", "a", "b") as made:
        for name, one, two, device, peer, network in (
            ("x", "h", "r", "x0", "x1", "10.1.0"),
            ("y", "h", "r", "y0", "y1", "10.2.0"),
            ("a", "h", "a", "pa", "eth0", "10.3.0"),
            ("b", "r", "b", "pb", "eth0", "10.4.0"),
        ):
            del name
            made.run(
                f"ip -n @{one} link add {device} type veth peer name {peer} netns @{two}",
                f"ip -n @{one} link set {device} up",
                f"ip -n @{two} link set {peer} up",
                f"ip -n @{one} addr add {network}.1/24 dev {device}",
                f"ip -n @{two} addr add {network}.2/24 dev {peer}",
            )
        made.run("ip -n @a route add default via 10.3.0.1", "ip -n @b route add default via 10.4.0.1")
        ways = {"h": (("10.1.0.2", "x0"), ("10.2.0.2", "y0")), "r": (("10.1.0.1", "x1"), ("10.2.0.1", "y1"))}
        for router, network, source in (
            ("h", "10.4.0.0/24", "10.3.0.0/24"),
            ("r", "10.3.0.0/24", "10.4.0.0/24"),
        ):
            gateway, device = dice.choice(ways[router])
            made.run(f"ip -n @{router} route add {network} via {gateway} dev {device}")
            made.sysctl(router, ipv4__ip_forward=dice.choice((1, 1, 1, 1, 0)))
            made.sysctl(router, ipv4__conf__all__rp_filter=dice.choice((0, 0, 1, 2)))
            for _, each in ways[router]:
                made.sysctl(router, **{f"ipv4__conf__{each}__rp_filter": dice.choice((0, 1, 2))})
                if dice.random() < 0.15:
                    made.sysctl(router, **{f"ipv4__conf__{each}__forwarding": 0})
            if dice.random() < 0.4:
                gateway, device = dice.choice(ways[router])
                selector = dice.choice(
                    (f"from {source}", f"to {network}", "ipproto tcp dport 8080", "not from 10.1.0.0/16")
                )
                made.run(f"ip -n @{router} route add {network} via {gateway} dev {device} table 7")
                made.run(f"ip -n @{router} rule add pref 100 {selector} lookup 7")
        pairs = [("a", "10.3.0.2", "10.4.0.2"), ("b", "10.4.0.2", "10.3.0.2"), ("a", "10.3.0.2", "10.1.0.2")]
        agree(made, [*pairs, ("h", "10.1.0.1", "10.4.0.2"), ("a", "10.3.0.2", "10.2.0.2")])
