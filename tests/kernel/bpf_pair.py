"""Two network namespaces with a wire between them, and ways to make packets get lost there."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.kernel_dump import inside

ADDRESSES = {
    4: ("10.213.77.1", "10.213.77.2"),
    6: ("fd77::1", "fd77::2"),
}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
TOOLS = {4: "iptables", 6: "ip6tables"}
LINGER_NOT = struct.pack("ii", 1, 0)


def run(*words: str) -> str:
    """Run a program and return its output; a failure shows what it said."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Side:
    """One of the two namespaces."""

    name: str
    """As ``ip netns`` has it, or a path such as ``/proc/42/ns/net``."""
    device: str

    @property
    def path(self) -> Path:
        """Where it can be entered."""
        return Path("/run/netns", self.name)

    @property
    def inode(self) -> int:
        """The inode that events name it by."""
        return self.path.stat().st_ino

    @property
    def ifindex(self) -> int:
        """The number of its end of the wire."""
        with inside(self.name):
            return socket.if_nametoindex(self.device)

    def run(self, *words: str) -> str:
        """Run a program inside."""
        return run("nsenter", f"--net={self.path}", *words)

    def socket(self, family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """Return a socket of the namespace."""
        with inside(self.name):
            made = socket.socket(FAMILIES[family], kind, protocol)
        made.settimeout(20)
        return made

    def listener(self, family: int, port: int) -> socket.socket:
        """Return a socket that listens on all addresses."""
        made = self.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", port))
        made.listen(16)
        return made

    @contextmanager
    def rule(self, family: int, *words: str) -> Iterator[None]:
        """Have a rule for a while: chain and matches, as iptables takes them behind -A."""
        self.run(TOOLS[family], "-w", "-A", *words)
        try:
            yield
        finally:
            self.run(TOOLS[family], "-w", "-D", *words)

    def sysctl(self, path: str, value: str) -> None:
        """Set a sysctl of the namespace."""
        with inside(self.name):
            Path("/proc/sys", path).write_text(value, encoding="ascii")


@dataclass(frozen=True)
class Pair:
    """A client's namespace and a server's."""

    client: Side
    server: Side
    addresses: Mapping[int, tuple[str, str]] = field(default_factory=lambda: ADDRESSES)
    """Of both, by family."""

    def connected(self, family: int, port: int) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a connection."""
        with contextlib.closing(self.server.listener(family, port)) as listener:
            near = self.client.socket(family)
            near.connect((self.addresses[family][1], port))
            far, _ = listener.accept()
        far.settimeout(20)
        return near, far


@contextmanager
def pair(tag: str) -> Iterator[Pair]:
    """Make two namespaces whose names hold this process's number, and take them away."""
    stem = f"bpf{os.getpid()}{tag}"
    client, server = Side(f"{stem}c", "c0"), Side(f"{stem}s", "s0")
    try:
        for side in (client, server):
            run("ip", "netns", "add", side.name)
        run(
            *("ip", "-n", client.name, "link", "add", client.device, "type", "veth"),
            *("peer", "name", server.device, "netns", server.name),
        )
        for side, index in ((client, 0), (server, 1)):
            # Nobody answers those, and each is a loss of the other side's.
            side.sysctl(f"net/ipv6/conf/{side.device}/router_solicitations", "0")
            for each in ("lo", side.device):
                run("ip", "-n", side.name, "link", "set", each, "up")
            for family, length in ((4, 24), (6, 64)):
                more = ("nodad",) if family == 6 else ()
                address = f"{ADDRESSES[family][index]}/{length}"
                run("ip", "-n", side.name, "addr", "add", address, "dev", side.device, *more)
        yield Pair(client, server)
    finally:
        for side in (client, server):
            if Path("/run/netns", side.name).exists():
                run("ip", "netns", "del", side.name)
