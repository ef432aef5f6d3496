"""A fixed load from one network namespace to another, all on one CPU: what each datagram costs, whole.

``python datagrams.py PID ADDRESS`` sends from the namespace that it runs in to ADDRESS in that of the process PID.
For each line on its stdin, a number, it sends and receives as many, and prints the CPU seconds that this took. The
kernel does its part, on both sides, in the time of whoever sends; nothing is sent before what came was read, so that
nothing is ever dropped.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import time

BURST = 32
_NEW_NET = 0x40000000


def socket_of(pid: str) -> socket.socket:
    """Return a socket in the network namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    home, there = (os.open(f"/proc/{each}/ns/net", os.O_RDONLY) for each in ("self", pid))
    for namespace in (there, home):
        if namespace == home:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if libc.setns(namespace, _NEW_NET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(namespace)
    return made


def carry(sender: socket.socket, receiver: socket.socket, number: int) -> float:
    """Send and receive some datagrams; return the CPU seconds that this took."""
    text = b"x" * 100
    began = time.process_time()
    for _ in range(number // BURST):
        for _ in range(BURST):
            sender.send(text)
        for _ in range(BURST):
            receiver.recv(2048)
    return time.process_time() - began


def main() -> None:
    """Carry as many as each line asks for."""
    pid, address = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    receiver = socket_of(pid)
    receiver.settimeout(20)
    receiver.bind((address, 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(receiver.getsockname())
    for line in sys.stdin:
        sys.stdout.write(f"{carry(sender, receiver, int(line)):.9f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
