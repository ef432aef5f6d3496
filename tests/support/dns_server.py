"""A DNS server for tests, as a process of its own: ``python dns_server.py [ADDRESS]``.

The first label says what it does: ``ok``, ``nx``, ``fail``, ``silent``, ``late`` (after `LATE_S`), ``second`` (silent
the first time). It prints a line when it can be asked.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading

LATE_S = 1.0
CODES = {b"ok": 0, b"nx": 3, b"fail": 2, b"late": 0, b"second": 0}


def main() -> None:
    """Answer until the end."""
    address = sys.argv[1] if len(sys.argv) > 1 else "::"
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seen: set[bytes] = set()
    while True:
        query, client = server.recvfrom(4096)
        word = query[13 : 13 + query[12]].partition(b"-")[0]
        if word not in CODES or (word == b"second" and query not in seen):
            seen.add(query)
            continue
        answer = query[:2] + struct.pack(">H", 0x8180 | CODES[word]) + query[4:]
        if word == b"late":
            threading.Timer(LATE_S, server.sendto, (answer, client)).start()
        else:
            server.sendto(answer, client)


if __name__ == "__main__":
    main()
