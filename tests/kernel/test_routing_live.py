"""The model's lookups against the running kernel's, over random tables, rules, next hops and addresses."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count
from pathlib import Path

import pytest

from skoopctl.dataplane.packet import Packet, Ports
from skoopctl.dataplane.routes.fib import REFUSING
from skoopctl.dataplane.routes.query import Answer, Query
from skoopctl.dataplane.routes.routing import Router
from skoopctl.dataplane.routes.source_check import martian, source_refused
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType
from tests.support.kernel_dump import inside, ip, namespaces
from tests.support.live_namespace import read_namespace
from tests.support.route_oracle import Asked, Reply, RouteOracle

pytestmark = pytest.mark.lab

STATES = 20
QUESTIONS = 120
_NUMBERS = count(1)
_ERRORS = {
    None: {errno.ENETUNREACH},
    RouteType.BLACKHOLE: {errno.EINVAL},
    RouteType.PROHIBIT: {errno.EACCES},
}
_TYPES = {1: RouteType.UNICAST, 2: RouteType.LOCAL, 3: RouteType.BROADCAST, 5: RouteType.MULTICAST}


@pytest.fixture
def netns() -> Iterator[str]:
    """Make a namespace with three devices (their far ends are in it too), addresses of both families."""
    name = f"t-routing-{os.getpid()}-{next(_NUMBERS)}"
    with namespaces(name):
        for number in range(3):
            ip(name, "link", "add", f"e{number}", "type", "veth", "peer", "name", f"f{number}")
            for device in (f"e{number}", f"f{number}"):
                ip(name, "link", "set", device, "addrgenmode", "none", "up")
        ip(name, "link", "set", "lo", "up")
        yield name


def batch(name: str, lines: list[str]) -> None:
    """Run many ``ip`` commands; one that the kernel refuses is left out, by the kernel and so by its dump."""
    subprocess.run(
        ["ip", "-n", name, "-force", "-batch", "-"],
        input="\n".join(lines) + "\n",
        text=True,
        capture_output=True,
        check=False,
    )


def v4(dice: random.Random) -> str:
    """Return an address out of few, so that questions and routes meet."""
    return f"10.{dice.randrange(3)}.{dice.randrange(3)}.{dice.choice((1, 2, 9, 255))}"


def v4_network(dice: random.Random) -> str:
    """Return a network that holds some of the addresses."""
    length = dice.choice((0, 8, 14, 16, 23, 24, 30, 32))
    return str(IPv4Address(int(IPv4Address(v4(dice))) >> (32 - length) << (32 - length))) + f"/{length}"


def v4_route(dice: random.Random) -> str:
    """Return a route of any kind that a node may have."""
    table = dice.choice((254, 254, 7, 8))
    metric = f"metric {dice.randrange(3)}" if dice.random() < 0.5 else ""
    tos = f"tos {dice.choice(('0x10', '0x08'))}" if dice.random() < 0.1 else ""
    kind = dice.choice(("", "", "", "", "blackhole", "unreachable", "prohibit", "throw"))
    if kind:
        return f"route append {kind} {v4_network(dice)} {tos} table {table} {metric}"
    network = f"{v4_network(dice)} {tos} table {table} {metric}"
    shape = dice.randrange(6)
    device = f"e{dice.randrange(3)}"
    if shape == 0:
        hops = " ".join(
            f"nexthop via 10.200.{n}.{dice.randrange(2, 9)} dev e{n} weight {dice.randrange(1, 4)}"
            for n in dice.sample(range(3), 2)
        )
        return f"route append {network} {hops}"
    if shape == 1:
        return f"route append {network} nhid {dice.choice((1, 2, 3, 10, 11))}"
    if shape == 2:
        return f"route append {network} dev {device} scope link"
    if shape == 3:
        return f"route append {network} via inet6 fe80::{dice.randrange(1, 9)} dev {device}"
    source = f"src 10.200.{dice.randrange(3)}.1" if dice.random() < 0.3 else ""
    return f"route append {network} via 10.200.{device[1]}.{dice.randrange(2, 9)} dev {device} {source}"


def rule(dice: random.Random, family: int) -> str:
    """Return a policy rule with some selectors."""
    address, network = (v4, v4_network) if family == 4 else (v6, v6_network)
    words = ["-6 rule add" if family == 6 else "rule add", f"pref {dice.randrange(1, 90) * 10}"]
    words += ["not"] if dice.random() < 0.2 else []
    for word, chance in (("from", 0.3), ("to", 0.3)):
        words += [f"{word} {dice.choice((address, network))(dice)}"] if dice.random() < chance else []
    words += [f"iif {dice.choice(('e0', 'e1', 'lo', 'gone'))}"] if dice.random() < 0.2 else []
    words += [f"oif {dice.choice(('e0', 'e1', 'gone'))}"] if dice.random() < 0.2 else []
    words += (
        [dice.choice(("fwmark 1", "fwmark 0x80000000/0xf0000000", "fwmark 0/3"))]
        if dice.random() < 0.3
        else []
    )
    words += ["tos 0x10"] if dice.random() < 0.1 else []
    if dice.random() < 0.2:
        words += ["ipproto tcp", dice.choice(("dport 80", "dport 80-90", "sport 1000-2000"))]
    action = dice.randrange(12)
    if action < 8:
        words += [f"lookup {dice.choice((254, 7, 8))}"]
        words += [f"suppress_prefixlength {dice.choice((0, 15, 23))}"] if dice.random() < 0.3 else []
        words += ["suppress_ifgroup 5"] if dice.random() < 0.1 else []
    else:
        words += [("blackhole", "unreachable", "prohibit", f"goto {dice.randrange(1, 90) * 10}")[action - 8]]
    return " ".join(words)


def v6(dice: random.Random) -> str:
    """Return an IPv6 address out of few."""
    return f"fd00:{dice.randrange(3)}:{dice.randrange(3)}::{dice.choice((1, 2, 9))}"


def v6_network(dice: random.Random) -> str:
    """Return a network that holds some of the addresses."""
    length = dice.choice((0, 16, 32, 48, 64, 128))
    return str(IPv6Address(int(IPv6Address(v6(dice))) >> (128 - length) << (128 - length))) + f"/{length}"


def v6_route(dice: random.Random) -> str:
    """Return an IPv6 route."""
    table = dice.choice((254, 254, 7, 8))
    metric = f"metric {dice.choice((10, 20, 1024))}" if dice.random() < 0.6 else ""
    kind = dice.choice(("", "", "", "", "blackhole", "unreachable", "prohibit", "throw"))
    source = f"from {v6_network(dice)}" if dice.random() < 0.2 else ""
    network = f"{v6_network(dice)} {source} table {table} {metric}"
    if kind:
        return f"-6 route append {kind} {network}"
    device = f"e{dice.randrange(3)}"
    if dice.random() < 0.2:
        hops = " ".join(
            f"nexthop via fd00:200:{n}::{dice.randrange(2, 9)} dev e{n}" for n in dice.sample(range(3), 2)
        )
        return f"-6 route append {network} {hops}"
    preference = f"pref {dice.choice(('low', 'medium', 'high'))}" if dice.random() < 0.5 else ""
    if dice.random() < 0.3:
        return f"-6 route append {network} dev {device} {preference}"
    return f"-6 route append {network} via fd00:200:{device[1]}::{dice.randrange(2, 9)} dev {device} {preference}"


def populate(name: str, dice: random.Random) -> NetNamespace:
    """Fill a namespace at random and read it."""
    lines = ["link set e2 group 5"]
    for n in range(3):
        lines += [f"addr add 10.200.{n}.1/24 dev e{n}", f"addr add fd00:200:{n}::1/64 dev e{n} nodad"]
    for _ in range(dice.randrange(4)):
        lines.append(
            f"addr add {v4(dice)}/{dice.choice((8, 24, 32))} dev {dice.choice(('e0', 'e1', 'e2', 'lo'))}"
        )
        lines.append(f"-6 addr add {v6(dice)}/64 dev {dice.choice(('e0', 'e1', 'e2'))} nodad")
    lines += [f"nexthop add id {n + 1} via 10.200.{n}.77 dev e{n}" for n in range(2)]
    lines += ["nexthop add id 3 blackhole", "nexthop add id 10 group 1,3/2", "nexthop add id 11 group 1/2"]
    lines += [v4_route(dice) for _ in range(24)] + [v6_route(dice) for _ in range(24)]
    if dice.random() < 0.3:
        lines.append(f"link set f{dice.randrange(3)} down")
    lines += [rule(dice, family) for family in (4, 6) for _ in range(dice.choice((0, 3, 30)))]
    batch(name, lines)
    return read_namespace(name, 1000 + next(_NUMBERS))


def question(dice: random.Random, family: int, netns: NetNamespace, *, received: bool) -> Asked:
    """Return a question, sometimes with everything that a packet can have."""
    make = v4 if family == 4 else v6
    devices = [link.index for link in netns.links.values() if link.name.startswith("e")]
    own = [a.ip for a in netns.addresses if a.ip.version == family and not a.ip.is_loopback]
    source = None
    if received:
        source = ip_address(make(dice))
    elif dice.random() < 0.5:
        source = dice.choice(own)
    protocol = dice.choice((0, 6, 17))
    return Asked(
        ip_address(make(dice)),
        source,
        iif=dice.choice(devices) if received else 0,
        oif=dice.choice(devices) if not received and dice.random() < 0.2 else 0,
        mark=dice.choice((0, 0, 1, 2, 0x80000001)),
        tos=dice.choice((0, 0, 0, 0x10)),
        protocol=protocol,
        sport=dice.choice((1000, 1500, 5000)) if protocol else 0,
        dport=dice.choice((80, 85, 443)) if protocol else 0,
    )


def query_of(asked: Asked, netns: NetNamespace) -> Query:
    """Return the same question for the model."""
    return Query(
        int(asked.destination),
        asked.destination.version,
        int(asked.source) if asked.source else 0,
        iif=netns.links[asked.iif].name if asked.iif else "lo",
        oif=asked.oif,
        mark=asked.mark,
        tos=asked.tos,
        protocol=asked.protocol,
        source_ports=Ports.of(asked.sport),
        destination_ports=Ports.of(asked.dport),
    )


def agrees(router: Router, query: Query, answer: Answer, reply: Reply) -> bool:
    """Tell whether the model's answer is one that the kernel may give."""
    if answer.type in {None, *REFUSING} and query.oif and query.family == 4:
        return (reply.error, reply.type, reply.oif) == (0, 1, query.oif)  # taken to be on the link
    if answer.type is RouteType.UNREACHABLE:
        return reply.error == (errno.EHOSTUNREACH if answer.route is not None else errno.ENETUNREACH)
    if answer.type in _ERRORS:
        return reply.error in _ERRORS[answer.type]
    if reply.error or _TYPES.get(reply.type) is not answer.type:
        return False
    if answer.type is RouteType.LOCAL and query.family == 4:
        return router.netns.links[reply.oif].loopback
    wanted = [(hop.index, hop.gateway) for hop in answer.hops]
    if (reply.oif, reply.gateway) not in wanted:
        return False
    if reply.source is None or query.source:
        return True
    hop = answer.hops[wanted.index((reply.oif, reply.gateway))]
    return router.source_for(answer, hop, query) == int(reply.source)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("seed", range(STATES))
