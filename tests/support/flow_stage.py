"""A client, a router and a server in namespaces of their own: real flows between them, and what is predicted.

``client 10.9.1.2, fd09:1::2 -- router 10.9.1.1, 10.9.2.1 -- 10.9.2.2, fd09:2::2 server``; the server listens on
TCP and UDP 80, and answers what it gets. Neighbours give up within half a second.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import NsKey, Topology
from skoopctl.dataplane.trace import Flow, PathResult
from skoopctl.kernel.build import build_host
from skoopctl.kernel.netns import Host
from tests.lab.node_host import NodeHost

CLIENT, ROUTER, SERVER = "client", "router", "server"
ADDRESSES = {4: ("10.9.1.2", "10.9.2.2"), 6: ("fd09:1::2", "fd09:2::2")}
PORT = 80
LONG_S = 20.0

_PREPARE = """
for c in all default; do
  sysctl -qw net.ipv6.conf.$c.accept_dad=0 net.ipv6.conf.$c.dad_transmits=0 net.ipv6.conf.$c.forwarding=$FORWARD
done
sysctl -qw net.ipv4.ip_forward=$FORWARD net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
sysctl -qw net.ipv4.ping_group_range="0 1000"
ip link set lo up
"""
_SERVER = """
import selectors, socket
selector = selectors.DefaultSelector()
# Address, port, IPV6_V6ONLY.
for host, port, only in (
    ("0.0.0.0", 80, 0), ("::", 80, 1), ("::", 82, 0), ("::", 83, 1), ("::ffff:10.9.2.2", 84, 0),
    ("127.0.0.1", 85, 0), ("10.9.2.2", 86, 0), ("fd09:2::2", 87, 0),
):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        s = socket.socket(family, kind)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        s.bind((host, port))
        if kind == socket.SOCK_STREAM:
            s.listen(8)
        selector.register(s, selectors.EVENT_READ, kind)
open("/run/ready", "w").close()
while True:
    for key, _ in selector.select():
        if key.data == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            data, peer = key.fileobj.recvfrom(64)
            key.fileobj.sendto(data, peer)
"""
_CLIENT = """
import errno, json, select, socket, struct, sys, threading
flows = json.loads(sys.argv[1])
results = [None] * len(flows)
def name(error):
    return errno.errorcode.get(error.errno, str(error.errno)) if error.errno else "timeout"
def tcp(family, address, port, timeout):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(timeout)
    s.connect((address, port))
    return "connected"
def udp(family, address, port, timeout):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(timeout)
    s.connect((address, port))
    s.send(b"?")
    s.recv(64)
    return "connected"
def icmp(family, address, port, timeout):
    six = family == socket.AF_INET6
    s = socket.socket(family, socket.SOCK_DGRAM, 58 if six else 1)
    s.setsockopt(41 if six else 0, 25 if six else 11, 1)  # IPV6_RECVERR, IP_RECVERR
    s.settimeout(timeout)
    s.connect((address, 0))
    s.send(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 0, 1) + b"ping")
    poll = select.poll()
    poll.register(s, select.POLLIN)
    if not poll.poll(timeout * 1000):
        return "timeout"
    s.recv(256)
    return "connected"
def one(index, protocol, address, port, timeout):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        results[index] = globals()[protocol](family, address, port, timeout)
    except socket.timeout:
        results[index] = "timeout"
    except OSError as error:
        results[index] = name(error)
threads = [threading.Thread(target=one, args=(n, *flow)) for n, flow in enumerate(flows)]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps(results))
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One flow: ``tcp``, ``udp`` or ``icmp``, over IPv4 or IPv6, to an address and port."""

    protocol: str
    family: int
    address: str = ""
    port: int = PORT

    @property
    def destination(self) -> str:
        """The address that the client asks for; the server's if nothing else is said."""
        return self.address or ADDRESSES[self.family][1]


