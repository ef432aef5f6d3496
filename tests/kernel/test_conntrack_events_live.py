"""Events of conntrack on this kernel: real connections through real rules, and what is lost when nobody reads."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from skoopctl.bpf.events import BpfEvent
from skoopctl.bpf.program import BpfRequest
from skoopctl.bpf.stream import Counts
from tests.kernel.bpf_pair import ADDRESSES, TOOLS, Pair, Side, pair
from tests.kernel.bpf_watch import Watch
from tests.support.floods import flooding
from tests.support.kernel_dump import inside

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="conntrack's events need root"),
]

ENOUGH_S = 60.0
TCP, UDP, ICMP = 6, 17, 1
TRACKS = ("OUTPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
SERVICES = {4: "10.99.0.1", 6: "fd99::1"}


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces, where the client's tracks connections."""
    with pair("n") as made, made.client.rule(4, *TRACKS), made.client.rule(6, *TRACKS):
        # The end of an entry is an event too: none comes while a test goes on, however slow that is.
        for timeout in ("udp_timeout", "icmp_timeout"):
            made.client.sysctl(f"net/netfilter/nf_conntrack_{timeout}", "600")
        for family, service in SERVICES.items():
            made.client.run("ip", f"-{family}", "route", "add", service, "via", ADDRESSES[family][1])
        yield made


@pytest.fixture(autouse=True)
def nothing_tracked(wire: Pair) -> None:
    """Forget what earlier tests left: an entry that expires while a test watches is an event of its."""
    for side in (wire.client, wire.server):
        side.run("conntrack", "-F")


def asked(*namespaces: int, duration_s: float = ENOUGH_S, counts_s: float = 0.0) -> BpfRequest:
    """Return a request for the probe."""
    return BpfRequest(("conntrackevents",), duration_s, namespaces, counts_s=counts_s)


def ends(event: BpfEvent) -> tuple[str, int, str, int]:
    """Return the ends of the first direction."""
    return event.source, event.source_port, event.destination, event.destination_port


def reply_ends(event: BpfEvent) -> tuple[str | int, ...]:
    """Return the ends of the other direction."""
    names = ("reply_source", "reply_source_port", "reply_destination", "reply_destination_port")
    return tuple(event.details[name] for name in names)


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_through_nat_is_told_from_begin_to_end(wire: Pair, family: int) -> None:
    """New, each state, and the end have the service's address in one direction and the server's in the other."""
    near, far = ADDRESSES[family]
    service = SERVICES[family]
    target = f"{far}:7401" if family == 4 else f"[{far}]:7401"
    rule = ("-p", "tcp", "-d", service, "--dport", "80", "-j", "DNAT", "--to-destination", target)
    wire.client.run(TOOLS[family], "-w", "-t", "nat", "-A", "OUTPUT", *rule)
    with (
        Watch(asked(wire.client.inode)) as watch,
        contextlib.closing(wire.server.listener(family, 7401)) as listener,
        contextlib.closing(wire.client.socket(family)) as client,
    ):
        client.connect((service, 80))
        accepted, _ = listener.accept()
        port = client.getsockname()[1]
        client.close()
        accepted.close()
        watch.first(lambda e: e.details.get("state") == "TIME_WAIT", "the last state")
        wire.client.run("conntrack", "-D", "-f", f"ipv{family}", "-p", "tcp", "--orig-port-dst", "80")
        watch.first(lambda e: e.kind == "conntrack-destroy", "the end")
        events = watch.events
    assert [event.kind for event in events] == [
        "conntrack-new",
        *["conntrack-update"] * (len(events) - 2),
        "conntrack-destroy",
    ]
    states = [event.details["state"] for event in events]
    assert states[:3] == ["SYN_SENT", "SYN_RECV", "ESTABLISHED"]
    for event in events:
        assert (event.netns, event.family, event.protocol) == (wire.client.inode, family, TCP)
        assert ends(event) == (near, port, service, 80)
        assert reply_ends(event) == (far, 7401, near, port)
        assert "DST_NAT" in str(event.details["status"]).split(",")
    assert len({event.details["id"] for event in events}) == 1


def test_a_mark_and_a_zone_are_told(wire: Pair) -> None:
    """What rules wrote into the entry is in its details."""
    to = ("-p", "udp", "-d", ADDRESSES[4][1], "--dport", "7402")
    zone = ("-t", "raw", "-A", "OUTPUT", *to, "-j", "CT", "--zone", "7")
    wire.client.run("iptables", "-w", *zone)
    mark = ("-t", "mangle", "-A", "OUTPUT", *to, "-j", "CONNMARK", "--set-mark", "0x2a")
    wire.client.run("iptables", "-w", *mark)
    with Watch(asked(wire.client.inode)) as watch:
        send_udp(wire.client, 7402)
        seen = watch.first(lambda e: e.destination_port == 7402, "the entry")
    assert (seen.kind, seen.details["zone"], seen.details["mark"]) == ("conntrack-new", 7, 0x2A)


def test_an_echo_has_its_id_in_place_of_ports(wire: Pair) -> None:
    """ICMP has no ports; its type, code and id are details."""
    with Watch(asked(wire.client.inode)) as watch:
        with inside(wire.client.name), socket.socket(socket.AF_INET, socket.SOCK_RAW, ICMP) as echo:
            echo.sendto(struct.pack(">BBHHH", 8, 0, 0xFFFF - 0x0800 - 77, 77, 0), (ADDRESSES[4][1], 0))
        seen = watch.first(lambda e: e.protocol == ICMP, "the echo")
    details = [seen.details[name] for name in ("icmp_type", "icmp_code", "icmp_id")]
    assert (seen.source_port, seen.destination_port, details) == (0, 0, [8, 0, 77])


