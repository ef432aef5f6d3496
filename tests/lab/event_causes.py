"""What goes wrong between two pods, one thing at a time: each function makes one cause, on a port of its own."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

from skoopctl.lab import Lab
from tests.kernel.bpf_delays import dawdle
from tests.kernel.bpf_pair import LINGER_NOT, Pair, Side
from tests.kernel.dns_asking import ask, query, serving
from tests.kernel.nfqueue import Queue

TCP_REPAIR = 19
DATAGRAMS, SIZE = 20, 1000
LONG_S = 0.3
"""Longer than the threshold of what waits in a socket."""
HELD_S = 0.15
"""Longer than what is very slow, shorter than TCP waits before it sends again."""
QUEUE = 7
V6 = ("fd77::1", "fd77::2")


def pods(lab: Lab, client: str, server: str) -> Pair:
    """Return two pods of the lab by their names, with the addresses that they have or are to have."""
    near, far = lab.source(client), lab.source(server)
    return Pair(Side(near.netns, "eth0"), Side(far.netns, "eth0"), {4: (near.address, far.address), 6: V6})


@contextlib.contextmanager
def with_ipv6(pair: Pair) -> Iterator[None]:
    """Give two pods of one node IPv6 for a while, which the lab's pods are without."""
    sides = tuple(zip((pair.client, pair.server), pair.addresses[6], strict=True))
    try:
        for side, address in sides:
            side.sysctl(f"net/ipv6/conf/{side.device}/router_solicitations", "0")
            side.sysctl("net/ipv6/conf/all/disable_ipv6", "0")
            side.run("ip", "addr", "add", f"{address}/64", "dev", side.device, "nodad")
        yield
    finally:
        for side, _ in sides:
            side.sysctl("net/ipv6/conf/all/disable_ipv6", "1")


@contextlib.contextmanager
def connection(pair: Pair, family: int, port: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection for a while."""
    near, far = pair.connected(family, port)
    with near, far:
        yield near, far


def full_socket(pair: Pair, family: int, port: int) -> None:
    """Send datagrams to a socket with the smallest buffer there is, which nobody reads."""
    with pair.server.socket(family, socket.SOCK_DGRAM) as far:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        far.bind(("", port))
        with pair.client.socket(family, socket.SOCK_DGRAM) as near:
            for _ in range(DATAGRAMS):
                near.sendto(b"x" * SIZE, (pair.addresses[family][1], port))
        assert far.recv(2 * SIZE), "the first one, so the others have come by too"


def closed_port(pair: Pair, family: int, port: int) -> None:
    """Connect to a port that nobody listens on."""
    with pair.client.socket(family) as near:
        assert near.connect_ex((pair.addresses[family][1], port))


def reset_by_program(pair: Pair, family: int, port: int) -> None:
    """Close a socket that does not linger."""
    with connection(pair, family, port) as (near, far):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        near.close()
        with contextlib.suppress(ConnectionResetError):
            far.recv(1)


def stray_segment(pair: Pair, family: int, port: int) -> None:
    """Send a segment of a connection that the server has forgotten, to its listener."""
    with (
        contextlib.closing(pair.server.listener(family, port)) as listener,
        pair.client.socket(family) as near,
    ):
        near.connect((pair.addresses[family][1], port))
        far, _ = listener.accept()
        far.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        far.close()  # without a word
        near.send(b"x")
        with contextlib.suppress(ConnectionResetError):
            near.recv(1)


def lost_segment(pair: Pair, family: int, port: int) -> None:
    """Drop the first segment with data in the server's INPUT, with the client's timer as the only one to notice."""
    data = ("-p", "tcp", "--dport", str(port), "-m", "length", "--length", "500:")
    first = ("-m", "statistic", "--mode", "nth", "--every", "1000", "--packet", "0")
    pair.client.sysctl("net/ipv4/tcp_early_retrans", "0")
    try:
        with (
            connection(pair, family, port) as (near, far),
            pair.server.rule(family, "INPUT", *data, *first, "-j", "DROP"),
        ):
            near.sendall(b"x" * SIZE)
            assert far.recv(2 * SIZE)
    finally:
        pair.client.sysctl("net/ipv4/tcp_early_retrans", "3")


def slow_reader(pair: Pair, family: int, port: int) -> None:
    """Let data lie in a socket."""
    with connection(pair, family, port) as (near, far):
        near.sendall(b"x")
        dawdle(LONG_S)
        assert far.recv(1)


def slow_queue(pair: Pair, family: int, port: int) -> None:
    """Have a token bucket on the client's device keep the second of two datagrams."""
    device = ("dev", pair.client.device, "root")
    bucket = ("tbf", "rate", "16kbit", "burst", "1600", "latency", "20s")
    pair.client.run("tc", "qdisc", "add", *device, *bucket)
    try:
        with (
            pair.server.socket(family, socket.SOCK_DGRAM) as far,
            pair.client.socket(family, socket.SOCK_DGRAM) as near,
        ):
            far.bind(("", port))
            for _ in range(2):
                near.sendto(b"x" * SIZE, (pair.addresses[family][1], port))
            for _ in range(2):
                assert far.recv(2 * SIZE)
    finally:
        pair.client.run("tc", "qdisc", "del", *device)


def _held(pair: Pair, side: Side, chain: str, family: int, port: int) -> None:
    rule = (chain, "-p", "tcp", "--dport", str(port), "-j", "NFQUEUE", "--queue-num", str(QUEUE))
    with (
        connection(pair, family, port) as (near, far),
        Queue(side, QUEUE) as queue,
        side.rule(family, *rule),
    ):
        near.sendall(b"x")
        packet = queue.held()
        dawdle(HELD_S)
        queue.let_go(packet)
        assert far.recv(1)


def held_on_its_way_in(pair: Pair, family: int, port: int) -> None:
    """Keep a segment for a verdict in the server's INPUT."""
    _held(pair, pair.server, "INPUT", family, port)


def held_on_its_way_out(pair: Pair, family: int, port: int) -> None:
    """Keep a segment for a verdict in the client's OUTPUT."""
    _held(pair, pair.client, "OUTPUT", family, port)


def names_that_fail(pair: Pair, family: int, _port: int) -> None:
    """Ask a server in the other pod for a name that is not there, one that fails, and one that it is silent about."""
    address = pair.addresses[family][1]
    with serving(pair.server, address):
        ask(pair.client, family, address, query("nx.lab", 1), query("fail.lab", 2))
        ask(pair.client, family, address, query("silent.lab", 3), answers=0)
        ask(pair.client, family, address, query("ok.lab", 4))


def through_a_service(pair: Pair, address: str, port: int) -> None:
    """Call a service's address, and read the answer."""
    with pair.client.socket(4) as near:
        near.connect((address, port))
        while near.recv(4096):
            pass


CAUSES: tuple[Callable[[Pair, int, int], None], ...] = (
    full_socket,
    closed_port,
    reset_by_program,
    stray_segment,
    lost_segment,
    slow_reader,
    slow_queue,
    held_on_its_way_in,
    held_on_its_way_out,
    names_that_fail,
)
"""Each is given its own port, by its name."""
PORTS = {cause.__name__: 7600 + number for number, cause in enumerate(CAUSES)} | {"names_that_fail": 53}
