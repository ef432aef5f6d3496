"""A DNS server for tests, as a process of its own: ``python dns_server.py [ADDRESS]``, over UDP and TCP.

The first label says what it does: ``ok``, ``nx``, ``fail``, ``silent``, ``late`` (after `LATE_S`), ``second`` (silent
the first time). It prints a line when it can be asked.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time

LATE_S = 1.0
CODES = {b"ok": 0, b"nx": 3, b"fail": 2, b"late": 0, b"second": 0}


def main() -> None:
    """Answer until the end."""
    address = sys.argv[1] if len(sys.argv) > 1 else "::"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((address, 53))
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, 53))
    listener.listen(16)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seen: set[bytes] = set()
    while True:
        query, client = server.recvfrom(4096)
        word = word_of(query)
        if word not in CODES or (word == b"second" and query not in seen):
            seen.add(query)
        elif word == b"late":
            threading.Timer(LATE_S, server.sendto, (answer_to(query), client)).start()
        else:
            server.sendto(answer_to(query), client)


def accept(listener: socket.socket) -> None:
    """Answer connections, each beside the others."""
    while True:
        threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


def converse(client: socket.socket) -> None:
    """Answer the queries of a connection, one after the other."""
    with client, client.makefile("rb") as queries:
        while len(size := queries.read(2)) == 2:
            query = queries.read(struct.unpack(">H", size)[0])
            word = word_of(query)
            if word not in CODES:
                continue
            if word == b"late":
                time.sleep(LATE_S)
            client.sendall(size + answer_to(query))


def word_of(query: bytes) -> bytes:
    """Return what a query asks the server to do."""
    return query[13 : 13 + query[12]].partition(b"-")[0]


def answer_to(query: bytes) -> bytes:
    """Return the answer, which is as long as the query."""
    return query[:2] + struct.pack(">H", 0x8180 | CODES[word_of(query)]) + query[4:]


if __name__ == "__main__":
    main()
