"""Pods by the hundred: processes in network namespaces and control groups of their own, that make traffic on demand.

``python crowd.py GROUP PODS`` runs inside a host (`tests.lab.node_host`) and makes for each pod a sandbox, an
application and a child of that, below ``GROUP`` as kubelet's systemd driver names things. It prints the process ids
of the sandboxes. Then, for each line on its stdin, every pod makes some traffic, and the line is printed back. It and
all its pods end with its stdin.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import sys
import uuid
from contextlib import suppress
from pathlib import Path

NEW_NET = 0x40000000
PORT = 8080


def pod_folder(group: Path, number: int) -> Path:
    """Return the control group of a pod."""
    uid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"pod-{number}")).replace("-", "_")
    return group / "kubepods.slice" / "kubepods-burstable.slice" / f"kubepods-burstable-pod{uid}.slice"


def join(folder: Path) -> None:
    """Move this process into a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text("0")


def sandbox(number: int, folder: Path, ready: int, orders: int) -> None:
    """Be a pod: a network namespace, a process that sleeps, one that serves and a child of that."""
    if ctypes.CDLL(None).unshare(NEW_NET):
        os._exit(1)
    if os.fork() == 0:
        join(folder / "cri-containerd-app.scope")
        if os.fork() == 0:
            signal.pause()
        application(number, ready, orders)
    join(folder / "cri-containerd-pause.scope")
    os.close(ready)
    os.close(orders)
    signal.pause()


def application(number: int, ready: int, orders: int) -> None:
    """Listen, hold a connection to itself, and make traffic for every byte that comes."""
    os.system("ip link set lo up")  # noqa: S605 - fixed words
    listener = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    out = socket.create_connection(("127.0.0.1", PORT))
    back = listener.accept()[0]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    lot = random.Random(number)
    os.write(ready, b"+")
    while os.read(orders, 1):
        make_traffic(lot, listener, (out, back), udp)
        os.write(ready, b".")


def make_traffic(
    lot: random.Random,
    listener: socket.socket,
    connection: tuple[socket.socket, socket.socket],
    udp: socket.socket,
) -> None:
    """Send on a connection, open and close others, be refused, and send datagrams; how much of each is drawn."""
    for _ in range(lot.randint(1, 4)):
        left = lot.randint(1, 50_000)
        connection[0].sendall(bytes(left))
        while left > 0:
            left -= len(connection[1].recv(left))
    for _ in range(lot.randint(1, 3)):
        with socket.create_connection(("127.0.0.1", PORT)) as client:
            served = listener.accept()[0]
            client.sendall(b"x")
            served.close()
    for address in lot.choices(("127.0.0.1", "::1"), k=2):
        with suppress(OSError):
            socket.create_connection((address, PORT + 1))
    for _ in range(lot.randint(1, 5)):
        with suppress(OSError):
            udp.sendto(bytes(lot.randint(1, 999)), ("127.0.0.1", PORT + lot.choice((0, 2))))


def main() -> None:
    """Make the pods, then pass on each line of stdin to all of them."""
    group, count = Path(sys.argv[1]), int(sys.argv[2])
    os.setpgid(0, 0)
    pipes, sandboxes = [], []
    for number in range(count):
        (ready, ready_in), (orders_out, orders) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            for read, written in pipes:
                os.close(read)
                os.close(written)
            os.close(ready)
            os.close(orders)
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1):
                os.dup2(null, descriptor)
            sandbox(number, pod_folder(group, number), ready_in, orders_out)
        os.close(ready_in)
        os.close(orders_out)
        pipes.append((ready, orders))
        sandboxes.append(pid)
    for ready, _ in pipes:
        if os.read(ready, 1) != b"+":
            sys.exit("a pod did not begin")
    say(" ".join(map(str, sandboxes)))
    try:
        for line in sys.stdin:
            for _, orders in pipes:
                os.write(orders, b"!")
            for ready, _ in pipes:
                os.read(ready, 1)
            say(line.strip())
    finally:
        os.killpg(0, signal.SIGKILL)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