@dataclass(slots=True)
class Stage:
    """The three namespaces; ``pids`` are processes in the client's and the server's, as the host sees them."""

    host: NodeHost
    pids: dict[str, int] = field(default_factory=dict)

    def run(self, where: str, command: str) -> str:
        """Run a shell command in one of the namespaces."""
        if where == ROUTER:
            return self.host.run(command)
        return self.host.run(f"nsenter -t {self.pids[where]} -n sh -ec {shlex.quote(command)}")

    def start(self, where: str, command: str) -> None:
        """Start a process in a network namespace of its own."""
        pod = subprocess.Popen(
            self.host.inside("unshare", "-n", "sh", "-c", f"echo $$; {command}"), stdout=subprocess.PIPE
        )
        self.host.pods.append(pod)
        assert pod.stdout is not None
        self.pids[where] = int(pod.stdout.readline())
        pod.stdout.close()

    def collect(self) -> Host:
        """Ask the node program, and build the model of what it says."""
        answer = self.host.ask()
        assert answer.status == 0, answer.stderr
        return build_host(answer.evidence)

    def real(
        self, flows: Sequence[Wanted], timeout_s: float = 1.2, expected: Sequence[str] = ()
    ) -> list[str]:
        """Return what a real client gets: ``connected``, ``timeout``, or an errno by its name.

        What is ``expected`` of a flow is waited for as long as it takes, unless it is that nothing comes.
        """
        waits = [timeout_s if word == "timeout" else LONG_S for word in expected] or [timeout_s] * len(flows)
        asked = json.dumps(
            [
                (flow.protocol, flow.destination, flow.port, wait_s)
                for flow, wait_s in zip(flows, waits, strict=True)
            ]
        )
        program = shlex.join(["python3", "-c", _CLIENT, asked])
        answer: list[str] = json.loads(self.run(CLIENT, program))
        return answer


def predicted(host: Host, flow: Wanted) -> PathResult:
    """Return the walk's answer for a flow from the client."""
    topology = Topology({host.name: host})
    source = ADDRESSES[flow.family][0]
    client = next(
        (n.host, n.inode)
        for n in topology.namespaces()
        if any(link.name == "eth-c" for link in n.links.values())
    )
    return _walk(topology, Flow(source, flow.destination, flow.protocol, flow.port), client)


def _walk(topology: Topology, flow: Flow, client: NsKey) -> PathResult:
    return walk(Network(topology), flow, client)


def as_seen(path: PathResult) -> str:
    """Return a prediction in the words of `Stage.real`."""
    branch = path.representative
    return branch.errno or branch.outcome.value


def _impatient(device: str) -> str:
    """Return the command that makes neighbours of a device give up within half a second."""
    settings = (f"net.{family}.neigh.{device}.retrans_time_ms=100" for family in ("ipv4", "ipv6"))
    return f"sysctl -qw {' '.join(settings)}"


@contextmanager
def staged() -> Iterator[Stage]:
    """Make the stage, with every address and route in place, and take it away again."""
    host = NodeHost.start()
    try:
        stage = Stage(host)
        stage.run(ROUTER, _PREPARE.replace("$FORWARD", "1"))
        stage.start(CLIENT, "exec sleep infinity")
        stage.start(SERVER, "exec sleep infinity")
        for where, letter, number in ((CLIENT, "c", 1), (SERVER, "s", 2)):
            stage.run(where, _PREPARE.replace("$FORWARD", "0"))
            stage.run(
                ROUTER,
                f"ip link add r-{letter} type veth peer name eth-{letter} netns {stage.pids[where]};"
                f"ip addr add 10.9.{number}.1/24 dev r-{letter}; ip link set r-{letter} up;"
                f"ip addr add fd09:{number}::1/64 dev r-{letter} nodad; {_impatient(f'r-{letter}')}",
            )
            stage.run(
                where,
                f"ip addr add 10.9.{number}.2/24 dev eth-{letter}; ip link set eth-{letter} up;"
                f"ip addr add fd09:{number}::2/64 dev eth-{letter} nodad; {_impatient(f'eth-{letter}')};"
                f"ip route add default via 10.9.{number}.1; ip -6 route add default via fd09:{number}::1",
            )
        server = shlex.join(["python3", "-c", _SERVER])
        stage.run(
            SERVER, f"{server} >/dev/null 2>&1 </dev/null & while ! [ -e /run/ready ]; do sleep 0.02; done"
        )
        yield stage
    finally:
        host.stop()
