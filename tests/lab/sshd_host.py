"""Hosts for transport tests: a network namespace each, with a real OpenSSH server in it.

A host has its own network, PID and mount namespaces, so that ending it is one kill, and so that it can have
users that this machine has not. A client reaches it from a second namespace over a veth pair.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostResult, Job
from skoopctl.transport.choice import RealTransports
from skoopctl.transport.fleet import run_fleet

CLIENT = "10.211.7.1"
SERVER = "10.211.7.2"
NOBODY = "10.211.7.9"
"""An address of the same network that no machine has."""


def run(*words: str, input_text: str | None = None) -> str:
    """Run a program and return its output; a failure shows what it said."""
    done = subprocess.run(words, input=input_text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
    return done.stdout


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until ``condition`` holds; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def in_time(seconds: float) -> float:
    """Return how long something may take that takes at most ``seconds`` on an idle machine: more on a busy one.

    The load average is that of a minute, and says little early in a run. Beside other processes of pytest a machine
    counts as busy from the beginning.
    """
    least = 4.0 if "PYTEST_XDIST_WORKER" in os.environ else 1.0
    return seconds * max(least, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def keypair(path: Path, kind: str = "ed25519") -> Path:
    """Make a key pair and return the private key's path."""
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path))
    return path


def password_hash(password: str) -> str:
    """Return what stands for a password in /etc/shadow; perl-base is on every Debian."""
    return run("perl", "-e", "print crypt(<STDIN>, q($6$skt$))", input_text=password)


