"""A Debian guest under QEMU's software emulation: a kernel of its own, with modules, systemd and OpenSSH.

Nothing of the network is in its reach: one port of this machine's loopback is forwarded to its sshd, and that is
all. It writes to a scratch copy of its disk. It ends with the process that started it, whatever becomes of that,
and after `LIFETIME_S` in any case.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm.image import Image

BOOT_S = 240
START_S = 300.0
"""What starting probes may take in it, beside whatever else runs on this machine."""
LIFETIME_S = 3600
MEMORY_MB = 1024
COMMAND_S = 120
APPEND = (
    "root=/dev/vda rw quiet net.ifnames=0 mitigations=off audit=0 apparmor=0 "
    "random.trust_cpu=on panic=-1 rcupdate.rcu_expedited=1 systemd.show_status=0 fsck.mode=skip"
)
INVENTORY = """\
all:
  hosts:
    {name}:
      ansible_host: 127.0.0.1
      ansible_port: {port}
      ansible_user: {user}
      ansible_ssh_private_key_file: {key}
      skoop_known_hosts: {known_hosts}
"""


class GuestError(Exception):
    """The guest did not come up, or a command in it failed."""


@dataclass(slots=True)
class Guest:
    """A running guest. ``folder`` holds its console's output, the known host key and inventories."""

    image: Image
    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def console(self) -> str:
        """Return what the guest wrote to its console."""
        path = self.folder / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def known_hosts(self) -> Path:
        """Return the file with the one host key that is accepted."""
        return self.folder / "known_hosts"

    def ssh(self, command: str, user: str = "root") -> list[str]:
        """Return the command line that runs a command in the guest; logins of a user share a connection."""
        options = {
            "UserKnownHostsFile": str(self.known_hosts),
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "20",
            "ControlMaster": "auto",
            "ControlPath": f"{self.folder}/%r",
            "ControlPersist": "60",
            "LogLevel": "ERROR",
        }
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        login = ["-i", str(self.image.key), "-p", str(self.port), f"{user}@127.0.0.1"]
        return ["ssh", "-F", "none", *words, *login, command]

    def run(self, command: str, stdin: bytes | str = b"", user: str = "root") -> str:
        """Run a command in the guest's shell; it must succeed. Return its output."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        out, error, status = self._run(command, data, user)
        if status:
            raise GuestError(
                f"{command[:200]!r} ended with {status}: {error.decode()[-2000:]}{out.decode()[-500:]}"
            )
        return out.decode()

    def ask(self, command: str, stdin: bytes, user: str = "root") -> bytes:
        """Run a command that keeps its stdin open until it has answered, as the node program does."""
        with subprocess.Popen(
            self.ssh(command, user), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(stdin)
            child.stdin.flush()
            return child.stdout.read()

    def _run(self, command: str, data: bytes, user: str) -> tuple[bytes, bytes, int]:
        done = subprocess.run(
            self.ssh(command, user), input=data, capture_output=True, check=False, timeout=COMMAND_S
        )
        return done.stdout, done.stderr, done.returncode

    def becomes(self, command: str, expected: str) -> bool:
        """Tell whether a command prints that, in time: what has answered ends a moment later."""
        end = time.monotonic() + COMMAND_S
        while self.run(command) != expected:
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def put(self, path: str, content: str) -> None:
        """Write a file in the guest."""
        self.run(f"cat >{path}", content)

    def inventory(self, user: str = "root") -> Path:
        """Write an inventory whose one host is the guest, and return its path."""
        path = self.folder / f"inventory-{user}.yaml"
        path.write_text(
            INVENTORY.format(
                name="vm", port=self.port, user=user, key=self.image.key, known_hosts=self.known_hosts
            )
        )
        return path

    def wait(self) -> None:
        """Wait until the guest can be logged in to."""
        end = time.monotonic() + BOOT_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if not self._run("true", b"", "root")[2]:
                    return
            except subprocess.TimeoutExpired:
                pass
            time.sleep(0.5)
        raise GuestError(f"the guest cannot be logged in to: {self.console[-1500:]}")

    def log_out(self) -> None:
        """Close the connections that logins share."""
        for path in self.folder.iterdir():
            if path.is_socket():
                subprocess.run(
                    ["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "guest"],
                    check=False,
                    capture_output=True,
                    timeout=20,
                )

    def reboot(self) -> None:
        """Have its kernel start anew at once, as a watchdog would: nothing is stopped, no connection is closed."""
        self.run("(sleep 1; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 &")
        self.log_out()

    def stop(self) -> None:
        """End the guest: there is nothing in it to be kept."""
        self.log_out()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running_guest(built: Image, *, reboots: bool = False) -> Iterator[Guest]:
    """Boot a guest, and end it when the block ends. With ``reboots`` it may start anew, with its disk as it was."""
    with tempfile.TemporaryDirectory(prefix="skoopctl-vm-") as work:
        folder = Path(work)
        port = _free_port()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {built.host_key}\n")
        with subprocess.Popen(
            [*_command(built, folder, port), *([] if reboots else ["-no-reboot"])],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            guest = Guest(built, folder, port, process)
            try:
                guest.wait()
                yield guest
            finally:
                guest.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _command(built: Image, folder: Path, port: int) -> list[str]:
    """Return QEMU's command line, under two guards: it dies with its parent, and that one with us."""
    guard = ["setpriv", "--pdeathsig", "TERM", "timeout", "--signal=KILL", str(LIFETIME_S)]
    guard += ["setpriv", "--pdeathsig", "KILL"]
    forward = f"hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"
    drive = {"file": str(built.disk), "format": "raw", "if": "none", "id": "disk", "snapshot": "on"}
    qemu = [*built.machine.qemu, "-accel", "tcg,thread=multi", "-smp", str(built.cpus), "-m", str(MEMORY_MB)]
    qemu += ["-nodefaults", "-no-user-config", "-display", "none"]
    qemu += ["-serial", f"file:{folder}/console", "-kernel", str(built.kernel)]
    qemu += ["-initrd", str(built.initramfs), "-append", f"console={built.machine.console} {APPEND}"]
    qemu += ["-drive", ",".join(f"{key}={value}" for key, value in drive.items())]
    qemu += ["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"]
    qemu += ["-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net"]
    return [*guard, *qemu]
