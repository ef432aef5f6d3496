"""Packets that the kernel keeps, on this kernel: a netfilter queue, a neighbour that does not answer, and neither."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skoopctl.bpf.events import BpfEvent
from tests.kernel.bpf_delays import (
    COUNTS_S,
    HOUR_US,
    asked,
    dawdle,
    delay_of,
    totals,
    until_counted,
    until_totalled,
)
from tests.kernel.bpf_pair import ADDRESSES, Pair, Side, pair
from tests.kernel.bpf_watch import Watch
from tests.kernel.nfqueue import Queue

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

SOLICITATION = ("-p", "icmpv6", "--icmpv6-type", "neighbor-solicitation")
HELD_S = 0.15
"""Longer than what is very slow, shorter than TCP waits before it sends again."""
PROBE = "kernellatency"


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("k") as made:
        yield made


@contextlib.contextmanager
def connection(wire: Pair, family: int, port: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection for a while."""
    near, far = wire.connected(family, port)
    try:
        yield near, far
    finally:
        near.close()
        far.close()


def queued(
    side: Side, family: int, protocol: str, port: int, chain: str
) -> contextlib.AbstractContextManager[None]:
    """Return a rule by which packets to a port wait for a verdict."""
    return side.rule(family, chain, "-p", protocol, "--dport", str(port), "-j", "NFQUEUE", "--queue-num", "7")


def slow(kind: str, port: int) -> Callable[[BpfEvent], bool]:
    """Return what recognises an event by its kind and the port that it is for."""
    return lambda event: (event.kind, event.destination_port) == (kind, port)


@pytest.mark.parametrize(
    ("very_slow_us", "kind"), [(100_000, "receive-very-slow"), (HOUR_US, "receive-slow")]
)
@pytest.mark.parametrize("family", [4, 6])
def test_a_segment_that_waits_for_a_verdict_on_its_way_in_is_told(
    wire: Pair, family: int, very_slow_us: int, kind: str
) -> None:
    """What NFQUEUE keeps in INPUT is told of the receiver's namespace: both ends, the device, how long."""
    begun = time.monotonic_ns()
    with (
        connection(wire, family, 7301) as (near, far),
        Watch(asked(PROBE, wire.server.inode, very_slow=very_slow_us)) as watch,
        Queue(wire.server, 7) as queue,
        queued(wire.server, family, "tcp", 7301, "INPUT"),
    ):
        near.sendall(b"x" * 100)
        packet = queue.held()
        dawdle(HELD_S)
        queue.let_go(packet)
        assert far.recv(200) == b"x" * 100
        sent = near.getsockname()[1]
        seen = watch.first(slow(kind, 7301), "the segment")
        took = time.monotonic_ns() - begun
    source, destination = ADDRESSES[family]
    assert (seen.source, seen.source_port, seen.destination) == (source, sent, destination)
    assert (seen.netns, seen.ifindex) == (wire.server.inode, wire.server.ifindex)
    assert (seen.protocol, seen.family) == (socket.IPPROTO_TCP, family)
    assert seen.length >= 100 + 40
    assert HELD_S * 0.9e9 < delay_of(seen).latency_ns < took


@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_that_waits_for_a_verdict_on_its_way_in_is_told(wire: Pair, family: int) -> None:
    """A datagram is told once, with the address of a sender that the receiving socket does not know."""
    with (
        Watch(asked(PROBE, wire.server.inode)) as watch,
        Queue(wire.server, 7) as queue,
        queued(wire.server, family, "udp", 7302, "INPUT"),
        contextlib.closing(wire.server.socket(family, socket.SOCK_DGRAM)) as far,
        contextlib.closing(wire.client.socket(family, socket.SOCK_DGRAM)) as near,
    ):
        far.bind(("", 7302))
        near.sendto(b"x" * 100, (ADDRESSES[family][1], 7302))
        packet = queue.held()
        dawdle(HELD_S)
        queue.let_go(packet)
        assert far.recv(200)
        sent = near.getsockname()[1]
        seen = watch.first(slow("receive-very-slow", 7302), "the datagram")
    assert (seen.source, seen.source_port) == (ADDRESSES[family][0], sent)
    assert (seen.netns, seen.length) == (wire.server.inode, 100 + 8 + {4: 20, 6: 40}[family])
    assert len(watch.events) == 1