@dataclass
class SshdHost:
    """One namespace pair; ``client`` is the namespace from which servers in ``server`` are reached."""

    folder: Path
    client: str
    server: str
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def host_key(self) -> Path:
        """The server's private host key."""
        return self.folder / "host_key"

    @property
    def user_key(self) -> Path:
        """The private key that root may log in with."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """A file that knows the server's key on every port."""
        return self.folder / "known_hosts"

    def start(
        self,
        port: int = 22,
        *options: str,
        users: str = "",
        sudoers: str = "",
        files: Mapping[str, str] | None = None,
        before: str = "",
    ) -> None:
        """Start an sshd. It and its sessions see ``users`` in /etc/passwd and ``sudoers`` as sudo's rules.

        ``files`` are what they see at other paths; a file that this machine has not may stand right in /etc.
        ``before`` is what is done first in the server's own mounts: shell commands that end in ``&&``.
        """
        settings = {
            "PidFile": "none",
            "AuthorizedKeysFile": str(self.folder / "authorized_keys"),
            "StrictModes": "no",
            "UsePAM": "no",
            "UseDNS": "no",
            "HostKey": str(self.host_key),
            "Port": str(port),
        }
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        settings |= dict(option.split("=", 1) for option in options)
        words = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        process = self._spawn(port, before + self._private_files(port, users, sudoers, files or {}), words)
        self.running[port] = process

        def listens() -> bool:
            assert process.poll() is None, f"sshd on port {port} has ended: {self.log(port)}"
            return port in self.listening()

        wait_for(listens, f"sshd on port {port}", 120)

    def _private_files(self, port: int, users: str, sudoers: str, files: Mapping[str, str]) -> str:
        """Write files that only this server sees; return the shell commands that put them in place."""
        # A home of its own: the start-up files of whoever runs the tests must not take part.
        known = Path("/etc/passwd").read_text().replace(":/root:/bin/bash", f":{self.folder}:/bin/bash")
        seen = {"/etc/passwd": known + users, **files}
        if sudoers:
            seen["/etc/sudoers"] = sudoers
        commands = ""
        if any(path.startswith("/etc/") and not Path(path).exists() for path in seen):
            commands += (
                f"cp -a /etc {self.folder}/etc-{port} && mount --bind {self.folder}/etc-{port} /etc && "
            )
        # What sudo remembers is this server's own, and so are the namespaces that the node program visits: whoever
        # takes down a lab at the same time ends every process that is in one of the lab's.
        for folder in (Path("/run/sudo"), Path("/var/lib/sudo"), Path("/run/netns")):
            if folder.is_dir():
                commands += f"mount -t tmpfs none {folder} && "
        for path, text in seen.items():
            file = self.folder / f"{path.replace('/', '-').strip('-')}-{port}"
            file.write_text(text)
            file.chmod(0o644 if path == "/etc/passwd" else 0o440)
            commands += f"touch {path} && mount --bind {file} {path} && "
        return commands

    def inside(self, port: int, *words: str) -> str:
        """Run a program where the server on ``port`` and its sessions live, and return what it says."""
        parent = self.running[port].pid
        child = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0]
        return run("nsenter", "-t", child, "-m", "-p", "-n", *words)

    def log(self, port: int) -> str:
        """Return what the server on ``port`` has logged."""
        return (self.folder / f"sshd-{port}.log").read_text()

    def kill(self, port: int) -> None:
        """End one server with all its sessions, and wait until its port is free for another."""
        process = self.running.pop(port)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        # The server itself is killed because its parent has ended, and may be there for a moment longer.
        wait_for(lambda: port not in self.listening(), f"the end of sshd on port {port}")

    def _spawn(self, port: int, before: str, words: list[str]) -> subprocess.Popen[bytes]:
        script = f"{before}exec /usr/sbin/sshd -D -e -f /dev/null {shlex.join(words)}"
        apart = [
            "ip",
            "netns",
            "exec",
            self.server,
            "unshare",
            "-m",
            "-p",
            "-f",
            "--kill-child",
            "--mount-proc",
        ]
        with (self.folder / f"sshd-{port}.log").open("wb") as log:
            return subprocess.Popen(
                [*apart, "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def listening(self) -> set[int]:
        """Return the TCP ports that are open in the server's namespace."""
        return {port for port, state in self._sockets() if state == "0A"}

    def connections(self, port: int) -> int:
        """Return how many connections to a port stand."""
        return self._sockets().count((port, "01"))

    def _sockets(self) -> list[tuple[int, str]]:
        """Return the local port and the state (hexadecimal, net/tcp_states.h) of every TCP socket."""
        text = run("ip", "netns", "exec", self.server, "cat", "/proc/net/tcp", "/proc/net/tcp6")
        rows = [line.split() for line in text.splitlines() if "local_address" not in line]
        return [(int(row[1].rsplit(":", 1)[1], 16), row[3]) for row in rows]

    def listener(self, port: int) -> socket.socket:
        """Return a socket of the server's namespace that listens and does nothing more."""
        made: list[socket.socket] = []

        def listen() -> None:
            sock = socket.create_server((SERVER, port))
            made.append(sock)

        _in_namespace(self.server, listen)
        return made[0]

    def connect(self, port: int) -> socket.socket:
        """Return a socket of the server's namespace that is connected to one of its ports."""
        made: list[socket.socket] = []
        _in_namespace(self.server, lambda: made.append(socket.create_connection((SERVER, port), 60)))
        return made[0]

    def stop(self) -> None:
        """End every server; the end of its PID namespace ends its sessions."""
        for port in list(self.running):
            self.kill(port)

    def target(self, **changes: Any) -> InventoryHost:
        """Return the server as an inventory host, with changes."""
        if "port" in changes:
            changes["port_given"] = True
        words = {"name": "node1", "address": SERVER, "user": "root", "netns": self.client}
        words |= {"key_file": str(self.user_key), "known_hosts": str(self.known_hosts)}
        return InventoryHost(**words | changes)


def ask(
    host: InventoryHost, job: Job, transports: RealTransports | None = None, **deadlines: float
) -> HostResult:
    """Ask one host."""
    return ask_all([host], job, transports, **deadlines)[0]


def ask_all(
    hosts: Sequence[InventoryHost], job: Job, transports: RealTransports | None = None, **deadlines: float
) -> list[HostResult]:
    """Ask hosts."""
    return asyncio.run(run_fleet(hosts, job, deadlines=Deadlines(**deadlines), transports=transports))


def processes(mark: str) -> list[int]:
    """Return the living processes, in any PID namespace, whose command line holds ``mark``."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def _in_namespace(name: str, action: Callable[[], None]) -> None:
    failed: list[Exception] = []

    def work() -> None:
        try:
            with Path(f"/run/netns/{name}").open("rb") as file:
                assert ctypes.CDLL(None).setns(file.fileno(), 0x40000000) == 0
            action()
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@contextlib.contextmanager
def new_host() -> Iterator[SshdHost]:
    """Build the namespaces in a temporary folder that every user may enter, under names that hold our pid."""
    with tempfile.TemporaryDirectory(prefix="skt-") as folder:
        Path(folder).chmod(0o755)
        with sshd_host(Path(folder), f"skt{os.getpid()}") as host:
            yield host


@contextlib.contextmanager
def sshd_host(folder: Path, prefix: str) -> Iterator[SshdHost]:
    """Build the two namespaces, yield them without any server, and take everything down."""
    client, server = f"{prefix}c", f"{prefix}s"
    host = SshdHost(folder, client, server)
    keypair(host.host_key)
    keypair(host.user_key)
    (folder / "authorized_keys").write_text(host.user_key.with_suffix(".pub").read_text())
    public = " ".join((folder / "host_key.pub").read_text().split()[:2])
    host.known_hosts.write_text(f"{SERVER} {public}\n")
    try:
        for name in (client, server):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        pair = ["eth0", "type", "veth", "peer", "name", "eth0", "netns", server]
        run("ip", "-n", client, "link", "add", *pair)
        for name, address in ((client, CLIENT), (server, SERVER)):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        yield host
    finally:
        host.stop()
        for name in (client, server):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
