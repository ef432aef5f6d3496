"""A client, a router and a server in namespaces, on which nftables rules are tried with real packets."""

# ruff: noqa: E501 - commands are lines
from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow, PathResult
from skoopctl.evidence import Request
from skoopctl.kernel.build import build_host
from tests.lab.node_host import NodeHost, wait_until

CLIENT, ROUTER, SERVER = "10.244.9.10", "10.244.9.1", "10.77.0.2"
CLIENT_6, SERVER_6 = "fd00:9::10", "fd00:77::2"
PORT = 8080
SETUP = """
ip link set lo up
ip link add cni0 address 02:aa:00:00:00:01 type bridge; ip addr add 10.244.9.1/24 dev cni0; ip link set cni0 up
ip -6 addr add fd00:9::1/64 dev cni0 nodad
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
"""
# What nobody accepts fills the listener's queue, and then the kernel sends SYN-ACKs again for a minute.
LISTENER = """
import select, socket
held, listening = [], []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in (8080, 8081, 9090):
        tcp = socket.socket(family)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            tcp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tcp.bind((address, port)); tcp.listen(64); listening.append(tcp)
while True:
    held += [each.accept() for each in select.select(listening, [], [])[0]]
"""
# Connects, says how that ended and to what address the kernel is really connected, and waits to be told to close.
CONNECT = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family); s.settimeout(float(sys.argv[3]))
try:
    s.connect((sys.argv[1], int(sys.argv[2]))); print("connected", flush=True)
except TimeoutError: print("timeout", flush=True)
except ConnectionRefusedError: print("refused", flush=True)
except OSError as e: print("unreachable", e, flush=True)
sys.stdin.read()
"""


@dataclass
class Stage:
    """The three namespaces; rules are those of the router."""

    host: NodeHost
    client_pid: int
    server_pid: int
    client_inode: int
    made: list[str] = field(default_factory=list)

    def load(self, ruleset: str) -> bool:
        """Replace all rules; return whether the kernel took them."""
        argv = self.host.inside("nft", "-f", "-")
        text = f"flush ruleset\n{ruleset}\n"
        return subprocess.run(argv, input=text, text=True, capture_output=True, check=False).returncode == 0

    def network(self) -> Network:
        """Collect the state with the node program, and understand it."""
        evidence = self.host.ask(Request()).evidence
        host = build_host(evidence)
        return Network(Topology({host.name: host}))

    def predicted(
        self, network: Network, address: str = SERVER, port: int = PORT, protocol: str = "tcp"
    ) -> PathResult:
        """Walk a flow of the client's."""
        source = CLIENT_6 if ":" in address else CLIENT
        (name,) = network.topology.hosts
        return walk(network, Flow(source, address, protocol, port), (name, self.client_inode))

    def connect(self, address: str = SERVER, port: int = PORT, wait_s: float = 0.6) -> str:
        """Connect from the client; return how that ended."""
        with self.connected(address, port, wait_s) as word:
            return word

    @contextmanager
    def connected(self, address: str = SERVER, port: int = PORT, wait_s: float = 0.6) -> Iterator[str]:
        """Connect from the client and stay so; yield how the attempt ended."""
        argv = [
            "nsenter",
            "-t",
            str(self.client_pid),
            "-n",
            "python3",
            "-c",
            CONNECT,
            address,
            str(port),
            str(wait_s),
        ]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            yield client.stdout.readline().split()[0]
            assert client.stdin is not None
            client.stdin.close()

    def ping(self, address: str) -> None:
        """Send one echo request from the client, and wait for its answer."""
        request = bytes.fromhex("0800f7fd00010001")
        code = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); s.settimeout(20);"
            f"s.sendto({request!r}, ('{address}', 0)); s.recv(99)"
        )
        subprocess.run(["nsenter", "-t", str(self.client_pid), "-n", "python3", "-c", code], check=True)

    def send(self, address: str = SERVER, port: int = PORT) -> None:
        """Send one UDP datagram from the client."""
        code = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{address}', {port}))"
        subprocess.run(["nsenter", "-t", str(self.client_pid), "-n", "python3", "-c", code], check=True)

    def counted(self) -> set[str]:
        """Return the comments of the rules whose counter is not zero."""
        listed = json.loads(self.host.run("nft -j list ruleset"))["nftables"]
        found = set()
        for entry in listed:
            rule = entry.get("rule", {})
            counters = [s["counter"] for s in rule.get("expr", []) if isinstance(s, dict) and "counter" in s]
            if any(isinstance(c, dict) and c.get("packets") for c in counters):
                found.add(rule.get("comment", ""))
        return found

    def forget_connections(self) -> None:
        """Empty the router's conntrack table."""
        subprocess.run(self.host.inside("conntrack", "-F"), capture_output=True, check=False)


