"""Connections that a kernel has already, against the walk: real entries, real packets, the program's own dump.

A client, a router that translates 10.96.0.10 to 10.2.0.2, and a server, each in a namespace of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow, Outcome, PathResult, Verdict
from skoopctl.evidence.item import HOST_WIDE, HostEvidence, Item, ItemStatus
from skoopctl.evidence.payload import program_source
from skoopctl.evidence.request import NETNS_ITEMS, Request
from skoopctl.kernel.build import build_host
from skoopctl.kernel.conntrack import Connection
from tests.lab.node_host import wait_until
from tests.support.kernel_dump import dump_in, inside, ip, namespaces

pytestmark = pytest.mark.lab

CLIENT, ROUTER, SERVER = (f"t-ct-{os.getpid()}-{each}" for each in ("client", "router", "server"))
VIRTUAL, REAL, GONE, SOURCE = "10.96.0.10", "10.2.0.2", "10.2.0.99", "10.1.0.2"
OLD_PORT, FREE_PORT = 40001, 41000
WAIT_S = 6.0
"""Longer than ARP asks in vain: then the router says that the host is unreachable."""
LONG_S = 20.0
"""For what is predicted to come."""
DNAT = f"-t nat -A PREROUTING -d {VIRTUAL} -p {{}} --dport 80 -j DNAT --to-destination {REAL}:80"
OLD_TCP = f"-p tcp -d {VIRTUAL} --dport 80 -t 300"
OLD_UDP = f"-p udp -d {VIRTUAL} --dport 80 -t 300"


def run(namespace: str, *words: str) -> str:
    """Run a program in a namespace."""
    command = ["ip", "netns", "exec", namespace, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@cache
def program() -> dict[str, Any]:
    """Return the node program's functions, without running it."""
    names: dict[str, Any] = {}
    exec(compile(program_source(Request()).rpartition("main(")[0], "program", "exec"), names)  # noqa: S102
    return names


@dataclass(frozen=True)
class Lab:
    """The three namespaces."""

    def rule(self, words: str) -> None:
        """Add an iptables rule on the router."""
        run(ROUTER, "iptables", *words.split())

    def entry(self, words: str, port: int = OLD_PORT, goal: str = GONE) -> None:
        """Add an entry of conntrack from the client's port, which translates to ``goal`` ('': not at all)."""
        more = ["--dst-nat", f"{goal}:80"] if goal else []
        run(ROUTER, "conntrack", "-I", *words.split(), "-s", SOURCE, "--sport", str(port), *more)

    def tries(self, port: int, protocol: str = "tcp", expected: str = "timeout") -> str:
        """Return what a client with this source port gets; what is expected to come is waited for."""
        if protocol == "tcp":
            return _connect(port, WAIT_S if expected == "timeout" else LONG_S)
        return _ask(port, LONG_S if expected == "connected" else 1.0)

    def predicts(self, ports: str, protocol: str = "tcp") -> PathResult:
        """Walk the same flow through what the node program reads; ``ports`` is the client's range."""
        hosts = {"node": build_host(evidence(ports))}
        key = ("node", inode(CLIENT))
        return walk(Network(Topology(hosts)), Flow(SOURCE, VIRTUAL, protocol, 80), key)


def inode(namespace: str) -> int:
    """Return a namespace's inode."""
    return Path("/run/netns", namespace).stat().st_ino


def evidence(ports: str) -> HostEvidence:
    """Collect the three namespaces as items; the router stands for the host."""
    numbers = {name: inode(name) for name in (ROUTER, CLIENT, SERVER)}
    described = [
        {"inode": number, "names": [name], "host": name == ROUTER} for name, number in numbers.items()
    ]
    identity = {"hostname": "node", "root_netns": numbers[ROUTER]}
    items = [
        Item(HOST_WIDE, "identity", ItemStatus.OK, json.dumps(identity).encode()),
        Item(HOST_WIDE, "namespaces", ItemStatus.OK, json.dumps(described).encode()),
    ]
    for name, number in numbers.items():
        texts = {
            "sysctl": f"net/ipv4/ip_forward={int(name == ROUTER)}\nnet/ipv4/ip_local_port_range={ports}\n",
            "nsid": json.dumps(_nsids(name)),
            "iptables-nft": run(name, "iptables-save", "-c"),
            "proc-net-tcp": run(name, "cat", "/proc/net/tcp"),
            "proc-net-udp": run(name, "cat", "/proc/net/udp"),
        }
        found = {item: (ItemStatus.OK, raw) for item, raw in dump_in(name).items()}
        found |= {item: (ItemStatus.OK, text.encode()) for item, text in texts.items()}
        found["conntrack"] = conntrack_item(name)
        for item in NETNS_ITEMS:
            status, raw = found.get(item, (ItemStatus.ABSENT, b""))
            items.append(Item(number, item, status, raw, "" if item in found else "no tables"))
    return HostEvidence("node", {(item.netns, item.name): item for item in items})


