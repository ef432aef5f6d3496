"""Real packets: listeners in every place, and clients that try many flows at once.

Both run in children of the worker; a socket belongs to the namespace that it was made in, so one process
serves all places.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from tests.kernel.drops import Drops
from tests.kernel.namespaces import inside
from tests.kernel.plan import BY_NAME, ENDS, TCP_OPEN, UDP_OPEN
from tests.kernel.state import Flow

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
IP_RECVERR, IPV6_RECVERR = 11, 25
ANSWER_SIZE = 512
UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client saw: ``outcome`` in the walk's words, who answered, and the source that it saw.

    ``errno`` is the error's name. An ICMP echo is answered by a kernel, which does not say who it is.
    """

    outcome: str
    who: str = ""
    seen: str = ""
    errno: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.outcome, self.errno, self.who, self.seen)))


# --- who answers -----------------------------------------------------------------------------------------


def start_listeners() -> int:
    """Open every port in every place, then answer in a child; return its process id."""
    selector = selectors.DefaultSelector()
    for place in ENDS:
        with inside(place.name):
            for family in (socket.AF_INET, socket.AF_INET6):
                for port in TCP_OPEN:
                    selector.register(_listen(family, port), selectors.EVENT_READ, (_answer_tcp, place.name))
                for port in UDP_OPEN:
                    selector.register(_bind(family, port), selectors.EVENT_READ, (_answer_udp, place.name))
    child = os.fork()
    if child == 0:
        _serve(selector)
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    selector.close()
    return child


def _serve(selector: selectors.BaseSelector) -> NoReturn:
    with suppress(BaseException):
        while True:
            for key, _ in selector.select():
                answer, name = key.data
                with suppress(OSError):
                    answer(key.fileobj, name)
    os._exit(0)


