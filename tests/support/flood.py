"""Datagrams at a fixed rate, to ports where a rule may wait for them; whoever sends keeps one CPU busy.

``python flood.py ADDRESS PORT PORTS RATE SECONDS`` sends to each of PORTS ports in turn, from SENDERS other ports, and
prints how many were sent and how many seconds that took. What the machine did not let it send in time is not made good
for: a burst would be another load than what was asked for.
"""

from __future__ import annotations

import os
import socket
import sys
import time

LATE_S = 0.005
SENDERS = 256
"""With many ports on either side, so many are the flows that each datagram is of another than those around it."""


def flood(address: str, ports: range, rate: float, seconds: float) -> tuple[int, float]:
    """Send; return how many datagrams, and in how many seconds."""
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SENDERS)]
    ends = [(address, port) for port in ports]
    text, sent = b"x" * 100, 0
    began = due = now = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        due = max(due, now - LATE_S)
        while due <= now:
            senders[sent % SENDERS].sendto(text, ends[sent // SENDERS % len(ends)])
            sent += 1
            due += 1 / rate
    return sent, now - began


def main() -> None:
    """Send what the command line asks for, on one CPU alone."""
    address, first, ports, rate, seconds = sys.argv[1:]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sent, elapsed = flood(address, range(int(first), int(first) + int(ports)), float(rate), float(seconds))
    sys.stdout.write(f"{sent} {elapsed:.6f}\n")


if __name__ == "__main__":
    main()
