"""A host for the node program: its own network, PID, mount and UTS namespaces, and pods inside it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from skoopctl.evidence import HostEvidence, Request, decode_answer
from skoopctl.evidence.payload import job

HOLDER = """
for folder in /run /tmp /var/tmp /root /dev/shm; do mount -t tmpfs skt $folder || exit; done
mkdir -p /run/netns && hostname skt-node && echo ready && exec sleep infinity
"""


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Wait until a condition holds; return whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@dataclass(slots=True)
class Answer:
    """What a program that has ended left behind."""

    evidence: HostEvidence
    stderr: str
    status: int
    elapsed_s: float
    cpu_s: float


@dataclass(slots=True)
class NodeHost:
    """One host; ``pid`` is its first process as the test sees it."""

    holder: subprocess.Popen[bytes]
    pid: int
    pods: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def start(cls) -> NodeHost:
        """Make the namespaces and wait until they are there."""
        argv = [
            "unshare",
            "-m",
            "-n",
            "-p",
            "-u",
            "-i",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            HOLDER,
        ]
        holder = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        made = cls(holder, int(children[0]))
        # The shell becomes sleep after it has said so; whoever compares processes must not see both.
        assert wait_until(lambda: Path(f"/proc/{made.pid}/comm").read_text() == "sleep\n")
        return made

    def stop(self) -> None:
        """End everything in the host: its first process takes the rest along."""
        os.kill(self.pid, signal.SIGKILL)
        self.holder.wait(60)
        assert self.holder.stdout is not None
        self.holder.stdout.close()
        for pod in self.pods:
            pod.wait(60)

    def inside(self, *argv: str) -> list[str]:
        """Return a command line that runs in the host."""
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", *argv]

    def run(self, command: str, stdin: str = "") -> str:
        """Run a shell command in the host; it must succeed."""
        argv = self.inside("sh", "-ec", command)
        done = subprocess.run(argv, input=stdin, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def add_pod(self, name: str, address: str, command: str = "exec sleep infinity") -> int:
        """Start a process in a network namespace of its own, wired to cni0; return the namespace's inode.

        It is ready when it is what ``command`` ends with: an ``exec``.
        """
        pod = subprocess.Popen(
            self.inside("unshare", "-n", "sh", "-c", f"echo $$; ip link set lo up; {command}"),
            stdout=subprocess.PIPE,
        )
        self.pods.append(pod)
        assert pod.stdout is not None
        pid = int(pod.stdout.readline())
        pod.stdout.close()
        self.run(
            f"ip link add v{name} type veth peer name eth0 netns {pid}; ip link set v{name} master cni0 up;"
            f"nsenter -t {pid} -n ip addr add {address}/24 dev eth0; nsenter -t {pid} -n ip link set eth0 up;"
            f"nsenter -t {pid} -n ip route add default via 10.244.9.1"
        )
        assert wait_until(lambda: self.run(f"cat /proc/{pid}/comm") != "sh\n"), f"pod {name} does not begin"
        return int(self.run(f"stat -L -c %i /proc/{pid}/ns/net"))

    def root_inode(self) -> int:
        """Return the inode of the host's own network namespace."""
        return os.stat(f"/proc/{self.pid}/ns/net").st_ino  # noqa: PTH116 - follows the magic link

    def processes(self) -> set[str]:
        """Return the processes in the host, without those that look and those that only wait to be reaped."""
        listed = self.run("ps -e -o pid=,ppid=,stat=,comm=").splitlines()
        rows = [line.split(maxsplit=3) for line in listed]
        return {
            f"{pid} {comm}" for pid, _, state, comm in rows if state[0] != "Z" and comm not in ("ps", "sh")
        }

    def spawn(
        self, request: Request, wrap: Sequence[str] = (), pipe_bytes: int = -1
    ) -> subprocess.Popen[bytes]:
        """Start the node program, with pipes of a size if one is given, and leave its standard input open."""
        asked = job(request)
        argv = self.inside(*wrap, *shlex.split(asked.command))
        program = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pipesize=pipe_bytes,
        )
        assert program.stdin is not None
        program.stdin.write(asked.stdin)
        program.stdin.flush()
        return program

    def ask(self, request: Request | None = None, wrap: Sequence[str] = ()) -> Answer:
        """Run the node program to its end with standard input open, as a transport does."""
        started = time.monotonic()
        program = self.spawn(request or Request(), wrap)
        out, err = _all(program.stdout), _all(program.stderr)
        _, status, usage = os.wait4(program.pid, 0)
        elapsed_s = time.monotonic() - started
        program.returncode = os.waitstatus_to_exitcode(status)
        assert program.stdin is not None
        program.stdin.close()
        cpu_s = usage.ru_utime + usage.ru_stime
        evidence = decode_answer("skt", out)
        return Answer(evidence, err.decode(), program.returncode, elapsed_s, cpu_s)


def _all(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    with stream:
        return stream.read()
