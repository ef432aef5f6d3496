"""Nothing outlives a run on the nodes: the command itself, in a process of its own, ended in every way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, in_time, new_host, password_hash, processes, run, wait_for

pytestmark = pytest.mark.lab

RIGHT = "s3cret päss"
PLAIN, PTY, BASTION = 3101, 3102, 22
NEEDS, FREE = "skt-needs", "skt-free"
USERS = f"{NEEDS}:x:4761:4761::/:/bin/sh\n{FREE}:x:4762:4762::/:/bin/sh\n"
RULES = f"root ALL=(ALL) ALL\n{NEEDS} ALL=(ALL) ALL\n{FREE} ALL=(ALL) NOPASSWD: ALL\n"
GONE_S = 1.0
"""How long anything of ours may be on a node after we are gone."""
TIMEOUT_S = "20"
"""An item has half of that, less a little: for so long the programs of both nodes can be seen hanging."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start nodes whose `nft` never ends, with sudo of both kinds: the node program hangs in the middle."""
    with new_host() as host:
        run("ip", "netns", "exec", host.server, "nft", "add", "table", "inet", "skt")
        tool = host.folder / "nft"
        tool.write_text(f"#!/bin/sh\nexec sleep {_mark(host)}\n")
        tool.chmod(0o755)
        shadow = (
            "root:*:19000::::::\n" + f"{NEEDS}:{password_hash(RIGHT)}:19000::::::\n{FREE}:*:19000::::::\n"
        )
        words = {
            "users": USERS,
            "files": {"/etc/shadow": shadow},
            "before": f"mount --bind {tool} /usr/sbin/nft && ",
        }
        host.start(PLAIN, sudoers=RULES, **words)
        host.start(PTY, sudoers=f"Defaults use_pty\n{RULES}", **words)
        host.start(BASTION)
        run("ip", "-n", host.server, "addr", "add", "10.211.7.3/24", "dev", "eth0")
        public = " ".join((host.folder / "host_key.pub").read_text().split()[:2])
        host.known_hosts.write_text(f"* {public}\n")
        yield host


def _mark(host: SshdHost) -> str:
    """Return a number of seconds that only this file's nodes sleep."""
    return f"9{os.getpid()}.{host.server.removeprefix('skt').removesuffix('s')}"


@dataclass
class Run:
    """One `skoopctl collect` and the nodes it asks."""

    sshd: SshdHost
    folder: Path
    ports: tuple[int, ...]
    process: subprocess.Popen[str] = field(init=False)
    before: dict[int, set[str]] = field(init=False)

    def start(self, *flags: str, variables: dict[str, object], secret: str | None = None) -> None:
        """Start it, and wait until the node program hangs on every node."""
        self.before = {port: self._alive(port) for port in self.ports}
        inventory = self.folder / "hosts.yaml"
        common = {
            "ansible_host": SERVER,
            "skoop_netns": self.sshd.client,
            "ansible_ssh_private_key_file": str(self.sshd.user_key),
            "skoop_known_hosts": str(self.sshd.known_hosts),
        }
        hosts = {f"n{port}": {**common, **variables, "ansible_port": port} for port in self.ports}
        inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
        words = [
            sys.executable,
            "-m",
            "skoopctl",
            "collect",
            "-i",
            str(inventory),
            "-o",
            str(self.folder / "x.skoop"),
        ]
        given, ours = os.pipe()
        try:
            if secret is not None:
                os.write(ours, f"{secret}\n".encode())
                flags = (*flags, str(given))
            environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
            self.process = subprocess.Popen(
                [*words, *flags],
                env=environment | {"HOME": str(self.folder)},
                pass_fds=[given],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            os.close(given)
            os.close(ours)
        wait_for(lambda: len(self.hanging()) == len(self.ports), "the node programs to hang")

    def hanging(self) -> list[int]:
        """Return the tools of the node programs that hang."""
        return processes(f"sleep\0{_mark(self.sshd)}\0")

    def left(self) -> dict[int, set[str]]:
        """Return what runs on each node and did not before."""
        return {port: more for port in self.ports if (more := self._alive(port) - self.before[port])}

    def _alive(self, port: int) -> set[str]:
        rows = self.sshd.inside(port, "ps", "-e", "-o", "pid=,stat=,args=").splitlines()
        alive = [row.split(maxsplit=2) for row in rows]
        # ps itself, and dead processes that wait for the namespace's first process, are not ours.
        return {
            f"{pid} {args}" for pid, stat, args in alive if not stat.startswith("Z") and "ps -e" not in args
        }


@pytest.fixture
def job(sshd: SshdHost, tmp_path: Path) -> Iterator[Run]:
    """Return a run over both nodes; whatever a test leaves of it is ended."""
    made = Run(sshd, tmp_path, (PLAIN, PTY))
    yield made
    made.process.kill()
    made.process.communicate(timeout=60)


BECOMING = {
    "as root": ({"ansible_user": "root"}, (), None),
    "by sudo": ({"ansible_user": FREE, "ansible_become": True}, (), None),
    "by sudo with a password": (
        {"ansible_user": NEEDS, "ansible_become": True},
        ("--become-password-fd",),
        RIGHT,
    ),
}


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name
)
@pytest.mark.parametrize("how", BECOMING)
def test_a_command_that_is_ended_leaves_nothing_on_any_node(
    job: Run, how: str, number: signal.Signals
) -> None:
    """Neither the node program nor its tools nor sudo, with a terminal of sudo's own or without, a second later."""
    variables, flags, secret = BECOMING[how]
    job.start(*flags, variables=variables, secret=secret)
    job.process.send_signal(number)
    wait_for(
        lambda: not job.hanging() and not job.left(),
        f"the nodes to be as before: {job.left()}",
        in_time(GONE_S),
    )
    said = job.process.communicate(timeout=in_time(5))[1]
    assert job.process.returncode == (130 if number is signal.SIGINT else -number)
    assert RIGHT not in said


