"""Bytes of connections on this kernel: as many as were sent, while they live and when they have ended."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from skoopctl.bpf.program import BpfRequest
from skoopctl.bpf.stream import Counts, FlowCount
from tests.kernel.bpf_pair import ADDRESSES, LINGER_NOT, Pair, Side, pair
from tests.kernel.bpf_watch import Watch
from tests.support.kernel_dump import inside

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="sockets of other namespaces need root"),
]

ENOUGH_S = 60.0
THERE, BACK = 123_457, 4_321


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("q") as made:
        yield made


def asked(wire: Pair, duration_s: float = ENOUGH_S) -> BpfRequest:
    """Return a request for the probe in both namespaces, with counts twice a second."""
    return BpfRequest(("flow",), duration_s, (wire.client.inode, wire.server.inode), counts_s=0.5)


def send(source: socket.socket, destination: socket.socket, size: int) -> None:
    """Send bytes and wait until all have come."""
    left = size
    source.sendall(b"x" * size)
    while left:
        left -= len(destination.recv(left))


def flows(watch: Watch, port: int) -> dict[tuple[str, int], FlowCount]:
    """Return the flows from or to a port as they were told last, by kind and namespace."""
    last = [said for said in list(watch.said) if isinstance(said, Counts)][-1:]
    found = [flow for counts in last for flow in counts.flows]
    return {
        (flow.kind, flow.netns): flow for flow in found if port in {flow.source_port, flow.destination_port}
    }


def sums(watch: Watch, port: int) -> dict[tuple[str, int], int]:
    """Return the bytes of each."""
    return {key: flow.bytes for key, flow in flows(watch, port).items()}


def exchanged(wire: Pair, there: int, back: int) -> dict[tuple[str, int], int]:
    """Return what both ends have to be told of."""
    return {
        ("flow-sent", wire.client.inode): there,
        ("flow-received", wire.server.inode): there,
        ("flow-sent", wire.server.inode): back,
        ("flow-received", wire.client.inode): back,
    }


@pytest.mark.parametrize("family", [4, 6])
def test_a_living_connection_has_its_bytes_exactly(wire: Pair, family: int) -> None:
    """What both ends sent is what both received, with addresses, ports and at least as many packets as it needs."""
    port = 7500 + family
    with Watch(asked(wire)) as watch:
        near, far = wire.connected(family, port)
        with near, far:
            send(near, far, THERE)
            send(far, near, BACK)
            watch.until(lambda: sums(watch, port) == exchanged(wire, THERE, BACK), "all bytes")
            local = near.getsockname()[1]
            there = flows(watch, port)["flow-received", wire.server.inode]
    assert (there.source, there.source_port) == (ADDRESSES[family][0], local)
    assert (there.destination, there.destination_port) == (ADDRESSES[family][1], port)
    assert (there.protocol, there.count) == (socket.IPPROTO_TCP, 1)
    assert there.packets >= 2


def test_a_connection_that_ends_between_snapshots_is_told(wire: Pair) -> None:
    """A connection shorter than an interval has all that it sent; of what it received, the FIN may be one more."""
    with Watch(
        BpfRequest(("flow",), ENOUGH_S, (wire.client.inode, wire.server.inode), counts_s=2.0)
    ) as watch:
        near, far = wire.connected(4, 7511)
        with near, far:
            send(near, far, THERE)
            send(far, near, BACK)
        wanted = exchanged(wire, THERE, BACK)
        # The counts may come in the middle of the exchange.
        watch.until(
            lambda: all(sums(watch, 7511).get(key, 0) >= size for key, size in wanted.items()), "the flows"
        )
        seen = sums(watch, 7511)
    for key, size in wanted.items():
        assert seen[key] - size in ({0} if key[0] == "flow-sent" else {0, 1})


def test_what_was_before_the_start_is_not_counted(wire: Pair) -> None:
    """Of a connection that was there at the start, the growth is told, and of an idle one nothing."""
    near, far = wire.connected(4, 7512)
    idle = wire.connected(4, 7513)
    with near, far, idle[0], idle[1]:
        send(near, far, 50_000)
        send(idle[0], idle[1], 50_000)
        with Watch(asked(wire)) as watch:
            send(near, far, THERE)
            send(far, near, BACK)
            watch.until(lambda: sums(watch, 7512) == exchanged(wire, THERE, BACK), "the growth")
            assert sums(watch, 7513) == {}


def test_sums_go_on_growing(wire: Pair) -> None:
    """Later counts hold the earlier ones: they are sums since the start."""
    with Watch(asked(wire)) as watch:
        near, far = wire.connected(4, 7514)
        with near, far:
            key = ("flow-received", wire.server.inode)
            for wanted in (THERE, 2 * THERE, 3 * THERE):
                send(near, far, THERE)
                watch.until(lambda w=wanted: sums(watch, 7514).get(key) == w, "the sum")  # type: ignore[misc]


def test_what_is_sent_again_counts_once(wire: Pair) -> None:
    """A segment that is lost and sent again is one retransmit, and its bytes count once."""
    lost = ("INPUT", "-p", "tcp", "--dport", "7515", "-m", "length", "--length", "900:", "-m", "statistic")
    with Watch(asked(wire)) as watch:
        near, far = wire.connected(4, 7515)
        with near, far:
            first = ("--mode", "nth", "--every", "1000", "--packet", "0")
            with wire.server.rule(4, *lost, *first, "-j", "DROP"):
                send(near, far, 1_000)
            key = ("flow-sent", wire.client.inode)

            def told() -> tuple[int, bool] | None:
                flow = flows(watch, 7515).get(key)
                return flow and (flow.bytes, flow.retransmits >= 1)

            # The bytes may be told before they are sent again.
            watch.until(lambda: told() == (1_000, True), "the bytes, and that they were sent again")


def test_a_v4_connection_of_a_v6_socket_has_v4_addresses(wire: Pair) -> None:
    """A server that listens on :: and is reached over IPv4 is told with IPv4's addresses."""
    with (
        Watch(asked(wire)) as watch,
        wire.server.listener(6, 7516) as listener,
        wire.client.socket(4) as near,
    ):
        near.connect((ADDRESSES[4][1], 7516))
        far, _ = listener.accept()
        far.settimeout(20)
        with far:
            send(near, far, THERE)
            key = ("flow-received", wire.server.inode)
            watch.until(lambda: sums(watch, 7516).get(key) == THERE, "the bytes")
            flow = flows(watch, 7516)[key]
    assert (flow.source, flow.destination) == ADDRESSES[4]


