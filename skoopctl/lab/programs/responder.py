"""A pod's process: answers TCP connections and UDP datagrams with its name and the source that it sees.

Usage: ``responder.py NAME [--tcp PORT]... [--udp PORT]... [--uid UID]``. The answer is one line, ``NAME
ADDRESS``. SIGUSR1 closes all ports, SIGUSR2 opens them again.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import sys

PACKET_INFO_SIZE = 12
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)


def listen_tcp(port: int) -> socket.socket:
    """Return a listening socket on all addresses."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("0.0.0.0", port))  # noqa: S104 - all addresses of a namespace of its own
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def listen_udp(port: int) -> socket.socket:
    """Return a bound socket on all addresses that tells which address a datagram came to."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("0.0.0.0", port))  # noqa: S104 - all addresses of a namespace of its own
    sock.setblocking(False)
    return sock


def answer_tcp(sock: socket.socket, name: str) -> None:
    """Accept one connection, say who answers and whom it sees, and close."""
    with contextlib.suppress(OSError):
        peer, address = sock.accept()
        with peer:
            peer.sendall(f"{name} {address[0]}\n".encode())


def answer_udp(sock: socket.socket, name: str) -> None:
    """Answer one datagram from the address that it was sent to, as a careful server does."""
    with contextlib.suppress(OSError):
        _, ancillary, _, address = sock.recvmsg(2048, socket.CMSG_SPACE(PACKET_INFO_SIZE))
        reply = []
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                # struct in_pktinfo: ifindex, spec_dst, addr; spec_dst chooses the reply's source (ip(7)).
                reply.append((level, kind, b"\0\0\0\0" + data[8:12] + b"\0\0\0\0"))
        sock.sendmsg([f"{name} {address[0]}\n".encode()], reply, 0, address)


def parse(arguments: list[str]) -> tuple[str, list[int], list[int]]:
    """Return the name, the TCP ports and the UDP ports."""
    ports: dict[str, list[int]] = {"--tcp": [], "--udp": []}
    for flag, value in zip(arguments[1::2], arguments[2::2], strict=True):
        if flag in ports:
            ports[flag].append(int(value))
    return arguments[0], ports["--tcp"], ports["--udp"]


class Listeners:
    """The open ports."""

    def __init__(self, tcp: list[int], udp: list[int]) -> None:
        self.tcp, self.udp = tcp, udp
        self.selector = selectors.DefaultSelector()

    def open(self, *_: object) -> None:
        """Open every port, unless they are open."""
        if not self.selector.get_map():
            for port in self.tcp:
                self.selector.register(listen_tcp(port), selectors.EVENT_READ, answer_tcp)
            for port in self.udp:
                self.selector.register(listen_udp(port), selectors.EVENT_READ, answer_udp)

    def close(self, *_: object) -> None:
        """Close every port."""
        for key in list(self.selector.get_map().values()):
            sock = key.fileobj
            self.selector.unregister(sock)
            if isinstance(sock, socket.socket):
                sock.close()


def main() -> None:
    """Serve until killed."""
    name, tcp, udp = parse(sys.argv[1:])
    listeners = Listeners(tcp, udp)
    signal.signal(signal.SIGUSR1, listeners.close)
    signal.signal(signal.SIGUSR2, listeners.open)
    listeners.open()
    while True:
        for key, _ in listeners.selector.select():
            key.data(key.fileobj, name)


if __name__ == "__main__":
    main()
