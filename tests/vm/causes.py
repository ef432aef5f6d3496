"""Programs that go on in the guest until they are ended: what the probes must see, over IPv4 and IPv6."""

TRAFFIC = r"""
import contextlib, socket, time
SMALL = 1 << 16  # or filling and emptying the buffers takes an emulated machine seconds
while True:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with contextlib.ExitStack() as ends:
            listener = ends.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            listener.bind((address, 4501))
            listener.listen()
            near = ends.enter_context(socket.socket(family))
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
            near.connect((address, 4501))
            far = ends.enter_context(listener.accept()[0])
            near.sendall(b"x")
            time.sleep(0.2)
            far.recv(10)
            near.setblocking(False)
            written = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    written += near.send(b"y" * 10000)
            time.sleep(0.2)
            while written:
                written -= len(far.recv(1 << 20))
            receiver = ends.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            receiver.bind((address, 4502))
            sender = ends.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sender.sendto(b"z", (address, 4502))
            receiver.recv(10)
"""
COMMANDS = r"""
import subprocess, time
while True:
    for word in ("on", "off"):
        subprocess.check_call(["ip", "link", "set", "eth0", "promisc", word])
        time.sleep(0.2)
"""
DISK = r"""
import os, time
file = os.open("/var/tmp/cause", os.O_CREAT | os.O_WRONLY | os.O_SYNC)
os.unlink("/var/tmp/cause")
while True:
    os.pwrite(file, os.urandom(4096), 0)
    time.sleep(0.2)
"""