def test_a_socket_that_resets_keeps_what_was_seen(wire: Pair) -> None:
    """A socket that resets its connection forgets its numbers; those of the last snapshot stay."""
    with Watch(asked(wire)) as watch:
        near, far = wire.connected(4, 7517)
        send(near, far, THERE)
        key = ("flow-sent", wire.client.inode)
        watch.until(lambda: sums(watch, 7517).get(key) == THERE, "the bytes")
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        near.close()
        far.close()
        told = len(watch.said)
        watch.until(lambda: len(watch.said) >= told + 4, "later counts")
        assert sums(watch, 7517)[key] == THERE


def test_nothing_is_told_when_nothing_is_sent(wire: Pair) -> None:
    """Datagrams, and connections of namespaces that were not asked for, are no flows."""
    request = BpfRequest(("flow",), 2.0, (wire.server.inode,))
    with Watch(request) as watch, wire.client.socket(4) as listener, wire.client.socket(4) as near:
        listener.bind(("127.0.0.1", 7518))
        listener.listen()
        near.connect(("127.0.0.1", 7518))
        near.sendall(b"x" * 1_000)
        with wire.client.socket(4, socket.SOCK_DGRAM) as made:
            made.sendto(b"x", (ADDRESSES[4][1], 7519))
        watch.wait()
    assert (watch.ended_whole, watch.setups["flow"].status) == (True, "ok")
    assert (watch.counts["flow"].flows, watch.events) == ((), [])


def listeners(side: Side) -> int:
    """Return how many sockets are told of ends in a namespace."""
    with inside(side.name):
        rows = Path("/proc/thread-self/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    return sum(words[1] == "4" and int(words[3], 16) != 0 for words in map(str.split, rows))


def test_sigkill_leaves_no_listener(wire: Pair) -> None:
    """After a SIGKILL nobody is told of ends in the namespaces."""
    with Watch(asked(wire)) as watch:
        assert listeners(wire.client) == 1
        os.kill(watch.process.pid, signal.SIGKILL)
        watch.wait()
        watch.until(lambda: listeners(wire.client) == 0, "the listener to go")