def _listen(family: int, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", port))
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def _bind(family: int, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("", port))
    sock.setblocking(False)
    return sock


def _answer_tcp(sock: socket.socket, name: str) -> None:
    peer, address = sock.accept()
    with peer:
        peer.sendall(f"{name} {address[0]}\n".encode())


def _answer_udp(sock: socket.socket, name: str) -> None:
    """Answer from the address that the datagram came to, as a careful server does."""
    _, ancillary, _, address = sock.recvmsg(2048, socket.CMSG_SPACE(20))
    reply = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            # struct in_pktinfo: ifindex, spec_dst, addr; spec_dst chooses the reply's source (ip(7)).
            reply.append((level, kind, b"\0\0\0\0" + data[8:12] + b"\0\0\0\0"))
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            reply.append((level, kind, data[:16] + b"\0\0\0\0"))
    sock.sendmsg([f"{name} {address[0]}\n".encode()], reply, 0, address)


# --- who asks --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Attempt:
    """One flow that is being tried."""

    flow: Flow
    sock: socket.socket
    target: tuple[str, int]
    connected: bool = False
    data: bytes = b""
    heard: Heard = field(default_factory=lambda: Heard("timeout"))

    @property
    def tcp(self) -> bool:
        return self.flow.protocol == "tcp"

    def start(self) -> bool:
        """Send the first packet; return whether something is left to wait for.

        An echo request goes out as ping(8) sends it: unconnected, with the source that the one lookup gives.
        """
        if self.flow.protocol == "icmp":
            return self.send()
        code = self.sock.connect_ex(self.target)
        if code not in (0, errno.EINPROGRESS):
            return self.fail(code)
        return self.tcp or self.send()

    def send(self) -> bool:
        """Send a datagram, or an echo request."""
        try:
            if self.flow.protocol == "icmp":
                self.sock.sendto(self.request(), self.target)
            else:
                self.sock.send(self.request())
        except OSError as error:
            return self.fail(error.errno or 0)
        return True

    def request(self) -> bytes:
        if self.flow.protocol != "icmp":
            return b"?\n"
        return struct.pack("!BBHHH", 128 if ":" in self.target[0] else 8, 0, 0, 0, 1) + b"skoop-fuzz"

    def events(self) -> int:
        return selectors.EVENT_READ if self.connected or not self.tcp else selectors.EVENT_WRITE

    def advance(self) -> bool:
        """Take one step after an event; return whether something is left to wait for."""
        if self.tcp and not self.connected:
            # Not SO_ERROR: it tells of soft errors too, which no blocking connect() would (sock_getsockopt).
            code = self.sock.connect_ex(self.target)
            if code not in (0, errno.EISCONN):
                return code in {errno.EALREADY, errno.EINPROGRESS} or self.fail(code)
            self.connected = True
            self.heard = Heard("connected")
            return True
        try:
            chunk, sender = self.sock.recvfrom(ANSWER_SIZE)
        except BlockingIOError:
            return True
        except OSError as error:
            # A TCP connection that was made counts as made, whatever becomes of it.
            return False if self.tcp else self.fail(error.errno or 0)
        if self.flow.protocol == "icmp":
            # A ping socket takes an echo reply from anybody (net/ipv4/ping.c: ping_lookup); ping(8) does not.
            if sender[0] != self.target[0]:
                return True
            self.heard = Heard("connected")
            return False
        self.data += chunk
        if chunk and self.tcp and b"\n" not in self.data:
            return True
        who, _, seen = self.data.decode("ascii", "replace").strip().partition(" ")
        self.heard = Heard("connected", who, seen) if who in BY_NAME else Heard("connected")
        return False

    def fail(self, code: int) -> bool:
        """Sort an errno into an outcome."""
        # For a ping, nothing is refused: ICMP has no ports.
        refused = UNREACHABLE if self.flow.protocol == "icmp" else "refused"
        outcomes = {errno.ECONNREFUSED: refused, errno.ETIMEDOUT: "timeout"}
        self.heard = Heard(outcomes.get(code, UNREACHABLE), errno=errno.errorcode.get(code, str(code)))
        return False


def _socket_for(flow: Flow) -> socket.socket:
    family = socket.AF_INET6 if ":" in flow.destination else socket.AF_INET
    if flow.protocol == "icmp":
        number = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
        sock = socket.socket(family, socket.SOCK_DGRAM, number)
        # A ping socket hears of errors only when it asks for them (net/ipv4/ping.c: ping_err).
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    else:
        sock = socket.socket(family, socket.SOCK_STREAM if flow.protocol == "tcp" else socket.SOCK_DGRAM)
    sock.setblocking(False)
    return sock


def try_flows(flows: Sequence[Flow], timeout_s: float) -> tuple[list[Heard], list[str]]:
    """Try all flows at once, in a child; return what was heard, in order, and why packets were freed there."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _be_client(flows, timeout_s, write)
    os.close(write)
    with os.fdopen(read, "rb") as answers:
        raw = answers.read()
    os.waitpid(child, 0)
    heard, reasons = json.loads(raw)
    return [Heard(*each) for each in heard], reasons


def _be_client(flows: Sequence[Flow], timeout_s: float, write: int) -> NoReturn:
    status = 1
    try:
        drops = Drops()
        heard = [[h.outcome, h.who, h.seen, h.errno] for h in _probe(flows, timeout_s)]
        payload = json.dumps([heard, drops.reasons()]).encode()
        while payload:
            payload = payload[os.write(write, payload) :]
        status = 0
    finally:
        os._exit(status)


def _probe(flows: Sequence[Flow], timeout_s: float) -> list[Heard]:
    attempts: list[_Attempt | None] = [None] * len(flows)
    for place in dict.fromkeys(flow.source for flow in flows):
        with inside(place):
            for n, flow in enumerate(flows):
                if flow.source == place:
                    attempts[n] = _Attempt(flow, _socket_for(flow), (flow.destination, flow.port))
    made = [attempt for attempt in attempts if attempt is not None]
    with selectors.DefaultSelector() as selector:
        _run(made, selector, timeout_s)
    return [attempt.heard for attempt in made]


def _run(attempts: list[_Attempt], selector: selectors.BaseSelector, timeout_s: float) -> None:
    """Drive all attempts. A datagram is sent once: a second one would meet another state of conntrack."""
    end = time.monotonic() + timeout_s
    for attempt in attempts:
        if attempt.start():
            selector.register(attempt.sock, attempt.events(), attempt)
    while selector.get_map() and (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            _advance(key.data, selector)


def _advance(attempt: _Attempt, selector: selectors.BaseSelector) -> None:
    if attempt.advance():
        selector.modify(attempt.sock, attempt.events(), attempt)
    else:
        selector.unregister(attempt.sock)