HELPER = """\
add table ip helped
add ct helper ip helped ftp { type "ftp" protocol tcp ; }
add chain ip helped output { type filter hook output priority 0 ; }
add rule ip helped output tcp dport 7421 ct helper set "ftp"
"""


def test_what_a_helper_expects_is_told(wire: Pair, tmp_path: Path) -> None:
    """FTP's PORT makes the helper expect a connection to that port; without its master it expects it no more."""
    rules = tmp_path / "rules"
    rules.write_text(HELPER, encoding="ascii")
    wire.client.run("nft", "-f", str(rules))
    try:
        with Watch(asked(wire.client.inode)) as watch:
            control, other = wire.connected(4, 7421)
            with control, other:
                control.send(b"USER nobody\r\n")
                other.recv(100)  # the helper looks behind the end of a line
                control.send(b"PORT 10,213,77,1,20,5\r\n")
                begun = watch.first(lambda e: e.kind == "expect-new", "the expectation")
                wire.client.run("conntrack", "-D", "-p", "tcp", "--orig-port-dst", "7421")
                ended = watch.first(lambda e: e.kind == "expect-destroy", "its end")
    finally:
        wire.client.run("nft", "delete", "table", "ip", "helped")
    for event in (begun, ended):
        assert (event.destination, event.destination_port) == (ADDRESSES[4][0], 20 * 256 + 5)
        assert (event.details["master_destination"], event.details["master_destination_port"]) == (
            ADDRESSES[4][1],
            7421,
        )
        assert event.details["helper"] == "ftp"


def test_nothing_is_told_where_nothing_is_tracked(wire: Pair) -> None:
    """Traffic of a namespace without rules, and of one that was not asked for, gives no events."""
    with Watch(asked(wire.server.inode, duration_s=2.0)) as watch:
        for end in wire.connected(4, 7403):
            end.close()
        watch.wait()
    assert (watch.ended_whole, watch.setups["conntrackevents"].status) == (True, "ok")
    assert (watch.events, watch.counts["conntrackevents"].totals) == ([], ())


def test_the_hosts_namespace_is_watched_where_none_is_named(wire: Pair) -> None:
    """Without names it is the host's alone: a pod's connections give no events."""
    with Watch(asked(duration_s=2.0)) as watch:
        send_udp(wire.client, 7404)
        watch.wait()
    assert watch.setups["conntrackevents"].status == "ok"
    assert [event for event in watch.events if event.netns == wire.client.inode] == []


def send_udp(side: Side, *ports: int) -> None:
    """Send a datagram to each port of the server."""
    with contextlib.closing(side.socket(4, socket.SOCK_DGRAM)) as made:
        for port in ports:
            made.sendto(b"x", (ADDRESSES[4][1], port))


MANY = range(20_000, 60_000)


@flooding()
def test_what_finds_no_room_is_counted_exactly(wire: Pair) -> None:
    """While the program does not read, messages are lost; what it counted and what was lost are all there were."""
    drop = ("INPUT", "-p", "udp", "-m", "udp", "--dport", f"{MANY[0]}:{MANY[-1]}", "-j", "DROP")
    with wire.server.rule(4, *drop), Watch(asked(wire.client.inode, counts_s=0.5)) as watch:
        os.kill(watch.process.pid, signal.SIGSTOP)
        try:
            send_udp(wire.client, *MANY)
        finally:
            os.kill(watch.process.pid, signal.SIGCONT)

        def told() -> tuple[int, int]:
            last = [said for said in list(watch.said) if isinstance(said, Counts)][-1:]
            new = [total.count for each in last for total in each.totals if total.kind == "conntrack-new"]
            return sum(new), sum(each.lost for each in last)

        watch.until(lambda: sum(told()) >= len(MANY), "all to be counted or lost")
        counted, lost = told()
    assert counted + lost == len(MANY)
    assert min(counted, lost) > 0


def test_events_that_are_switched_off_are_told() -> None:
    """Where nf_conntrack_events is 0 the probe is unavailable and names it."""
    with pair("o") as made:
        made.client.sysctl("net/netfilter/nf_conntrack_events", "0")
        with Watch(asked(made.client.inode, duration_s=5.0)) as watch:
            setup = watch.setups["conntrackevents"]
    assert setup.status == "unavailable"
    assert "nf_conntrack_events is 0" in setup.detail


def listeners(side: Side) -> int:
    """Return how many sockets listen to conntrack in a namespace."""
    with inside(side.name):
        rows = Path("/proc/thread-self/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    return sum(words[1] == "12" and int(words[3], 16) != 0 for words in map(str.split, rows))


def test_sigkill_leaves_no_listener(wire: Pair) -> None:
    """After a SIGKILL nobody listens to conntrack in the namespace."""
    with Watch(asked(wire.client.inode)) as watch:
        assert listeners(wire.client) == 1
        os.kill(watch.process.pid, signal.SIGKILL)
        watch.wait()
        watch.until(lambda: listeners(wire.client) == 0, "the listener to go")
