"""A router with a client, a server, and a bridge: where every match of iptables is tried on real flows.

The same place is made twice: by hand as a model (`model`), and by `tests/kernel/test_matches_live.py` in real
namespaces. A case is a file of rules without targets (``NAME.txt``, as iptables-save writes them), the sets that
they use (``NAME.ipset``), and how many packets of each flow each rule must match (``NAME.json``, in the order of
the rules; ``?`` where the walk cannot decide).

::

    client 10.1.0.2 ── left ┐                ┌ right ── server 10.2.0.2
                            │     router     │
    one    10.3.0.2 ── p1 ──┴─ br0 10.3.0.1 ─┘
    two    10.3.0.3 ── p2 ──┘
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from skoopctl.dataplane.choice import Choices
from skoopctl.dataplane.flow import Question, attempt
from skoopctl.dataplane.journey import World as Walking
from skoopctl.dataplane.packet import Flags
from skoopctl.dataplane.rules import iptables
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.truth import all_of
from skoopctl.kernel.ipset_save import decode_ipset_save
from skoopctl.kernel.iptables import Rule
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.route import TABLE_LOCAL, TABLE_MAIN
from tests.support.worlds import Box, World, tables_of

Place = tuple[str, str, int]
CASES = Path(__file__).parents[1] / "unit/dataplane/cases"
SOURCE_PORT = 40000

# Device: (namespace, device, MAC, addresses).
DEVICES = {
    "client": ("eth0", "02:00:00:00:01:02", "10.1.0.2/24 fd00:1::2/64"),
    "server": ("eth0", "02:00:00:00:02:02", "10.2.0.2/24 fd00:2::2/64"),
    "one": ("eth0", "02:00:00:00:03:02", "10.3.0.2/24 fd00:3::2/64"),
    "two": ("eth0", "02:00:00:00:03:03", "10.3.0.3/24 fd00:3::3/64"),
}
ROUTER = {
    "left": ("client", "02:00:00:00:01:01", "10.1.0.1/24 fd00:1::1/64"),
    "right": ("server", "02:00:00:00:02:01", "10.2.0.1/24 fd00:2::1/64"),
    "p1": ("one", "02:00:00:00:03:12", ""),
    "p2": ("two", "02:00:00:00:03:13", ""),
}
BRIDGE = ("br0", "02:00:00:00:03:01", "10.3.0.1/24 fd00:3::1/64")
GROUPS = {"left": 5, "right": 6}
GATEWAYS = {"client": "10.1.0.1 fd00:1::1", "server": "10.2.0.1 fd00:2::1", "one": "10.3.0.1 fd00:3::1"}
GATEWAYS["two"] = GATEWAYS["one"]
TCP_PORT, UDP_PORT, CLOSED_PORT = 80, 53, 54

# The case "realms" has them on two connected routes and a rule (FROM/TO, as ip(8) writes them).
REALMS = {"left": "3/7", "right": "4/5"}
REALMS_RULE = ("10.3.0.0/24", "8/9")

# Flow: (who sends, destination, protocol, port).
FLOWS = {
    "tcp": ("client", "10.2.0.2", "tcp", TCP_PORT),
    "udp": ("client", "10.2.0.2", "udp", UDP_PORT),
    "icmp": ("client", "10.2.0.2", "icmp", 0),
    "closed": ("client", "10.2.0.2", "udp", CLOSED_PORT),
    "back": ("server", "10.1.0.2", "tcp", TCP_PORT),
    "into": ("client", "10.1.0.1", "tcp", TCP_PORT),
    "own": ("router", "10.2.0.2", "tcp", TCP_PORT),
    "own-udp": ("router", "10.2.0.2", "udp", UDP_PORT),
    "loop": ("router", "127.0.0.1", "tcp", TCP_PORT),
    "bridged": ("one", "10.3.0.3", "tcp", TCP_PORT),
    "from-bridge": ("one", "10.2.0.2", "tcp", TCP_PORT),
    "to-bridge": ("client", "10.3.0.2", "udp", UDP_PORT),
}
FLOWS6 = {
    "tcp": ("client", "fd00:2::2", "tcp", TCP_PORT),
    "udp": ("client", "fd00:2::2", "udp", UDP_PORT),
    "icmp": ("client", "fd00:2::2", "icmp", 0),
    "closed": ("client", "fd00:2::2", "udp", CLOSED_PORT),
    "into": ("client", "fd00:1::1", "tcp", TCP_PORT),
    "own": ("router", "fd00:2::2", "tcp", TCP_PORT),
}


def flows_of(family: int) -> dict[str, tuple[str, str, str, int]]:
    """Return the flows that a case of a family is tried with."""
    return FLOWS if family == 4 else FLOWS6


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``family`` is 6 for names that end so."""

    name: str
    rules: str
    sets: str
    expected: Mapping[str, str]

    @property
    def family(self) -> int:
        """The family of the rules."""
        return 6 if self.name.endswith("6") else 4

    @property
    def lines(self) -> list[str]:
        """The rules in their order."""
        return [line for line in self.rules.splitlines() if line.startswith("-A ")]

    def by_place(self) -> dict[str, dict[Place, str]]:
        """Return what is expected of each rule for each flow."""
        rules = rules_of(model(self), self.family)
        return {
            flow: dict(zip(map(place_of, rules), words.split(), strict=True))
            for flow, words in self.expected.items()
        }