@pytest.mark.parametrize("family", [4, 6])
def test_a_segment_that_waits_for_a_verdict_on_its_way_out_is_told(wire: Pair, family: int) -> None:
    """What NFQUEUE keeps in OUTPUT is told of the sender's namespace and device."""
    begun = time.monotonic_ns()
    with (
        connection(wire, family, 7303) as (near, far),
        Watch(asked(PROBE, wire.client.inode)) as watch,
        Queue(wire.client, 7) as queue,
        queued(wire.client, family, "tcp", 7303, "OUTPUT"),
    ):
        near.sendall(b"x" * 100)
        packet = queue.held()
        dawdle(HELD_S)
        queue.let_go(packet)
        assert far.recv(200) == b"x" * 100
        sent = near.getsockname()[1]
        seen = watch.first(slow("send-very-slow", 7303), "the segment")
        took = time.monotonic_ns() - begun
    source, destination = ADDRESSES[family]
    assert (seen.source, seen.source_port, seen.destination) == (source, sent, destination)
    assert (seen.netns, seen.ifindex) == (wire.client.inode, wire.client.ifindex)
    assert HELD_S * 0.9e9 < delay_of(seen).latency_ns < took
    assert [event for event in watch.events if event.kind.startswith("receive")] == []


@contextlib.contextmanager
def silent(wire: Pair, family: int) -> Iterator[None]:
    """Have the server tell nobody its link-layer address, for a while: neither asked, nor by asking itself.

    It asks when it has known the client's for some seconds without a confirmation, and whom it asks learns its own:
    what it is told for good it does not ask for.
    """
    client, server = wire.client, wire.server
    link = json.loads(client.run("ip", "-j", "link", "show", "dev", client.device))[0]["address"]
    entry = (ADDRESSES[family][0], "dev", server.device)
    server.run("ip", "neigh", "replace", *entry, "lladdr", link, "nud", "permanent")
    try:
        if family == 6:
            with server.rule(6, "INPUT", *SOLICITATION, "-j", "DROP"):
                yield
        else:
            server.sysctl("net/ipv4/conf/all/arp_ignore", "8")
            try:
                yield
            finally:
                server.sysctl("net/ipv4/conf/all/arp_ignore", "0")
    finally:
        server.run("ip", "neigh", "del", *entry)


@pytest.mark.parametrize("family", [4, 6])
def test_a_segment_that_waits_for_its_neighbours_address_is_told(wire: Pair, family: int) -> None:
    """A neighbour that is slow to answer keeps what is for it: told as slow to its device, not as lost."""
    client, destination = wire.client, ADDRESSES[family][1]
    kind = {4: "ipv4", 6: "ipv6"}[family]
    client.sysctl(f"net/{kind}/neigh/{client.device}/retrans_time_ms", "50")
    client.sysctl(f"net/{kind}/neigh/{client.device}/mcast_solicit", "200")
    with (
        connection(wire, family, 7304) as (near, far),
        Watch(asked(PROBE, client.inode)) as watch,
    ):
        with silent(wire, family):
            client.run("ip", "neigh", "del", destination, "dev", client.device)
            near.sendall(b"x" * 100)
            dawdle(HELD_S)
        assert far.recv(200) == b"x" * 100
        seen = watch.first(slow("send-very-slow", 7304), "the segment")
    assert (seen.source, seen.destination) == ADDRESSES[family]
    assert delay_of(seen).latency_ns > HELD_S * 0.9e9


def test_packets_that_are_not_kept_are_only_counted(wire: Pair) -> None:
    """With a threshold of an hour there is no event, and the histograms have both ways."""
    request = asked(
        PROBE, wire.client.inode, wire.server.inode, counts_s=COUNTS_S, slow=HOUR_US, very_slow=HOUR_US
    )
    with Watch(request) as watch, connection(wire, 4, 7305) as (near, far):
        for _ in range(50):
            near.sendall(b"ping")
            far.sendall(far.recv(10))
            assert near.recv(10) == b"ping"
        until_counted(watch, PROBE, 100, ("receive", ""), ("send", ""))
    assert (watch.events, watch.counts[PROBE].totals) == ([], ())


