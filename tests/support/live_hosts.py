"""Hosts made of network namespaces of this machine: read by the real node program, and sent real packets.

The node program runs as it does on a node, but is shown only the namespaces of one host.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow, PathResult
from skoopctl.evidence.frames import decode_answer
from skoopctl.evidence.payload import program_source
from skoopctl.evidence.request import Request
from skoopctl.kernel.build import build_host
from skoopctl.kernel.netns import Host
from tests.support.kernel_dump import inside

# The program finds its namespaces by these two; everything else is as on a node.
_ONLY = """
def root_inode():
    return posix.stat("/run/netns/%(root)s").st_ino

def find_namespaces():
    found = {}
    for name in %(names)r:
        inode = posix.stat("/run/netns/" + name).st_ino
        found[inode] = Namespace(inode)
        found[inode].names.append(name)
        found[inode].paths.append("/run/netns/" + name)
    return found, 0
"""
TIMEOUT_S = 1.2
"""Long enough for two retransmissions (200 and 400 ms) of a segment that is lost."""
LONG_S = 15.0
"""For what the walk says will come: a busy machine may take its time."""


def patience_s(passes: bool) -> float:
    """Return how long is waited for what passes, and for what does not."""
    return LONG_S if passes else TIMEOUT_S


class LiveHosts:
    """Namespaces by short names, all deleted at the end; ``hosts`` maps a host to its namespaces, root first."""

    def __init__(self, prefix: str, hosts: Mapping[str, tuple[str, ...]]) -> None:
        self.prefix = prefix
        self.hosts = hosts

    def name(self, short: str) -> str:
        """Return a namespace's real name."""
        return f"{self.prefix}-{short}"

    def run(self, short: str, *commands: str) -> None:
        """Run commands in a namespace; a line that begins with ``ip`` words needs no ``ip netns exec``."""
        for command in commands:
            words = ["ip", "netns", "exec", self.name(short), *command.split()]
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=20)

    def veth(self, one: str, device: str, two: str, peer: str) -> None:
        """Join two namespaces, both ends up."""
        words = f"ip link add {device} type veth peer name {peer} netns {self.name(two)}"
        self.run(one, words, f"ip link set {device} up")
        self.run(two, f"ip link set {peer} up")

    def collect(self) -> Topology:
        """Read every host with the node program."""
        found = {host: self._host(host, names) for host, names in self.hosts.items()}
        return Topology(found)

    def _host(self, host: str, names: tuple[str, ...]) -> Host:
        real = [self.name(short) for short in names]
        whole = program_source(Request())
        source, _, call = whole.rpartition("\nmain(")
        program = f"{source}\n{_ONLY % {'root': real[0], 'names': real}}\nmain({call}"
        stub = "import sys; read = sys.stdin.buffer.read; exec(read(int(read(8))))"
        words = [sys.executable, "-I", "-S", "-B", "-c", stub]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            # The end of its stdin would end the program.
            process.stdin.write(f"{len(program.encode()):8}{program}".encode())
            process.stdin.flush()
            answer = process.stdout.read()
        return build_host(decode_answer(host, answer))

    def walk(self, source: str, destination: str, port: int, protocol: str = "tcp") -> PathResult:
        """Collect, and walk one flow."""
        return walk(Network(self.collect()), Flow(source, destination, protocol, port))

    def listen(self, short: str, address: str, port: int) -> socket.socket:
        """Open a listening TCP socket in a namespace."""
        with inside(self.name(short)):
            server = socket.create_server(
                (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
            )
        server.settimeout(TIMEOUT_S)
        return server

    def forget(self) -> None:
        """Forget what connections learnt (PMTU exceptions are not collected), so the next starts afresh."""
        for short in (name for names in self.hosts.values() for name in names):
            self.run(short, "ip route flush cache", "ip -6 route flush cache", "ip tcp_metrics flush")

    def connect(
        self, short: str, server: socket.socket, service: str = "", timeout_s: float = TIMEOUT_S
    ) -> tuple[socket.socket, socket.socket]:
        """Connect from a namespace, to the server or by a service's address; return both ends. Raises OSError."""
        own, port = server.getsockname()[:2]
        address = service or own, port
        with inside(self.name(short)):
            client = socket.socket(server.family)
        client.settimeout(timeout_s)
        server.settimeout(timeout_s)
        try:
            client.connect(address)
            accepted, _ = server.accept()
        except OSError:
            client.close()
            raise
        for end in (client, accepted):
            end.settimeout(TIMEOUT_S)
        return client, accepted


def arrives(
    sender: socket.socket, receiver: socket.socket, size: int = 0, timeout_s: float = TIMEOUT_S
) -> bool:
    """Send one segment of the agreed size (or ``size`` bytes) and tell whether it arrives."""
    receiver.settimeout(timeout_s)
    wanted = size or sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    sender.sendall(b"x" * wanted)
    got = 0
    try:
        while got < wanted:
            data = receiver.recv(1 << 16)
            if not data:
                return False
            got += len(data)
    except TimeoutError:
        return False
    return True


@contextmanager
def live_hosts(prefix: str, hosts: Mapping[str, tuple[str, ...]]) -> Iterator[LiveHosts]:
    """Make the namespaces of hosts, and delete them whatever happens."""
    made = LiveHosts(prefix, hosts)
    names = [short for names in hosts.values() for short in names]
    try:
        for short in names:
            if Path("/run/netns", made.name(short)).exists():
                subprocess.run(["ip", "netns", "del", made.name(short)], check=True)
            subprocess.run(["ip", "netns", "add", made.name(short)], check=True)
            made.run(short, "ip link set lo up", "sysctl -qw net.ipv6.conf.all.accept_dad=0")
        yield made
    finally:
        for short in names:
            subprocess.run(["ip", "netns", "del", made.name(short)], check=False, capture_output=True)