def case(name: str) -> Case:
    """Read a case's files."""
    sets = CASES / f"{name}.ipset"
    expected = CASES / f"{name}.json"
    return Case(
        name,
        (CASES / f"{name}.txt").read_text(),
        sets.read_text() if sets.exists() else "",
        json.loads(expected.read_text()) if expected.exists() else {},
    )


def case_names() -> list[str]:
    """Return the names of all cases."""
    return sorted(path.stem for path in CASES.glob("*.txt"))


# --- the place as a model ------------------------------------------------------------------------------------


def model(made: Case) -> dict[str, Host]:
    """Make the place by hand, with the case's rules and sets in the router."""
    world = World()
    router = world.host("skt")
    for device, (peer, mac, addresses) in ROUTER.items():
        _join(world, router, device, mac, addresses, peer)
    name, mac, addresses = BRIDGE
    router.bridge(name)
    router.change(name, mac=mac)
    _addresses(router, name, addresses)
    for port in ("p1", "p2"):
        router.port(port, name)
    for device, group in GROUPS.items():
        router.change(device, group=group)
    # Neighbour discovery between the bridge's ports would count in FORWARD.
    router.set("net/bridge/bridge-nf-call-iptables", 1)
    router.set("net/bridge/bridge-nf-call-ip6tables", 0)
    for family in ("ipv4", "ipv6"):
        router.set(f"net/{family}/conf/all/forwarding", 1)
        for device in router.links.values():
            router.set(f"net/{family}/conf/{device.name}/forwarding", 1)
    for box in world.boxes:
        box.set("net/ipv4/ip_local_port_range", f"{SOURCE_PORT} {SOURCE_PORT}")
        for ip in ("0.0.0.0", "::"):
            box.listen(TCP_PORT, ip=ip)
            box.listen(UDP_PORT, "udp", ip=ip)
    router.tables += tables_of(made.rules, family=made.family)
    router.more["ipsets"] = decode_ipset_save(made.sets).sets
    router.more["recent"] = {}
    if made.name == "realms":
        _give_realms(router)
    return world.hosts()


def _give_realms(router: Box) -> None:
    for device, realms in REALMS.items():
        index = router.index(device)
        for place, route in enumerate(router.routes):
            if route.next_hops and route.next_hops[0].index == index and route.destination.prefixlen == 24:
                hop = replace(route.next_hops[0], realms=_number(realms))
                router.routes[place] = replace(route, next_hops=(hop,))
    source, realms = REALMS_RULE
    for priority, table, more in (
        (0, TABLE_LOCAL, {}),
        (100, TABLE_MAIN, {"source": ip_network(source), "realms": _number(realms)}),
        (32766, TABLE_MAIN, {}),
    ):
        router.rule(priority, table=table, **more)


def _number(realms: str) -> int:
    origin, _, towards = realms.partition("/")
    return int(origin) << 16 | int(towards)


