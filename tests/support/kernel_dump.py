"""Ask the running kernel for raw netlink dumps, as the node program does, from inside a namespace."""

from __future__ import annotations

import ctypes
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REQUESTS = {
    "link": (18, bytes(16) + struct.pack("=HHI", 8, 29, 8)),
    "addr": (22, bytes(8)),
    "route": (26, bytes(12)),
    "rule": (34, bytes(12)),
    "neigh": (30, bytes(12)),
    "neigh-proxy": (30, struct.pack("=BxxxiHBB", 0, 0, 0, 8, 0)),
    "fdb": (30, struct.pack("=BxxxiHBB", 7, 0, 0, 0, 0)),
    "bridge-vlan": (18, b"\x07" + bytes(15) + struct.pack("=HHI", 8, 29, 12)),
    "qdisc": (38, bytes(20)),
    "nexthop": (106, bytes(8)),
}
_NETNS = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def dump(name: str) -> bytes:
    """Return the reply datagrams of one dump in the current namespace."""
    kind, body = REQUESTS[name]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(10)
        netlink.send(struct.pack("=IHHII", 16 + len(body), kind, 0x301, 1, 0) + body)
        answer = b""
        while True:
            data = netlink.recv(1 << 17)
            answer += data
            offset = 0
            while offset < len(data):
                length, here = struct.unpack_from("=IH", data, offset)
                if here in {2, 3}:
                    return answer
                offset += (length + 3) & ~3


def dump_in(namespace: str) -> dict[str, bytes]:
    """Return every dump of a named namespace."""
    with inside(namespace):
        return {name: dump(name) for name in REQUESTS}


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Move the calling thread into a namespace, and back."""
    with Path("/proc/thread-self/ns/net").open() as home, (_NETNS / namespace).open() as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def _setns(descriptor: int) -> None:
    """Enter a network namespace; `os.setns` is there from Python 3.12 only."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def namespaces(*names: str) -> Iterator[tuple[str, ...]]:
    """Make network namespaces and delete them afterwards, whatever happens."""
    made: list[str] = []
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.append(name)
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


def ip(namespace: str, *words: str) -> str:
    """Run ``ip WORDS`` in a namespace and return what it printed."""
    command = ["ip", "-n", namespace, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