def test_each_slow_packet_is_counted_for_its_namespace(wire: Pair) -> None:
    """Datagrams over the threshold are counted where they are received, every one, and nowhere else."""
    request = asked(PROBE, wire.client.inode, wire.server.inode, counts_s=COUNTS_S, slow=0, very_slow=HOUR_US)
    with (
        Watch(request) as watch,
        contextlib.closing(wire.server.socket(4, socket.SOCK_DGRAM)) as far,
        contextlib.closing(wire.client.socket(4, socket.SOCK_DGRAM)) as near,
    ):
        far.bind(("", 7306))
        for _ in range(20):
            near.sendto(b"x", (ADDRESSES[4][1], 7306))
            assert far.recv(10) == b"x"
        until_totalled(watch, PROBE, wire.server.inode, 20)
    assert totals(watch, PROBE, wire.server.inode) == {"receive-slow": 20}
    assert totals(watch, PROBE, wire.client.inode) == {}


def test_a_packet_that_passes_two_devices_is_counted_once(wire: Pair) -> None:
    """A bridge hands a packet to another device: the way from TCP ends at the first."""
    client = wire.client
    client.run("ip", "link", "add", "b0", "type", "bridge")
    try:
        for words in (
            ("addr", "flush", "dev", client.device),
            ("link", "set", client.device, "master", "b0"),
            ("link", "set", "b0", "up"),
            ("addr", "add", f"{ADDRESSES[4][0]}/24", "dev", "b0"),
        ):
            client.run("ip", *words)
        request = asked(PROBE, client.inode, counts_s=COUNTS_S, slow=0, very_slow=HOUR_US)
        with connection(wire, 4, 7307) as (near, far), Watch(request) as watch:
            near.sendall(b"x")
            assert far.recv(10) == b"x"
            until_totalled(watch, PROBE, client.inode, 1)
        with contextlib.suppress(AssertionError):
            client.run("ip", "link", "set", client.device, "nomaster")
    finally:
        client.run("ip", "link", "del", "b0")
        client.run("ip", "addr", "add", f"{ADDRESSES[4][0]}/24", "dev", client.device)
        client.run("ip", "addr", "add", f"{ADDRESSES[6][0]}/64", "dev", client.device, "nodad")
    assert totals(watch, PROBE, client.inode)["send-slow"] == 1


def test_an_idle_pair_has_nothing(wire: Pair) -> None:
    """Without packets for sockets nothing is counted, whatever the thresholds are."""
    with Watch(
        asked(PROBE, wire.client.inode, wire.server.inode, duration_s=1.5, slow=0, very_slow=0)
    ) as watch:
        watch.wait()
    assert watch.ended_whole
    counts = watch.counts[PROBE]
    assert (watch.events, counts.totals, counts.histograms) == ([], (), ())


def test_only_wanted_namespaces_are_measured(wire: Pair) -> None:
    """A probe that is asked about the client says nothing of what the server receives."""
    request = asked(PROBE, wire.client.inode, duration_s=1.5, slow=0, very_slow=HOUR_US)
    with (
        Watch(request) as watch,
        contextlib.closing(wire.server.socket(6, socket.SOCK_DGRAM)) as far,
        contextlib.closing(wire.client.socket(6, socket.SOCK_DGRAM)) as near,
    ):
        far.bind(("", 7308))
        near.sendto(b"x", (ADDRESSES[6][1], 7308))
        assert far.recv(10) == b"x"
        watch.wait()
    assert (watch.events, watch.counts[PROBE].totals) == ([], ())


def test_virtio_commands_need_kprobes() -> None:
    """Where there are no kprobes, the probe is unavailable, and each of its hooks says why."""
    if Path("/sys/bus/event_source/devices/kprobe").exists():
        pytest.skip("this kernel has kprobes")
    with Watch(asked("virtcmdlatency", duration_s=1.0)) as watch:
        watch.wait()
    setup = watch.setups["virtcmdlatency"]
    assert (setup.status, len(setup.hooks)) == ("unavailable", 2)
    assert all("no kprobes" in hook.detail for hook in setup.hooks)
