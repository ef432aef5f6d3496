"""The eBPF probes of latencies on this kernel: real delays, what they are told to be of, and what is none."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skoopctl.bpf.events import BpfEvent
from tests.kernel.bpf_delays import COUNTS_S, HOUR_US, asked, delay_of, row, until_counted
from tests.kernel.bpf_pair import ADDRESSES, Pair, pair
from tests.kernel.bpf_watch import Watch
from tests.kernel.busy_machine import BLOCK, busy, disk_under, write_and_read

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("l") as made:
        yield made


def datagrams(wire: Pair, port: int, times: int = 1, family: int = 4) -> int:
    """Send datagrams from the client to a socket of the server and return the port that they came from."""
    with (
        contextlib.closing(wire.server.socket(family, socket.SOCK_DGRAM)) as far,
        contextlib.closing(wire.client.socket(family, socket.SOCK_DGRAM)) as near,
    ):
        far.bind(("", port))
        for _ in range(times):
            near.sendto(b"x" * 100, (ADDRESSES[family][1], port))
            assert far.recv(200)
        return int(near.getsockname()[1])


@pytest.mark.parametrize(
    ("very_slow_us", "kinds"),
    [
        (HOUR_US, {"softirq-wait-slow", "softirq-run-slow"}),
        (1, {"softirq-wait-very-slow", "softirq-run-very-slow"}),
    ],
)
def test_softirqs_over_a_threshold_are_told(wire: Pair, very_slow_us: int, kinds: set[str]) -> None:
    """Received packets give softirqs of type NET_RX that wait and run, shorter than the test and longer than asked."""
    begun = time.monotonic_ns()
    with Watch(asked("softirq", slow=1, very_slow=very_slow_us)) as watch:

        def seen() -> set[str]:
            datagrams(wire, 7101, 20)
            return {event.kind for event in watch.events if event.reason_name == "NET_RX"}

        watch.until(lambda: seen() >= kinds, "both stages of NET_RX")
    took = time.monotonic_ns() - begun
    assert {event.kind for event in watch.events} == kinds
    for event in watch.events:
        assert 1_000 <= delay_of(event).latency_ns < took
        assert begun < event.mono_ns < begun + took
        assert delay_of(event).cpu < (os.cpu_count() or 1)
        assert (event.netns, event.source, delay_of(event).pid) == (0, "", 0)


def test_softirqs_below_the_threshold_are_only_counted(wire: Pair) -> None:
    """With a threshold of an hour there is no event, and the histograms have every softirq of a flood."""
    with Watch(asked("softirq", counts_s=COUNTS_S, slow=HOUR_US, very_slow=HOUR_US)) as watch:
        datagrams(wire, 7102, 200)
        until_counted(watch, "softirq", 200, ("run", "NET_RX"))
    assert watch.events == []
    assert watch.counts["softirq"].totals == ()
    assert 0 < row(watch, "softirq", "run", "NET_RX").sum_ns < 10**11


@pytest.mark.parametrize("family", [4, 6])
def test_a_packet_that_waits_in_a_slow_queue_is_told(wire: Pair, family: int) -> None:
    """A token bucket keeps packets behind the first: one is told with both ends, the device and the time."""
    near, far = ADDRESSES[family]
    client = wire.client
    device = ("dev", client.device, "root")
    client.run(*("tc", "qdisc", "add", *device, "tbf", "rate", "16kbit", "burst", "1600", "latency", "20s"))
    try:
        with (
            Watch(asked("netiftxlat", client.inode)) as watch,
            contextlib.closing(client.socket(family, socket.SOCK_DGRAM)) as sender,
        ):
            begun = time.monotonic_ns()
            # The bucket fills while we do not run: the second waits for less than 0.3 s, the fourth for 1.3.
            for _ in range(4):
                sender.sendto(b"x" * 1000, (far, 7103))
            sent = sender.getsockname()[1]
            seen = watch.first(lambda e: e.kind == "transmit-qdisc-slow", "the packet that was kept")
            took = time.monotonic_ns() - begun
    finally:
        client.run("tc", "qdisc", "del", *device)
    assert 100_000_000 <= delay_of(seen).latency_ns < took
    assert (seen.source, seen.source_port, seen.destination, seen.destination_port) == (near, sent, far, 7103)
    assert (seen.netns, seen.ifindex) == (client.inode, client.ifindex)
    assert seen.length >= 1000
    assert [event for event in watch.events if event.kind == "transmit-driver-slow"] == []


def test_a_driver_over_a_threshold_is_told_with_its_device(wire: Pair) -> None:
    """What the driver takes is told with namespace, device and length, and without ends: the packet is gone then."""
    begun = time.monotonic_ns()
    with Watch(asked("netiftxlat", wire.client.inode, slow=0)) as watch:
        port = datagrams(wire, 7104)
        watch.first(lambda e: e.kind == "transmit-driver-slow" and e.length >= 100, "the driver")
        queue = watch.first(lambda e: e.destination_port == 7104, "the queue")
    took = time.monotonic_ns() - begun
    assert queue.source_port == port
    assert {event.netns for event in watch.events} == {wire.client.inode}, "only what was asked for"
    for event in watch.events:
        assert 0 < delay_of(event).latency_ns < took
        assert event.ifindex == wire.client.ifindex
        assert event.kind == "transmit-qdisc-slow" or event.source == event.destination == ""


def test_packets_that_leave_quickly_are_only_counted(wire: Pair) -> None:
    """With a threshold of an hour there is no event, and both histograms have every packet."""
    with Watch(asked("netiftxlat", wire.client.inode, counts_s=COUNTS_S, slow=HOUR_US)) as watch:
        datagrams(wire, 7105, 300)
        until_counted(watch, "netiftxlat", 300, ("qdisc", ""), ("driver", ""))
    assert watch.events == []


def test_a_tunnels_packet_is_measured_on_each_device(wire: Pair) -> None:
    """A packet that a tunnel hands on while its driver works counts for both devices."""
    near, far = ADDRESSES[4]
    wire.client.run(
        "ip", "link", "add", "t0", "type", "vxlan", "id", "7", "local", near, "remote", far, "dstport", "4789"
    )
    try:
        wire.client.run("ip", "addr", "add", "10.213.78.1/24", "dev", "t0")
        wire.client.run("ip", "link", "set", "t0", "up")
        with Watch(asked("netiftxlat", wire.client.inode, slow=0)) as watch:
            with wire.client.socket(4, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x" * 100, ("10.213.78.2", 7106))
            watch.until(
                lambda: len({e.ifindex for e in watch.events if e.kind == "transmit-driver-slow"}) == 2,
                "both devices",
            )
    finally:
        wire.client.run("ip", "link", "del", "t0")


def to_port(kind: str, port: int) -> Callable[[BpfEvent], bool]:
    """Return what recognises an event by its kind and the port that it is for."""
    return lambda event: (event.kind, event.destination_port) == (kind, port)


def connect(wire: Pair, family: int, port: int) -> tuple[int, int]:
    """Try to connect from the client to the server; return the errno and the local port."""
    with contextlib.closing(wire.client.socket(family)) as made:
        made.settimeout(None)
        made.bind(("", 0))
        local = int(made.getsockname()[1])
        return made.connect_ex((ADDRESSES[family][1], port)), local


REJECTS = {
    (4, "icmp-host-prohibited"): errno.EHOSTUNREACH,
    (4, "icmp-port-unreachable"): errno.ECONNREFUSED,
    (6, "icmp6-adm-prohibited"): errno.EACCES,
    (6, "icmp6-port-unreachable"): errno.ECONNREFUSED,
}


@pytest.mark.parametrize(("family", "answer"), REJECTS)
def test_a_rejected_connection_fails_with_its_errno(wire: Pair, family: int, answer: str) -> None:
    """REJECT gives one failure with the errno that the program got, both ends, and the program itself."""
    rule = ("INPUT", "-p", "tcp", "--dport", "7110", "-j", "REJECT", "--reject-with", answer)
    with Watch(asked("tcpconnect", wire.client.inode)) as watch, wire.server.rule(family, *rule):
        number, local = connect(wire, family, 7110)
        seen = watch.first(to_port("connect-failed", 7110), "the failure")
    near, far = ADDRESSES[family]
    assert (number, seen.error) == (REJECTS[family, answer], -number)
    assert (seen.source, seen.source_port, seen.destination) == (near, local, far)
    assert (seen.netns, seen.family, seen.protocol) == (wire.client.inode, family, socket.IPPROTO_TCP)
    assert delay_of(seen).pid == os.getpid()
    assert delay_of(seen).task == Path("/proc/thread-self/comm").read_text(encoding="ascii").strip()
    assert len(watch.events) == 1


@pytest.mark.parametrize("family", [4, 6])
def test_a_closed_port_is_connection_refused(wire: Pair, family: int) -> None:
    """Where nobody listens, the failure has ECONNREFUSED and comes sooner than the test ends."""
    begun = time.monotonic_ns()
    with Watch(asked("tcpconnect", wire.client.inode)) as watch:
        connect(wire, family, 7111)
        seen = watch.first(to_port("connect-failed", 7111), "the failure")
        assert 0 < delay_of(seen).latency_ns < time.monotonic_ns() - begun
    assert seen.error == -errno.ECONNREFUSED


@pytest.mark.parametrize("family", [4, 6])
def test_a_blackhole_is_a_timeout(wire: Pair, family: int) -> None:
    """Where every SYN is dropped, the failure has ETIMEDOUT and the time that it took, above a second."""
    wire.client.sysctl("net/ipv4/tcp_syn_retries", "1")
    begun = time.monotonic_ns()
    with (
        Watch(asked("tcpconnect", wire.client.inode)) as watch,
        wire.server.rule(family, "INPUT", "-p", "tcp", "--dport", "7112", "-j", "DROP"),
    ):
        assert connect(wire, family, 7112)[0] == errno.ETIMEDOUT
        seen = watch.first(to_port("connect-failed", 7112), "the failure")
        took = time.monotonic_ns() - begun
    assert seen.error == -errno.ETIMEDOUT
    assert 1_000_000_000 < delay_of(seen).latency_ns < took


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_whose_first_syn_is_lost_is_slow(wire: Pair, family: int) -> None:
    """A lost SYN is sent again after a second: the connection is made, and told as slow."""
    lost = ("-p", "tcp", "--dport", "7113", "--syn")
    first = ("-m", "statistic", "--mode", "nth", "--every", "1000", "--packet", "0")
    with (
        Watch(asked("tcpconnect", wire.client.inode)) as watch,
        wire.server.rule(family, "INPUT", *lost, *first, "-j", "DROP"),
    ):
        for end in wire.connected(family, 7113):
            end.close()
        seen = watch.first(to_port("connect-slow", 7113), "the slow connection")
    assert seen.error == 0
    assert delay_of(seen).latency_ns > 900_000_000
    assert {event.kind for event in watch.events} == {"connect-slow"}


def test_a_connection_that_is_given_up_is_abandoned(wire: Pair) -> None:
    """A program that closes before there is an answer has abandoned it: no errno is made up."""
    with (
        Watch(asked("tcpconnect", wire.client.inode)) as watch,
        wire.server.rule(4, "INPUT", "-p", "tcp", "--dport", "7114", "-j", "DROP"),
    ):
        made = wire.client.socket(4)
        made.setblocking(False)
        assert made.connect_ex((ADDRESSES[4][1], 7114)) == errno.EINPROGRESS
        made.close()
        seen = watch.first(to_port("connect-abandoned", 7114), "the end of it")
    assert (seen.error, len(watch.events)) == (0, 1)


def test_connections_that_are_made_are_only_counted(wire: Pair) -> None:
    """Connections that are made in time give no event; those who connect are counted, those who accept are not."""
    with Watch(asked("tcpconnect", counts_s=COUNTS_S, slow=HOUR_US)) as watch:
        for family in (4, 6):
            for _ in range(5):
                for end in wire.connected(family, 7115):
                    end.close()
        until_counted(watch, "tcpconnect", 10, ("established", ""))
    ours = {wire.client.inode, wire.server.inode}
    assert [event for event in watch.events if event.netns in ours] == []


def test_only_wanted_namespaces_connect(wire: Pair) -> None:
    """A probe that is asked about the server's namespace counts no connection of the client's."""
    with Watch(asked("tcpconnect", wire.server.inode, duration_s=2.0, slow=0)) as watch:
        connect(wire, 4, 7116)
        for end in wire.connected(4, 7116):
            end.close()
        watch.wait()
    assert watch.ended_whole
    assert (watch.events, watch.counts["tcpconnect"].histograms) == ([], ())


def test_tasks_that_share_a_cpu_wait_for_it(wire: Pair) -> None:
    """Three programs that want one CPU wait for each other: each is told by name, number and namespace."""
    begun = time.monotonic_ns()
    with (
        Watch(asked("runqueue", wire.client.inode, slow=1000)) as watch,
        busy(wire.client, 3) as tasks,
    ):
        watch.until(
            lambda: {delay_of(event).pid for event in watch.events if delay_of(event).cpu == 0} >= set(tasks),
            "each of the three to wait for the CPU that they share",
        )
        took = time.monotonic_ns() - begun
    assert {event.netns for event in watch.events} == {wire.client.inode}, "only what was asked for"
    for event in watch.events:
        assert event.kind == "runqueue-slow"
        assert 1_000_000 <= delay_of(event).latency_ns < took
        assert event.cgroup > 0
    ours = [event for event in watch.events if delay_of(event).pid in tasks]
    assert {delay_of(event).task for event in ours} <= {
        "nsenter",
        Path(sys.executable).resolve().name[:15],
        "python",
    }


def test_waits_below_the_threshold_are_only_counted(wire: Pair) -> None:
    """With a threshold of an hour there is no event, and the histogram has many waits."""
    with Watch(asked("runqueue", counts_s=COUNTS_S, slow=HOUR_US)) as watch:
        datagrams(wire, 7120, 200)
        until_counted(watch, "runqueue", 51, ("wait", ""))
    assert watch.events == []


def test_requests_over_a_threshold_are_told(tmp_path: Path) -> None:
    """Blocks that are written and read past the cache are told with operation, length and disk."""
    disk = disk_under(tmp_path)
    begun = time.monotonic_ns()
    with Watch(asked("biolatency", slow=1)) as watch:
        for operation in ("WRITE", "READ"):

            def told(operation: str = operation) -> list[BpfEvent]:
                # The whole machine's requests are told, and where those are too many ours may find no room.
                write_and_read(tmp_path / "blocks")
                wanted = (operation, BLOCK, disk)
                return [e for e in watch.events if (e.reason_name, e.length, delay_of(e).device) == wanted]

            watch.until(lambda told=told: bool(told()), f"a {operation} of one block of {disk}")  # type: ignore[misc]
            seen = told()[0]
            assert (seen.kind, seen.netns, delay_of(seen).pid) == ("block-slow", 0, 0)
            assert 1_000 <= delay_of(seen).latency_ns < time.monotonic_ns() - begun


def test_requests_below_the_threshold_are_only_counted(tmp_path: Path) -> None:
    """With a threshold of an hour there is no event, and the histograms have what was written and read."""
    disk_under(tmp_path)
    with Watch(asked("biolatency", counts_s=COUNTS_S, slow=HOUR_US)) as watch:
        write_and_read(tmp_path / "blocks", 20)
        until_counted(watch, "biolatency", 20, ("request", "WRITE"), ("request", "READ"))
    assert watch.events == []