def test_packets_born_here(netns: str, seed: int, family: int) -> None:
    """For random tables and rules, a packet born here takes the way and the source that the kernel gives it."""
    dice = random.Random(seed * 2 + family)
    model = populate(netns, dice)
    router = Router(model)
    with inside(netns):
        oracle = RouteOracle()
    try:
        for _ in range(QUESTIONS):
            asked = question(dice, family, model, received=False)
            query, reply = query_of(asked, model), oracle.ask(asked)
            answer = router.lookup(query)
            assert not answer.doubt
            assert agrees(router, query, answer, reply), (asked, reply, answer, ip(netns, "rule"))
    finally:
        oracle.close()


@pytest.mark.parametrize("seed", range(STATES))
def test_packets_received(netns: str, seed: int) -> None:
    """For random tables and rules, what comes in is forwarded, delivered or refused as in the kernel."""
    dice = random.Random(1000 + seed)
    with inside(netns):
        for name in ("all", "e0", "e1", "e2"):
            for key, values in (
                ("rp_filter", (0, 0, 1, 2)),
                ("accept_local", (0, 0, 0, 1)),
                ("forwarding", (1, 1, 1, 0)),
                ("src_valid_mark", (0, 1)),
                ("send_redirects", (0, 1)),
            ):
                if name != "all" or key != "forwarding":
                    value = dice.choice(values) if name != "all" else dice.choice((0, 0, values[-1]))
                    Path(f"/proc/sys/net/ipv4/conf/{name}/{key}").write_text(str(value))
    model = populate(netns, dice)
    router = Router(model)
    with inside(netns):
        oracle = RouteOracle()
    try:
        for _ in range(QUESTIONS):
            asked = question(dice, 4, model, received=True)
            reply = oracle.ask(asked)
            assert received(router, asked, reply), (asked, reply, router.lookup(query_of(asked, model)))
    finally:
        oracle.close()


