"""What runs in the guest: servers in many namespaces, and flows between them. Standard library only.

``inside.py serve`` reads ``{"NAMESPACE": {"tcp": [80], "udp": [53]}}``, opens those ports in every namespace,
prints ``ready PID`` and goes on in the background. A server answers with one line: its namespace and the
source address that it sees.

``inside.py try`` reads ``{"timeout_s": 2, "flows": [["NAMESPACE", "tcp", "10.0.0.1", 80, {}], ...]}``,
starts all flows at once, and prints one ``[outcome, who, seen]`` a flow, in order. A TCP flow is connected
when data comes back, for that is what a user calls connected. Of a UDP socket only fatal errors count, of
an ICMP echo all. A flow's last member may hold ``mark`` (SO_MARK), ``device`` (SO_BINDTODEVICE), ``source``
(an address to bind) and ``cgroup`` (a folder of the cgroup file system that the socket is born in).

A socket belongs to the namespace that it was made in, so one process serves all of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import Any

SO_MARK = 36
IP_RECVERR, IPV6_RECVERR = 11, 25
IP_PKTINFO, IPV6_PKTINFO = 8, 50
LIBC = ctypes.CDLL(None, use_errno=True)
STREAMS = {"tcp": socket.IPPROTO_TCP, "sctp": 132}
"""Protocols that connect, with their numbers."""


def enter(name: str) -> None:
    """Enter a namespace of ip-netns(8)."""
    handle = os.open("/run/netns/" + name, os.O_RDONLY)
    if LIBC.setns(handle, 0x40000000):
        raise OSError(ctypes.get_errno(), f"setns {name}")
    os.close(handle)


# --- servers -----------------------------------------------------------------------------------------------


def stream(family: socket.AddressFamily, protocol: str) -> socket.socket:
    """Return a socket that connects: SCTP's one-to-one style is used as TCP is (sctp(7))."""
    return socket.socket(family, socket.SOCK_STREAM, STREAMS[protocol])


def listen(family: socket.AddressFamily, protocol: str, port: int) -> socket.socket:
    """Return a server's socket, on all addresses of the namespace."""
    sock = stream(family, protocol) if protocol in STREAMS else socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif protocol == "udp":
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    if protocol in STREAMS:
        sock.listen(256)
    sock.setblocking(False)
    return sock


def answer(sock: socket.socket, name: str) -> None:
    """Answer one connection or datagram, from the address that it was sent to."""
    with contextlib.suppress(OSError):
        if sock.type == socket.SOCK_STREAM:
            peer, address = sock.accept()
            peer.settimeout(1)
            peer.sendall(f"{name} {address[0]}\n".encode())
            peer.close()
            return
        _, ancillary, _, address = sock.recvmsg(2048, 256)
        reply = []
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                # struct in_pktinfo: ifindex, spec_dst, addr; spec_dst chooses the reply's source (ip(7)).
                reply.append((level, kind, b"\0\0\0\0" + data[8:12] + b"\0\0\0\0"))
            elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
                reply.append((level, kind, data[:16] + b"\0\0\0\0"))
        sock.sendmsg([f"{name} {address[0]}\n".encode()], reply, 0, address)


def serve(wanted: dict[str, dict[str, list[int]]]) -> None:
    """Open every port, say so, and answer until killed."""
    selector = selectors.DefaultSelector()
    for name, ports in wanted.items():
        enter(name)
        for protocol in ("tcp", "udp", "sctp"):
            for port in ports.get(protocol, ()):
                for family in (socket.AF_INET, socket.AF_INET6):
                    selector.register(listen(family, protocol, port), selectors.EVENT_READ, name)
    child = os.fork()
    if child:
        sys.stdout.write(f"ready {child}\n")
        return
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    while True:
        for key, _ in selector.select():
            if isinstance(key.fileobj, socket.socket):
                answer(key.fileobj, key.data)


# --- clients -----------------------------------------------------------------------------------------------


