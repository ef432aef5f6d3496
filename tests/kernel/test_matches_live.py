"""Every match of the case files on the running kernel: its counter after a real flow is the model's count.

The evidence comes from the node program, run in the same namespaces. So the model that is built from it, the
model made by hand for the unit tests, and the kernel say the same.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface

import pytest

from skoopctl.evidence import ItemStatus, Request
from skoopctl.kernel.build import build_host, is_nothing
from skoopctl.kernel.ipset import TYPES, Member
from skoopctl.kernel.ipset_save import decode_ipset_save
from skoopctl.kernel.netlink import decode_ipset_dump
from tests.lab.node_host import NodeHost, wait_until
from tests.support.crossroads import (
    BRIDGE,
    DEVICES,
    GATEWAYS,
    GROUPS,
    REALMS,
    REALMS_RULE,
    ROUTER,
    SOURCE_PORT,
    TCP_PORT,
    UDP_PORT,
    Case,
    case,
    case_names,
    flows_of,
    place_of,
    rules_of,
    tally,
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

# Modules that the kernel of the tests may lack, with a rule to ask it.
OPTIONAL = {"ipvs": "-m ipvs --ipvs"}
# Set types that it may lack: tests/unit/dataplane/test_sets.py decides these by the kernel's source alone.
RARE_TYPES = ("hash:mac", "hash:net,net", "hash:net,port,net", "hash:ip,mark", "hash:ip,mac")

# A peer that says nothing more: TCP_REPAIR (19) closes a socket without FIN or RST.
SERVER = f"""
import select, socket
taken = []
for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for kind, port in ((socket.SOCK_STREAM, {TCP_PORT}), (socket.SOCK_DGRAM, {UDP_PORT})):
        made = socket.socket(family, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((any_address, port))
        if kind == socket.SOCK_STREAM:
            made.listen(100)
        taken.append(made)
while True:
    for ready in select.select(taken, [], [])[0]:
        if ready.type == socket.SOCK_DGRAM:
            data, sender = ready.recvfrom(100)
            ready.sendto(data, sender)
        else:
            peer, _ = ready.accept()
            peer.setsockopt(socket.IPPROTO_TCP, 19, 1)
            peer.close()
"""
CLIENT = f"""
import socket, sys
destination, protocol, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in destination else socket.AF_INET
if protocol == "tcp":
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", {SOURCE_PORT}))
    made.settimeout(3)
    made.connect((destination, port))
    made.setsockopt(socket.IPPROTO_TCP, 19, 1)
    made.close()
elif protocol == "udp":
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind(("", {SOURCE_PORT}))
    made.settimeout(1)
    made.connect((destination, port))
    made.send(b"hello")
    try:
        made.recv(100)
    except (ConnectionRefusedError, TimeoutError):
        pass
else:
    number = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    made = socket.socket(family, socket.SOCK_DGRAM, number)
    made.settimeout(3)
    made.connect((destination, 0))
    made.send(bytes([128 if family == socket.AF_INET6 else 8, 0, 0, 0, 0, 1, 0, 1]) + b"hello")
    made.recv(100)
"""
COUNTED = re.compile(r"\[(\d+):\d+\] (-A .*)")


class Place:
    """The crossroads in real namespaces."""

    def __init__(self, host: NodeHost) -> None:
        self.host = host
        self.pids: dict[str, int] = {}
        host.run(f"cat >/tmp/server <<'END'\n{SERVER}\nEND\ncat >/tmp/client <<'END'\n{CLIENT}\nEND")
        host.run(
            "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
            f" net.ipv4.ip_local_port_range='{SOURCE_PORT} {SOURCE_PORT}'"
            " net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=0"
        )
        name, mac, addresses = BRIDGE
        self._device("", name, mac, addresses, f"ip link add {name} type bridge")
        for device, (peer, mac, addresses) in ROUTER.items():
            self._join(device, mac, addresses, peer)
        host.run("; ".join(f"ip link set {port} master {name}" for port in ("p1", "p2")))
        host.run("; ".join(f"ip link set {device} group {group}" for device, group in GROUPS.items()))
        self._serve("router")
        host.run("nfacct add counted")

    def _device(self, inside: str, name: str, mac: str, addresses: str, make: str) -> None:
        self.host.run(make)
        steps = [f"{inside} ip link set {name} address {mac} up"]
        steps += [
            f"{inside} ip addr add {address} dev {name}{' nodad' if ':' in address else ''}"
            for address in addresses.split()
        ]
        self.host.run("; ".join(steps))

    def _join(self, device: str, mac: str, addresses: str, peer: str) -> None:
        out = self.host.run("unshare -n sleep infinity >/dev/null 2>&1 & echo $!")
        pid = self.pids[peer] = int(out)
        home = self.host.root_inode()
        assert wait_until(lambda: int(self.host.run(f"stat -L -c %i /proc/{pid}/ns/net")) != home)
        inside = f"nsenter -t {pid} -n"
        far, far_mac, far_addresses = DEVICES[peer]
        self._device(
            "", device, mac, addresses, f"ip link add {device} type veth peer name {far} netns {pid}"
        )
        self._device(inside, far, far_mac, far_addresses, f"{inside} ip link set lo up")
        for gateway in GATEWAYS[peer].split():
            self.host.run(f"{inside} ip route add default via {gateway}")
        self.host.run(
            f"{inside} sysctl -qw net.ipv4.ip_local_port_range='{SOURCE_PORT} {SOURCE_PORT}'"
            " net.ipv4.ping_group_range='0 0'"
        )
        self._serve(peer)

    def _inside(self, name: str) -> str:
        return "" if name == "router" else f"nsenter -t {self.pids[name]} -n "

    def _serve(self, name: str) -> None:
        inside = self._inside(name)
        self.host.run(f"{inside}python3 /tmp/server >/dev/null 2>&1 &")
        assert wait_until(lambda: f":{UDP_PORT}" in self.host.run(f"{inside}ss -Hlnu"))

    def load(self, made: Case) -> list[str]:
        """Load a case's sets and rules; return the rules that this kernel takes."""
        program = "ip6tables" if made.family == 6 else "iptables"
        self.host.run(
            "for p in iptables ip6tables; do for t in raw mangle nat filter; do $p -t $t -F; $p -t $t -X;"
            "done; done; ipset flush"
        )
        # Rules of nftables let go of their sets after a grace period of RCU.
        assert wait_until(lambda: not self.host.run("ipset destroy 2>/dev/null || true; ipset list -n"))
        if made.sets:
            self.host.run("ipset restore", stdin=made.sets)
        lacking = [name for name, rule in OPTIONAL.items() if not self._takes(program, rule)]
        rules = "\n".join(
            line for line in made.rules.splitlines() if not any(f"-m {name} " in line for name in lacking)
        )
        self.host.run(f"{program}-restore", stdin=rules + "\n")
        self._route(with_realms=made.name == "realms")
        return [line for line in made.lines if line in rules]

    def _route(self, *, with_realms: bool) -> None:
        """Give the connected routes their realms, or take them back."""
        source, of_rule = REALMS_RULE
        steps = [f"ip rule del from {source} 2>/dev/null || true"]
        for device, realms in REALMS.items():
            address = ip_interface(ROUTER[device][2].split()[0])
            words = (
                f"ip route replace {address.network} dev {device} proto kernel scope link src {address.ip}"
            )
            steps.append(f"{words} realms {realms}" if with_realms else words)
        if with_realms:
            steps.append(f"ip rule add from {source} lookup main realms {of_rule} priority 100")
        self.host.run("; ".join(steps))

    def _takes(self, program: str, rule: str) -> bool:
        """Tell whether this kernel has a match."""
        asked = f"{program} -t mangle -A OUTPUT {rule} && {program} -t mangle -D OUTPUT {rule}"
        return "yes" in self.host.run(f"if {asked} >/dev/null 2>&1; then echo yes; fi")

    def send(self, made: Case, flow: tuple[str, str, str, int]) -> list[int]:
        """Send one flow; return the packets that each rule counted, in order."""
        sender, destination, protocol, port = flow
        program = "ip6tables" if made.family == 6 else "iptables"
        if "-m recent" in made.rules:
            self.host.run("for f in /proc/net/xt_recent/*; do echo / >$f; done")
        if "-j SET" in made.rules:
            self.host.run("ipset flush; ipset -exist restore", stdin=made.sets)
        self.host.run(
            "; ".join(
                [
                    "conntrack -F 2>/dev/null",
                    *(f"{program} -t {table} -Z" for table in ("raw", "mangle", "nat", "filter")),
                    f"{self._inside(sender)}python3 /tmp/client {shlex.quote(destination)} {protocol} {port}",
                ]
            )
        )
        return [int(found[1]) for found in COUNTED.finditer(self.host.run(f"{program}-save -c"))]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Make the crossroads."""
    host = NodeHost.start()
    try:
        yield Place(host)
    finally:
        host.stop()


def _counted(
    place: Place, made: Case, flow: tuple[str, str, str, int], expected: list[int | None]
) -> list[int]:
    """Send a flow, and again where the counts are not the model's: a busy machine sends packets twice.

    ``expected`` is None for what the model does not decide.
    """
    for _ in range(3):
        counted = place.send(made, flow)
        if all(want in {None, packets} for want, packets in zip(expected, counted, strict=True)):
            break
    return counted


@pytest.mark.parametrize("name", case_names())
def test_the_kernel_counts_what_the_model_decides(place: Place, name: str) -> None:
    """For each flow, every rule that the model decides has matched exactly the model's number of packets."""
    made = case(name)
    loaded = place.load(made)
    answer = place.host.ask()
    assert answer.status == 0, answer.stderr
    hosts = {"skt": build_host(answer.evidence)}
    rules = rules_of(hosts, made.family)
    assert len(rules) == len(loaded)
    written = made.by_place()
    wrong = []
    decided = set()
    for flow_name, flow in flows_of(made.family).items():
        said = tally(hosts, flow, made.family)
        places = [place_of(rule) for rule in rules]
        counted = _counted(
            place, made, flow, [None if at in said.undecided else said.hits.get(at, 0) for at in places]
        )
        for rule, packets in zip(rules, counted, strict=True):
            at = place_of(rule)
            told = written[flow_name][at]
            if told not in {"?", str(packets)}:
                wrong.append(f"{flow_name}: file {told}, kernel {packets}: {rule.text}")
            if at in said.undecided:
                continue
            decided.add(at)
            if said.hits.get(at, 0) != packets:
                wrong.append(f"{flow_name}: model {said.hits.get(at, 0)}, kernel {packets}: {rule.text}")
    assert wrong == []
    assert decided, "nothing was decided"


def test_the_dump_of_sets_says_what_their_text_says(place: Place) -> None:
    """Sets of every type that this kernel has, read from the node program and from ``ipset save``, are equal."""
    place.load(case("sets"))
    place.host.run(
        "ipset create x-count hash:ip counters comment skbinfo timeout 600; "
        "ipset add x-count 10.0.0.1 packets 5 bytes 600 comment 'a b' skbmark 0x1/0xff skbprio 1:2 skbqueue 3;"
        "ipset add x-count 10.0.0.2 timeout 0;"
        "ipset create x-ports bitmap:port range 10-20; ipset add x-ports 15;"
        "ipset create x-wild hash:net,iface family inet6; ipset add x-wild fd00::/8,eth wildcard;"
        "ipset create x-list list:set; ipset add x-list x-ports; ipset add x-list x-count"
    )
    evidence = place.host.ask(Request(items=("link", "ipset"))).evidence
    item = evidence.item("ipset", place.host.root_inode())
    assert item is not None
    raw = decode_ipset_dump(item.payload)
    text = decode_ipset_save(place.host.run("ipset save"))
    assert raw.problem == text.problem == ""
    assert len(raw.sets) > 20
    for name, ipset in raw.sets.items():
        shown = text.sets[name]
        assert replace(ipset, members=()) == replace(shown, members=())
        assert sorted(map(_timeless, ipset.members)) == sorted(map(_timeless, shown.members))
    place.host.run("ipset destroy x-list; ipset destroy x-wild; ipset destroy x-ports; ipset destroy x-count")


def test_types_that_this_kernel_lacks_are_known(place: Place) -> None:
    """A set type that cannot be made here is one of those that the unit tests decide alone."""
    lacking = [
        kind
        for kind in TYPES
        if "no" in place.host.run(f"ipset create x-try {kind} {_range(kind)} 2>/dev/null || echo no")
        or place.host.run("ipset destroy x-try")
    ]
    assert set(lacking) <= set(RARE_TYPES)


def _range(kind: str) -> str:
    return {"bitmap:port": "range 0-9"}.get(kind, "range 10.0.0.0/24" if kind.startswith("bitmap") else "")


def _timeless(member: Member) -> str:
    """Compare without the seconds that go by between two dumps."""
    return str(member._replace(timeout_s=member.timeout_s and 1))


def test_a_namespace_without_sets_has_none(place: Place) -> None:
    """In a kernel with ipset, a namespace without sets is absent: no tables, and that is no gap."""
    evidence = place.host.ask(Request(items=("namespaces", "link", "ipset"))).evidence
    home = place.host.root_inode()
    others = [inode for inode in evidence.namespaces() if inode != home]
    assert others
    for inode in others:
        item = evidence.item("ipset", inode)
        assert item is not None
        assert (item.status, item.detail) == (ItemStatus.ABSENT, "no tables: there are no sets")
        assert is_nothing(item)


def test_a_dump_beyond_the_cap_is_truncated(place: Place) -> None:
    """A set that is larger than an item may be is cut, says so, and its set is unknown.

    The whole one costs the node about as much as ``ipset save``: nothing in the program goes by member.
    """
    members = "".join(f"add x-large 10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(100_000))
    place.host.run("ipset restore", stdin=f"create x-large hash:ip maxelem 200000\n{members}")
    try:
        whole = place.host.ask(Request(items=("link", "ipset")))
        cut = place.host.ask(Request(items=("link", "ipset"), item_bytes=500_000))
        saving_s = _cpu_of(place.host.inside("ipset", "save", "x-large"))
    finally:
        place.host.run("ipset destroy x-large")
    home = place.host.root_inode()
    item, part = whole.evidence.item("ipset", home), cut.evidence.item("ipset", home)
    assert item is not None
    assert part is not None
    assert len(decode_ipset_dump(item.payload).sets["x-large"].members) == 100_000
    assert part.status is ItemStatus.TRUNCATED
    assert decode_ipset_dump(part.payload).sets["x-large"].problem
    assert build_host(cut.evidence).root_netns.gaps["ipset"].startswith("truncated")
    assert whole.cpu_s < 5 * saving_s


def _cpu_of(argv: list[str]) -> float:
    """Return the CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
