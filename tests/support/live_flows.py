"""Real TCP connections between private namespaces, and what the model says of them, for tests that compare."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow, PathResult
from skoopctl.kernel.netns import Host
from skoopctl.kernel.socket import Socket
from tests.support.kernel_dump import inside, namespaces
from tests.support.live_namespace import read_namespace

PORT = 8080
_PATIENCE_S = 0.7
"""Until nothing comes, where the model says so. What it says will come is waited for as long as it takes."""
_LONG_S = 20.0
_RELEASE = Path("/proc/sys/kernel/osrelease").read_text().strip()


@dataclass
class Live:
    """Namespaces of one made-up host: the first is the host's own."""

    names: tuple[str, ...]

    def run(self, *lines: str) -> None:
        """Run shell lines; a line may say ``@x`` for the namespace whose name ends with ``x``."""
        for line in lines:
            words = [self.full(w[1:]) if w.startswith("@") else w for w in line.split()]
            subprocess.run(words, check=True, capture_output=True, text=True)

    def full(self, short: str) -> str:
        """Return a namespace's whole name."""
        return next(name for name in self.names if name.endswith(f"-{short}"))

    def sysctl(self, short: str, **values: int) -> None:
        """Set sysctls of a namespace; names are paths below net/ with ``__`` for slashes."""
        with inside(self.full(short)):
            for name, value in values.items():
                Path("/proc/sys/net", name.replace("__", "/")).write_text(str(value))

    def hurry(self, retrans_time_ms: int = 40) -> None:
        """Let every device give up an address that nobody answers for within 0.2 s, and proxies answer at once.

        By default a proxy waits up to 0.8 s, in case the address has an owner (proxy_delay); Calico sets it to 0.
        """
        for name in self.names:
            with inside(name):
                for path in Path("/proc/sys/net").glob("ipv[46]/neigh/*/retrans_time_ms"):
                    path.write_text(str(retrans_time_ms))
                    path.with_name("proxy_delay").write_text("0")

    def model(self) -> dict[str, Host]:
        """Read all namespaces into the model of one host. Everybody listens on TCP `PORT`."""
        inodes = {name: 1000 + place for place, name in enumerate(self.names)}
        found = {}
        for name, inode in inodes.items():
            any_address = Socket("tcp", IPv4Address(0), PORT), Socket("tcp", IPv6Address(0), PORT)
            found[inode] = read_namespace(
                name,
                inode,
                is_host=inode == 1000,
                sockets=any_address,
                nsids={nsid: inodes[other] for nsid, other in _nsids(name).items() if other in inodes},
            )
        return {"n1": Host("n1", 1000, found, "n1", _RELEASE)}

    def predict(self, client: str, source: str, destination: str) -> PathResult:
        """Read everything and walk one flow."""
        topology = Topology(self.model())
        key = ("n1", 1000 + self.names.index(self.full(client)))
        return walk(Network(topology), Flow(source, destination, "tcp", PORT), key)

    def connect(self, client: str, destination: str, expected: str = "") -> str:
        """Connect for real; return what the client sees, in the model's words.

        Where that is expected to be a connection, neighbours are not given up soon: a busy machine answers late.
        """
        self.hurry(1000 if expected == "connected" else 40)
        family = socket.AF_INET if ip_address(destination).version == 4 else socket.AF_INET6
        with inside(self.full(client)), socket.socket(family, socket.SOCK_STREAM) as tcp:
            tcp.settimeout(_LONG_S if expected in {"connected", "refused"} else _PATIENCE_S)
            try:
                tcp.connect((destination, PORT))
            except ConnectionRefusedError:
                return "refused"
            except TimeoutError:
                return "timeout"
            except OSError:
                return "unreachable"
            return "connected"


def _nsids(name: str) -> Mapping[int, str]:
    listed = subprocess.run(
        ["ip", "-n", name, "netns", "list-id"], check=True, capture_output=True, text=True
    )
    found = {}
    for line in listed.stdout.splitlines():
        words = line.replace(")", "").split()
        if "name:" in words:
            found[int(words[1])] = words[words.index("name:") + 1]
    return found


@contextmanager
def live(prefix: str, *shorts: str) -> Iterator[Live]:
    """Make namespaces ``PREFIX-PID-SHORT`` with a listener in each; other runs may have theirs at the same time."""
    names = tuple(f"{prefix}-{os.getpid()}-{short}" for short in shorts)
    with ExitStack() as stack:
        stack.enter_context(namespaces(*names))
        made = Live(names)
        for name in names:
            made.run(f"ip -n {name} link set lo up")
            with inside(name):
                for family in (socket.AF_INET, socket.AF_INET6):
                    server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    if family == socket.AF_INET6:
                        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    server.bind(("", PORT))
                    server.listen(64)
        yield made