def conntrack_item(namespace: str) -> tuple[ItemStatus, bytes]:
    """Read the item ``conntrack`` with the node program's own function."""
    names = program()
    reader = names["Connections"](names["Modules"](), 1 << 24, 10)
    with inside(namespace):
        try:
            payload, _ = reader.read(is_host=True)
        except names["Outcome"] as outcome:
            return ItemStatus(outcome.status), b""
    return ItemStatus.OK, unpacked(payload)


def unpacked(payload: Any) -> bytes:
    """Return a payload's bytes."""
    import zlib

    names = program()
    flags, body = payload.finish()
    return zlib.decompressobj(names["WINDOW"]).decompress(body) if flags else body


def _nsids(namespace: str) -> dict[int, int]:
    """Return which namespace each nsid of this one stands for."""
    listed = json.loads(ip(namespace, "-j", "netns", "list-id"))
    return {entry["nsid"]: inode(entry["name"]) for entry in listed if "name" in entry}


def _connect(port: int, wait_s: float) -> str:
    with inside(CLIENT), socket.socket() as client:
        client.settimeout(wait_s)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind((SOURCE, port))
        try:
            client.connect((VIRTUAL, 80))
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "unreachable"
    return "connected"


def _ask(port: int, wait_s: float) -> str:
    with inside(CLIENT), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(wait_s)
        client.bind((SOURCE, port))
        client.connect((VIRTUAL, 80))
        client.send(b"?")
        try:
            return "connected" if client.recv(10) == b"!" else "garbled"
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"