def _join(world: World, router: Box, device: str, mac: str, addresses: str, peer: str) -> None:
    pod = world.pod("skt", peer)
    far, far_mac, far_addresses = DEVICES[peer]
    world.veth(router, device, pod, far)
    router.change(device, mac=mac)
    pod.change(far, mac=far_mac)
    _addresses(router, device, addresses)
    _addresses(pod, far, far_addresses)
    for gateway in GATEWAYS[peer].split():
        pod.route("::/0" if ":" in gateway else "default", gateway, far)


def _addresses(box: Box, device: str, addresses: str) -> None:
    for address in addresses.split():
        box.address(device, address)


# --- what the model says -------------------------------------------------------------------------------------


def place_of(rule: Rule) -> Place:
    """Return what a rule is known by: two may have the same text."""
    return rule.table, rule.chain, rule.number


def rules_of(hosts: Mapping[str, Host], family: int) -> list[Rule]:
    """Return the router's rules in the order of its dump."""
    tables = [table for table in hosts["skt"].root_netns.iptables if table.family == family]
    return [rule for table in tables for chain in table.chains.values() for rule in chain.rules]


@dataclass
class Tally:
    """How many packets each rule matched, and what it could not decide."""

    hits: dict[Place, int] = field(default_factory=dict)
    undecided: dict[Place, list[str]] = field(default_factory=dict)

    def words(self, rules: Iterable[Rule]) -> str:
        """Write the tally of a flow in the order of the rules."""
        places = [place_of(rule) for rule in rules]
        return " ".join("?" if place in self.undecided else str(self.hits.get(place, 0)) for place in places)


def tally(hosts: Mapping[str, Host], flow: tuple[str, str, str, int], family: int) -> Tally:
    """Walk one flow, and count for every rule of the router the packets that it matches."""
    host = hosts["skt"]
    sender, destination, protocol, port = flow
    netns = host.root_netns if sender == "router" else _owner(host, sender, family)
    question = Question(netns, 0, int(ip_address(destination)), family, protocol, port)
    with _counted(host.root) as found:
        attempt(question, Walking(Topology(hosts), Choices()))
    return found


def _owner(host: Host, name: str, family: int) -> NetNamespace:
    wanted = DEVICES[name][2].split()[0 if family == 4 else 1].partition("/")[0]
    return next(n for n in host.namespaces.values() if any(str(a.ip) == wanted for a in n.addresses))


@contextmanager
def _counted(root: int) -> Iterator[Tally]:
    """Count what the rules of one namespace decide while a walk goes on."""
    found = Tally()
    matches = iptables.TableEvaluator._matches

    def count(self: iptables.TableEvaluator, compiled: iptables._Compiled, scene: Scene) -> bool:
        # The real server of a case sends no data; the walk may go on to that.
        data = scene.packet.flags is Flags.ACK and scene.packet.source_ports.low == TCP_PORT
        if scene.netns.inode == root and not data:
            line = place_of(compiled.rule)
            truth = all_of(predicate(scene) for predicate in compiled.predicates)
            if isinstance(truth, bool):
                # Not asked again: some matches (recent --set) count how often they are.
                found.hits[line] = found.hits.get(line, 0) + truth
                return truth
            found.undecided.setdefault(line, []).append(truth.reason)
        return matches(self, compiled, scene)

    iptables.TableEvaluator._matches = count  # type: ignore[method-assign]
    try:
        yield found
    finally:
        iptables.TableEvaluator._matches = matches  # type: ignore[method-assign]


def expected_of(made: Case) -> dict[str, str]:
    """Return what the model says of a case, in the form of its file."""
    hosts = model(made)
    rules = rules_of(hosts, made.family)
    return {
        name: tally(hosts, flow, made.family).words(rules) for name, flow in flows_of(made.family).items()
    }


if __name__ == "__main__":
    # After a change that the kernel agrees with (tests/kernel/test_matches_live.py): write the files anew.
    for each in case_names():
        text = json.dumps(expected_of(case(each)), indent=1)
        (CASES / f"{each}.json").write_text(text + "\n")