def test_a_deadline_leaves_nothing_on_any_node(job: Run) -> None:
    """The node program ends itself before its deadline; what it had read is kept."""
    job.start("--program-timeout", TIMEOUT_S, variables={"ansible_user": FREE, "ansible_become": True})
    said = job.process.communicate(timeout=60)[1]
    assert job.process.returncode == 3, said
    wait_for(lambda: not job.hanging() and not job.left(), "the nodes to be as before", in_time(GONE_S))


@pytest.mark.parametrize("said_in", ["the inventory", "~/.ssh/config"])
def test_a_run_behind_a_bastion_that_is_killed_leaves_nothing(job: Run, said_in: str) -> None:
    """The bastion passes the end of our connection on to the nodes."""
    variables: dict[str, object] = {"ansible_user": FREE, "ansible_become": True}
    if said_in == "the inventory":
        variables["ansible_ssh_common_args"] = "-J root@10.211.7.3"
    else:
        (job.folder / ".ssh").mkdir()
        (job.folder / ".ssh" / "config").write_text(f"Host {SERVER}\n ProxyJump root@10.211.7.3\n")
    job.start(variables=variables)
    assert job.sshd.connections(BASTION) == 1
    job.process.send_signal(signal.SIGKILL)
    wait_for(lambda: not job.hanging() and not job.left(), "the nodes to be as before", in_time(GONE_S))


@pytest.mark.parametrize("how", ["as root", "by sudo"])
def test_a_node_that_is_cut_off_ends_the_program_by_itself(job: Run, how: str) -> None:
    """No packet gets through any more, so nothing tells the node: its own deadline is the bound."""
    variables, flags, _ = BECOMING[how]
    cut = ["INPUT", "-p", "tcp", "-j", "DROP"]
    job.start(*flags, "--program-timeout", TIMEOUT_S, variables=variables)
    run("ip", "netns", "exec", job.sshd.server, "iptables", "-I", *cut)
    try:
        wait_for(lambda: not job.hanging(), "the node program's own end", float(TIMEOUT_S) + in_time(1))
        said = job.process.communicate(timeout=60)[1]
    finally:
        run("ip", "netns", "exec", job.sshd.server, "iptables", "-D", *cut)
    assert job.process.returncode in {3, 4}, said


def test_no_secret_is_seen_by_other_users(job: Run) -> None:
    """Neither the arguments nor the environment of any process, here or on the nodes, hold the password."""
    variables, flags, secret = BECOMING["by sudo with a password"]
    job.start(*flags, variables=variables, secret=secret)
    assert secret is not None
    for entry in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (entry / name).read_bytes()
            except OSError:
                continue
            assert secret.encode() not in text, f"{entry / name}"
