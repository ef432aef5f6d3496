"""A DNS server in a network namespace, and queries to it from another."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

from tests.kernel.bpf_pair import Side
from tests.support import dns_server


@contextlib.contextmanager
def serving(side: Side, address: str = "::") -> Iterator[None]:
    """Have a DNS server in a namespace."""
    words = ["nsenter", f"--net={side.path}", sys.executable, "-ISB", dns_server.__file__, address]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.kill()


def query(name: str, number: int = 1, kind: int = 1) -> bytes:
    """Return a query."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def ask(side: Side, family: int, server: str, *queries: bytes, answers: int | None = None) -> int:
    """Send queries from one socket and wait for as many answers; return the port that they came from."""
    with contextlib.closing(side.socket(family, socket.SOCK_DGRAM)) as client:
        client.connect((server, 53))
        for each in queries:
            client.send(each)
        for _ in range(len(queries) if answers is None else answers):
            client.recv(4096)
        return int(client.getsockname()[1])


@contextlib.contextmanager
def connected(side: Side, family: int, server: str) -> Iterator[socket.socket]:
    """Return a connection to a server, with every write a segment of its own."""
    with contextlib.closing(side.socket(family)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect((server, 53))
        yield client


def framed(*queries: bytes) -> bytes:
    """Return queries as TCP carries them."""
    return b"".join(struct.pack(">H", len(each)) + each for each in queries)


def read_answers(client: socket.socket, queries: int, *, size: int) -> None:
    """Wait for answers that are as long as the queries, which take ``size`` bytes each."""
    with client.makefile("rb") as said:
        assert len(said.read(queries * size)) == queries * size
