"""Makes traffic, and trouble, in the network namespace that it is started in, as it is told on stdin.

One JSON object a line, one answer a line; the end of stdin is its own end, and closes every socket.

``{"do": "deafen", "udp": PORT, "tcp": PORT, "backlog": N}``: open ports that nobody ever reads or accepts from.
``{"do": "dropped"}``: how many datagrams the deaf socket had no room for, as the kernel counts them.
``{"do": "datagrams", "to": [ADDRESS, PORT], "count": N, "size": BYTES}``: send datagrams.
``{"do": "knock", "to": [ADDRESS, PORT], "count": N}``: begin connections, and keep them.
``{"do": "call", "to": [ADDRESS, PORT], "count": N, "timeout_s": S}``: connect and read the answer, one after the
other; how many were answered, refused, or neither.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import Any

SO_MEMINFO = 55
MEMINFO_DROPS = 8
"""include/uapi/linux/sock_diag.h: SK_MEMINFO_DROPS, the ninth of as many words as the kernel has."""
SMALLEST = 1


class Hand:
    """The sockets that are open."""

    def __init__(self) -> None:
        self.deaf: list[socket.socket] = []
        self.kept: list[socket.socket] = []

    def deafen(self, udp: int, tcp: int, backlog: int) -> dict[str, Any]:
        """Open a datagram socket with the smallest buffer there is, and a listener with a short queue."""
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST)
        ear.bind(("0.0.0.0", udp))  # noqa: S104 - all addresses of a namespace of its own
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("0.0.0.0", tcp))  # noqa: S104 - the same
        door.listen(backlog)
        self.deaf = [ear, door]
        return {}

    def dropped(self) -> dict[str, Any]:
        """Ask the kernel what the deaf datagram socket dropped."""
        words = self.deaf[0].getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
        return {"dropped": struct.unpack(f"{len(words) // 4}I", words)[MEMINFO_DROPS]}

    def datagrams(self, to: list[Any], count: int, size: int) -> dict[str, Any]:
        """Send datagrams as fast as they go."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            for _ in range(count):
                mouth.sendto(b"x" * size, (to[0], to[1]))
        return {"sent": count}

    def knock(self, to: list[Any], count: int) -> dict[str, Any]:
        """Begin connections without waiting for them; those of the last time are closed."""
        for sock in self.kept:
            sock.close()
        self.kept = []
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.connect_ex((to[0], to[1]))
            self.kept.append(sock)
        return {"begun": count}

    def call(self, to: list[Any], count: int, timeout_s: float) -> dict[str, Any]:
        """Connect, read until the other side closes, and count how it went."""
        result = {"answered": 0, "refused": 0, "neither": 0}
        for _ in range(count):
            try:
                with socket.create_connection((to[0], to[1]), timeout=timeout_s) as sock:
                    while sock.recv(4096):
                        pass
                result["answered"] += 1
            except ConnectionRefusedError:
                result["refused"] += 1
            except OSError:
                result["neither"] += 1
        return result


def main() -> None:
    """Do what each line says, until there are no more."""
    hand = Hand()
    for line in sys.stdin:
        wanted = json.loads(line)
        sys.stdout.write(json.dumps(getattr(hand, wanted.pop("do"))(**wanted)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