@contextmanager
def responder() -> Iterator[None]:
    """Answer on port 80 of the server, in TCP and UDP."""
    with inside(SERVER):
        tcp, udp = socket.create_server((REAL, 80)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((REAL, 80))

    def answer() -> None:
        while True:
            data, peer = udp.recvfrom(10)
            if data == b"end":
                return
            udp.sendto(b"!", peer)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with inside(SERVER), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", (REAL, 80))
        thread.join(2)
        tcp.close()
        udp.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Make the namespaces, with a responder in the server's."""
    with namespaces(CLIENT, ROUTER, SERVER):
        for far, device, number, net in (
            (CLIENT, "to-client", 11, "10.1.0"),
            (SERVER, "to-server", 12, "10.2.0"),
        ):
            pair = (
                f"link add {device} index {number} type veth peer name eth0 index {number + 10} netns {far}"
            )
            ip(ROUTER, *pair.split())
            ip(ROUTER, "addr", "add", f"{net}.1/24", "dev", device)
            ip(far, "addr", "add", f"{net}.2/24", "dev", "eth0")
            for namespace, link in ((ROUTER, device), (far, "eth0"), (far, "lo")):
                ip(namespace, "link", "set", link, "up")
            ip(far, "route", "add", "default", "via", f"{net}.1")
        run(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        with responder():
            yield Lab()


def only(result: PathResult) -> str:
    """Return the one outcome of a walk in which nothing is unknown."""
    assert result.unknowns == ()
    outcomes = {branch.outcome.value for branch in result.branches}
    assert len(outcomes) == 1, outcomes
    return outcomes.pop()


def agree(lab: Lab, port: int, protocol: str = "tcp") -> str:
    """Return what the kernel and the walk say alike about one source port."""
    predicted = only(lab.predicts(f"{port} {port}", protocol))
    assert lab.tries(port, protocol, predicted) == predicted
    return predicted


def test_a_udp_entry_of_real_traffic_outlives_its_endpoint(lab: Lab) -> None:
    """A client that keeps its port goes on to the endpoint that is gone; another port gets the new one."""
    lab.rule(DNAT.format("udp").replace(REAL, GONE))
    assert lab.tries(OLD_PORT, "udp") == "timeout"
    run(ROUTER, "iptables", "-t", "nat", "-F")
    lab.rule(DNAT.format("udp"))
    assert agree(lab, OLD_PORT, "udp") == "timeout"
    assert agree(lab, FREE_PORT, "udp") == "connected"


def test_the_share_of_an_old_entry_is_its_part_of_the_range(lab: Lab) -> None:
    """With a range of ports the old entry is a branch with the weight of its one port."""
    lab.rule(DNAT.format("udp"))
    lab.entry(OLD_UDP)
    result = lab.predicts(f"{OLD_PORT} {OLD_PORT + 99}", "udp")
    assert result.verdict is Verdict.MIXED
    assert result.outcomes() == {Outcome.CONNECTED: pytest.approx(0.99), Outcome.TIMEOUT: pytest.approx(0.01)}
    words = [branch.choices for branch in result.branches if branch.outcome is Outcome.TIMEOUT]
    assert words == [(f"the old connection from port {OLD_PORT} to {GONE}",)]


def test_an_entry_that_is_older_than_the_rule_is_not_translated(lab: Lab) -> None:
    """NAT's rules are not asked for a connection that is known, so the packet keeps the service's address."""
    lab.rule(DNAT.format("udp"))
    lab.entry(OLD_UDP + f" -r {VIRTUAL} -q {SOURCE} --reply-port-src 80 --reply-port-dst {OLD_PORT}", goal="")
    assert agree(lab, OLD_PORT, "udp") != "connected"
    assert agree(lab, FREE_PORT, "udp") == "connected"


@pytest.mark.parametrize(
    ("state", "reopened"),
    [("ESTABLISHED", False), ("FIN_WAIT", False), ("LAST_ACK", False), ("TIME_WAIT", True), ("CLOSE", True)],
)
def test_a_syn_meets_an_old_tcp_entry(lab: Lab, state: str, reopened: bool) -> None:
    """Only closed states begin anew: in every other one the SYN follows the old translation."""
    lab.rule(DNAT.format("tcp"))
    lab.entry(f"{OLD_TCP} --state {state} -u ASSURED,SEEN_REPLY")
    predicted = agree(lab, OLD_PORT)
    assert (predicted == "connected") == reopened


def test_an_entry_without_an_answer_takes_the_syn(lab: Lab) -> None:
    """SYN_SENT is not anew either."""
    lab.rule(DNAT.format("tcp"))
    lab.entry(f"{OLD_TCP} --state SYN_SENT")
    assert agree(lab, OLD_PORT) == "unreachable"


@pytest.mark.parametrize(("zone", "expected"), [(0, "connected"), (5, "timeout")])
def test_a_zone_is_a_table_of_its_own(lab: Lab, zone: int, expected: str) -> None:
    """Packets in zone 5 do not meet an entry of zone 0."""
    lab.rule("-t raw -A PREROUTING -i to-client -j CT --zone 5")
    lab.rule("-t raw -A PREROUTING -i to-server -j CT --zone 5")
    lab.rule(DNAT.format("udp"))
    lab.entry(OLD_UDP + (f" -w {zone}" if zone else ""))
    assert agree(lab, OLD_PORT, "udp") == expected


@pytest.mark.parametrize("drop_invalid", [False, True])
def test_the_answer_to_an_untracked_syn_is_invalid(lab: Lab, drop_invalid: bool) -> None:
    """NOTRACK holds for the packet it is given to: the SYN-ACK begins nothing, and is INVALID."""
    ip(CLIENT, "route", "add", f"{REAL}/32", "via", "10.1.0.1")
    lab.rule("-t raw -A PREROUTING -i to-client -j NOTRACK")
    lab.rule(f"-A FORWARD -m conntrack --ctstate INVALID -j {'DROP' if drop_invalid else 'ACCEPT'}")
    hosts = {"node": build_host(evidence(f"{FREE_PORT} {FREE_PORT}"))}
    result = walk(Network(Topology(hosts)), Flow(SOURCE, REAL, "tcp", 80), ("node", inode(CLIENT)))
    with inside(CLIENT), socket.socket() as client:
        client.settimeout(WAIT_S)
        client.bind((SOURCE, FREE_PORT))
        outcome = "connected"
        try:
            client.connect((REAL, 80))
        except TimeoutError:
            outcome = "timeout"
    assert outcome == only(result) == ("timeout" if drop_invalid else "connected")


@pytest.mark.parametrize(("loose", "goes_on"), [("1", True), ("0", False)])
def test_a_segment_in_the_middle_begins_a_connection_when_loose(lab: Lab, loose: str, goes_on: bool) -> None:
    """After the table was emptied, data makes a new entry, and is INVALID with nf_conntrack_tcp_loose = 0."""
    from skoopctl.dataplane.conntrack import CtState, Table
    from skoopctl.dataplane.packet import Flags
    from tests.support.worlds import packet

    run(ROUTER, "sysctl", "-qw", f"net.netfilter.nf_conntrack_tcp_loose={loose}")
    lab.rule("-A FORWARD -m conntrack --ctstate INVALID -j DROP")
    with inside(CLIENT), socket.socket() as client:
        client.settimeout(WAIT_S)
        client.connect((REAL, 80))
        run(ROUTER, "conntrack", "-F")
        client.send(b"data")

        def is_tracked() -> bool:
            return "dport=80" in run(ROUTER, "conntrack", "-L", "-p", "tcp")

        assert wait_until(is_tracked, LONG_S if goes_on else 0.0) == goes_on
    state = Table(loose=loose == "1").track(packet(flags=Flags.ACK)).state
    assert (state is CtState.NEW) == goes_on


def test_the_dump_says_what_conntrack_says(lab: Lab) -> None:
    """Every entry that ``conntrack -L`` lists is decoded with its tuples, status, state, zone and mark."""
    lab.rule(DNAT.format("tcp"))
    lab.rule(DNAT.format("udp"))
    lab.entry(f"{OLD_TCP} --state ESTABLISHED -u ASSURED,SEEN_REPLY")
    lab.entry(f"{OLD_UDP} -m 7", port=OLD_PORT + 1)
    lab.entry(f"{OLD_UDP} -w 9", port=OLD_PORT + 2)
    assert lab.tries(FREE_PORT, expected="connected") == "connected"
    table = build_host(evidence("1 2")).root_netns.conntrack
    assert table is not None
    assert table.complete
    listed = run(ROUTER, "conntrack", "-L").splitlines()
    assert sorted(_plain(entry.text) for entry in table.entries) == sorted(_plain(line) for line in listed)
    assert {entry.destination_nat for entry in table.entries} == {True}


def _plain(line: str) -> str:
    """Leave out what moves or is not decoded: the timeout, the use count."""
    words = line.split()
    return " ".join(
        word for n, word in enumerate(words) if n != 2 and not word.startswith(("use=", "secctx="))
    )


def test_the_filter_of_large_tables_keeps_what_matters(lab: Lab) -> None:
    """The kernel itself leaves out entries that are answered and do not translate."""
    lab.entry(f"{OLD_TCP} --state ESTABLISHED -u ASSURED,SEEN_REPLY")
    lab.entry(OLD_UDP, port=OLD_PORT + 1, goal="")
    plain = f"{OLD_TCP} --state ESTABLISHED -u ASSURED,SEEN_REPLY -r {VIRTUAL} -q {SOURCE}"
    lab.entry(f"{plain} --reply-port-src 80 --reply-port-dst {FREE_PORT}", port=FREE_PORT, goal="")
    assert ports_of(5000) == {OLD_PORT, OLD_PORT + 1}
    assert ports_of(3) == {OLD_PORT, OLD_PORT + 1, FREE_PORT}


def ports_of(count: int) -> set[int]:
    """Return the source ports that the node program reads when it takes the table to have ``count`` entries."""
    from skoopctl.kernel.netlink import decode_conntrack

    with inside(ROUTER):
        payload, _ = program()["connections"](count, 1 << 24, 10)
    found = decode_conntrack(unpacked(payload))
    assert found.problem == ""
    entries: tuple[Connection, ...] = found.entries
    return {entry.original.source_port for entry in entries}


def test_huge_tables_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit the node program says how many there are, and asks for nothing."""
    names = program()
    monkeypatch.setitem(names, "how_many", lambda: (1 << 17) + 1)
    monkeypatch.delitem(names, "connections")
    reader = names["Connections"](names["Modules"](), 1 << 24, 10)
    with pytest.raises(names["Outcome"]) as caught:
        reader.read(is_host=True)
    assert (caught.value.status, caught.value.detail) == (
        "truncated",
        "131073 entries, more than 131072: not read",
    )


def test_a_cut_table_says_so(lab: Lab) -> None:
    """A dump that is larger than its cap keeps what it has and is truncated."""
    for port in range(OLD_PORT, OLD_PORT + 40):
        lab.entry(OLD_UDP, port=port)
    names = program()
    with inside(ROUTER), pytest.raises(names["Outcome"]) as caught:
        names["connections"](40, 100, 10)
    assert caught.value.status == "truncated"