@pytest.mark.parametrize("seed", range(STATES))
def test_ipv6_packets_received(netns: str, seed: int) -> None:
    """For random tables and rules, IPv6 routes what comes in as the kernel does: the input device counts too."""
    dice = random.Random(2000 + seed)
    model = populate(netns, dice)
    router = Router(model)
    with inside(netns):
        oracle = RouteOracle()
    try:
        for _ in range(QUESTIONS):
            asked = question(dice, 6, model, received=True)
            query, reply = query_of(asked, model), oracle.ask(asked)
            answer = router.lookup(query)
            assert agrees(router, query, answer, reply), (asked, reply, answer)
    finally:
        oracle.close()


def received(router: Router, asked: Asked, reply: Reply) -> bool:
    """Compare the whole of ip_route_input_slow: martians, lookup, forwarding, source check."""
    netns = router.netns
    link = netns.links[asked.iif]
    assert asked.source is not None
    packet = Packet(
        4,
        int(asked.source),
        int(asked.destination),
        asked.protocol,
        Ports.of(asked.sport),
        Ports.of(asked.dport),
        mark=asked.mark,
        tos=asked.tos,
    )
    answer = router.lookup(query_of(asked, netns))
    refused = bool(reply.error) and reply.error in {errno.EINVAL, errno.EXDEV}
    if martian(netns, link, packet) is not None:
        return refused
    if answer.type in {RouteType.LOCAL, RouteType.BROADCAST}:
        broadcast = answer.type is RouteType.BROADCAST
        if source_refused(router, link, packet, 0, broadcast=broadcast) is not None:
            return refused
        return reply.error == 0 and _TYPES[reply.type] is answer.type
    if not netns.sysctls.integer(f"net/ipv4/conf/{link.name}/forwarding"):
        return reply.error == errno.EHOSTUNREACH
    if answer.type is not RouteType.UNICAST:
        return agrees(router, query_of(asked, netns), answer, reply)
    wanted = [(hop.index, hop.gateway) for hop in answer.hops]
    verdicts = {hop.index: source_refused(router, link, packet, hop.index) is not None for hop in answer.hops}
    if refused:
        return any(verdicts.values())
    return reply.error == 0 and (reply.oif, reply.gateway) in wanted and not verdicts[reply.oif]