@contextmanager
def stage() -> Iterator[Stage]:
    """Build the namespaces; take them down afterwards, whatever happens."""
    host = NodeHost.start()
    try:
        host.run(SETUP)
        inode = host.add_pod("c", CLIENT)
        client = _pid_of(host, inode)
        host.run(f"nsenter -t {client} -n ip -6 addr add {CLIENT_6}/64 dev eth0 nodad")
        host.run(f"nsenter -t {client} -n ip -6 route add default via fd00:9::1")
        # What one test leaves half open or half closed is not sent again while the next one counts.
        host.run(f"nsenter -t {client} -n sysctl -qw net.ipv4.tcp_orphan_retries=1")
        server = _server(host)
        made = Stage(host, _outer(host, client), _outer(host, server), inode)
        # IPv6's link-local addresses are tentative for a second.
        assert wait_until(lambda: made.connect(SERVER_6) == "connected", 10)
        assert wait_until(lambda: made.connect() == "connected", 10)
        _settle(host, client, server)
        yield made
    finally:
        host.stop()


def _settle(host: NodeHost, *pids: int) -> None:
    """Make IPv6 neighbours permanent: their probes would be counted by the rules."""
    for enter in ("", *(f"nsenter -t {pid} -n " for pid in pids)):
        for line in host.run(f"{enter}ip -6 neigh show").splitlines():
            address, _, device, *rest = line.split()
            if "lladdr" in rest:
                mac = rest[rest.index("lladdr") + 1]
                host.run(f"{enter}ip -6 neigh replace {address} lladdr {mac} dev {device} nud permanent")


def _server(host: NodeHost) -> int:
    """Start the server behind a link of its own; return its process as the host sees it."""
    pod = subprocess.Popen(
        host.inside(
            "unshare",
            "-n",
            "python3",
            "-c",
            f"import os; print(os.getpid(), flush=True)\nimport sys\nsys.stdin.readline()\n{LISTENER}",
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    host.pods.append(pod)  # type: ignore[arg-type]
    assert pod.stdout is not None
    assert pod.stdin is not None
    pid = int(pod.stdout.readline())
    run = f"nsenter -t {pid} -n"
    host.run(
        f"ip link add eth1 type veth peer name eth0 netns {pid}; ip addr add 10.77.0.1/24 dev eth1; ip link set eth1 up;"
        f"ip -6 addr add fd00:77::1/64 dev eth1 nodad;"
        f"{run} ip link set lo up; {run} ip addr add {SERVER}/24 dev eth0; {run} ip addr add 10.77.0.3/24 dev eth0;"
        f"{run} ip -6 addr add {SERVER_6}/64 dev eth0 nodad; {run} ip link set eth0 up;"
        f"{run} ip route add default via 10.77.0.1; {run} ip -6 route add default via fd00:77::1;"
        f"{run} sysctl -qw net.ipv4.tcp_synack_retries=0"
    )
    pod.stdin.write("go\n")
    pod.stdin.close()
    pod.stdout.close()
    return pid


def _pid_of(host: NodeHost, inode: int) -> int:
    """Return a process (as the host sees it) in a namespace."""
    return int(
        host.run(
            f'for p in /proc/[0-9]*; do [ "$(stat -L -c %i $p/ns/net)" = {inode} ] && echo ${{p#/proc/}}; done | head -1'
        )
    )


def _outer(host: NodeHost, pid: int) -> int:
    """Return a process of the host as the test sees it: one that lives in the same network namespace.

    One of its processes, too: others that only look at all namespaces enter this one for a moment.
    """
    wanted = Path("/proc", str(host.pid), "root", "proc", str(pid), "ns", "net").stat().st_ino
    of_host = Path("/proc", str(host.pid), "ns", "pid").stat().st_ino
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inodes = [(process / "ns" / kind).stat().st_ino for kind in ("net", "pid")]
            if inodes == [wanted, of_host]:
                return int(process.name)
        except OSError:
            continue  # It has ended meanwhile.
    raise AssertionError(f"no process in the namespace {wanted}")