class Attempt:
    """One flow that is being tried."""

    def __init__(self, namespace: str, protocol: str, address: str, port: int, extra: dict[str, Any]) -> None:
        self.protocol = protocol
        self.target = (address, port)
        self.connected = False
        self.data = b""
        self.result = ["timeout", "", ""]
        enter(namespace)
        if "cgroup" in extra:
            move_to(extra["cgroup"])
        try:
            self.sock = self.make(socket.AF_INET6 if ":" in address else socket.AF_INET)
        finally:
            if "cgroup" in extra:
                move_to("")
        self.sock.setblocking(False)
        if "mark" in extra:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_MARK, extra["mark"])
        if "device" in extra:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, extra["device"].encode())
        if "source" in extra:
            self.sock.bind((extra["source"], 0))

    def make(self, family: socket.AddressFamily) -> socket.socket:
        """Return the client's socket."""
        if self.protocol in STREAMS:
            return stream(family, self.protocol)
        if self.protocol == "udp":
            return socket.socket(family, socket.SOCK_DGRAM)
        six = family == socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
        sock.setsockopt(
            socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, IPV6_RECVERR if six else IP_RECVERR, 1
        )
        return sock

    def start(self) -> bool:
        """Send the first packet; return whether there is something to wait for."""
        code = self.sock.connect_ex(self.target)
        if code not in (0, errno.EINPROGRESS):
            return self.fail(code)
        if self.protocol not in STREAMS:
            echo = b"\x80" if self.sock.family == socket.AF_INET6 else b"\x08"
            try:
                self.sock.send(b"?\n" if self.protocol == "udp" else echo + b"\0\0\0\0\0\0\1skoopctl")
            except OSError as error:
                return self.fail(error.errno)
        return True

    def events(self) -> int:
        """Return what to wait for now."""
        reading = self.connected or self.protocol not in STREAMS
        return selectors.EVENT_READ if reading else selectors.EVENT_WRITE

    def advance(self) -> bool:
        """Take one step after an event; return whether there is something left to wait for."""
        if self.protocol in STREAMS and not self.connected:
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.connected = not code
            return self.fail(code) if code else True
        try:
            chunk = self.sock.recv(512)
        except OSError as error:
            return self.fail(error.errno)
        if self.protocol == "icmp":
            self.result = ["connected", "", ""]
            return False
        self.data += chunk
        if chunk and b"\n" not in self.data:
            return True
        who, _, seen = self.data.decode("ascii", "replace").strip().partition(" ")
        if who:
            self.result = ["connected", who, seen]
        return False

    def fail(self, code: int | None) -> bool:
        """Sort an error into an outcome."""
        if code == errno.ECONNREFUSED and self.protocol != "icmp":  # there are no ports to refuse
            self.result = ["refused", "", ""]
        elif code == errno.ETIMEDOUT:
            self.result = ["timeout", "", ""]
        elif code == errno.ECONNRESET:
            self.result = ["timeout", "", "ECONNRESET"]
        else:
            self.result = ["unreachable", "", errno.errorcode.get(code or 0, str(code))]
        return False


def move_to(group: str) -> None:
    """Move this process into a cgroup, given by its path below the root."""
    Path("/sys/fs/cgroup", group.strip("/"), "cgroup.procs").write_text(str(os.getpid()))


def attempt_all(
    flows: list[tuple[Any, ...]], timeout_s: float, answers: int, long_s: float
) -> list[list[str]]:
    """Try all flows at once and return their results in order.

    So many ``answers`` are waited for for longer: what runs this machine may be busy.
    """
    attempts = [Attempt(*flow) for flow in flows]
    selector = selectors.DefaultSelector()
    waiting = 0
    for each in attempts:
        if each.start():
            selector.register(each.sock, each.events(), each)
            waiting += 1
    began = time.monotonic()
    while waiting:
        missing = answers > sum(each.result[0] != "timeout" for each in attempts)
        left_s = began + (long_s if missing else timeout_s) - time.monotonic()
        if left_s <= 0:
            break
        for key, _ in selector.select(left_s):
            if key.data.advance():
                selector.modify(key.data.sock, key.data.events(), key.data)
            else:
                selector.unregister(key.data.sock)
                waiting -= 1
    return [each.result for each in attempts]


if __name__ == "__main__":
    request = json.load(sys.stdin)
    if sys.argv[1] == "serve":
        serve(request)
    else:
        sys.stdout.write(json.dumps(attempt_all(**request)))
