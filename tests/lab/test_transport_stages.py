"""A host that hangs, at each stage of being asked: one row with the right words, in time, and the others are asked."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, in_time, new_host, processes, run, wait_for

from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostResult, HostStatus, Job
from skoopctl.transport import connection as connecting
from skoopctl.transport.fleet import run_fleet

pytestmark = pytest.mark.lab

GOOD = Job("echo said")
CONNECT_S, PROGRAM_S, HOST_S = 4.0, 3.0, 30.0
"""Long enough for what comes before a host hangs: the bastion's login, the key exchange, half an answer."""
LATE_S = 1.0
"""How much later than its deadline a row may come."""
AUTH, SHELL, DROPPED, SILENT, GREETS = range(3001, 3006)
USERS = "skt-stuck:x:4751:4751::{home}:/bin/bash\n"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a good server, and servers that get stuck at one stage each."""
    with new_host() as host:
        home = host.folder / "stuck"
        home.mkdir()
        (home / ".bashrc").write_text("exec sleep 1000\n")
        host.start(22)
        host.start(
            AUTH,
            "AuthorizedKeysFile=none",
            "AuthorizedKeysCommand=/bin/sleep 1000",
            "AuthorizedKeysCommandUser=root",
        )
        host.start(SHELL, users=USERS.format(home=home))
        run(
            "ip",
            "netns",
            "exec",
            host.server,
            "iptables",
            "-A",
            "INPUT",
            "-p",
            "tcp",
            "--dport",
            str(DROPPED),
            "-j",
            "DROP",
        )
        with silent(host, SILENT, b""), silent(host, GREETS, b"SSH-2.0-Stuck_1.0\r\n"):
            yield host


@contextlib.contextmanager
def silent(host: SshdHost, port: int, greeting: bytes) -> Iterator[None]:
    """Accept connections, say at most a greeting, and keep them."""
    kept = []
    with host.listener(port) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])
                    kept[-1].sendall(greeting)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield
        listener.shutdown(2)
        thread.join(5)
    for sock in kept:
        sock.close()


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@dataclass(frozen=True)
class Stage:
    """Where a host hangs, which row it costs, and when."""

    host: dict[str, object]
    command: str
    status: HostStatus
    says: str
    after_s: float
    stdout: bytes = b""
    max_output: int = 1 << 20


STAGES = {
    "the SYN is dropped": Stage({"port": DROPPED}, "x", HostStatus.TIMEOUT, "a TCP connection to", CONNECT_S),
    "no greeting": Stage(
        {"port": SILENT}, "x", HostStatus.TIMEOUT, "accepts connections and says nothing", CONNECT_S
    ),
    "no key exchange": Stage({"port": GREETS}, "x", HostStatus.TIMEOUT, "the key exchange with", CONNECT_S),
    "no decision on the key": Stage(
        {"port": AUTH}, "x", HostStatus.TIMEOUT, "to accept the login of root", CONNECT_S
    ),
    "a start-up file that never ends": Stage(
        {"port": SHELL, "user": "skt-stuck"},
        "echo x",
        HostStatus.TIMEOUT,
        "the program on the host to end",
        PROGRAM_S,
    ),
    "half an answer": Stage(
        {}, "sh -c 'echo half; exec sleep 1000'", HostStatus.TIMEOUT, "program deadline", PROGRAM_S, b"half\n"
    ),
    "output without end, slowly": Stage(
        {},
        "sh -c 'while echo x; do sleep 0.1; done'",
        HostStatus.TIMEOUT,
        "program deadline",
        PROGRAM_S,
        b"x\n",
    ),
    "output without end": Stage({}, "yes", HostStatus.PARTIAL, "larger than", 0, b"y\n", 200_000),
    "a channel that is never closed": Stage(
        {}, "sh -c 'echo whole; sleep 1000 &'", HostStatus.TIMEOUT, "program deadline", PROGRAM_S, b"whole\n"
    ),
    "no reading of stdin, ignoring its end": Stage(
        {},
        "sh -c 'trap \"\" HUP TERM PIPE; exec sleep 1000'",
        HostStatus.TIMEOUT,
        "program deadline",
        PROGRAM_S,
    ),
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("bastion", [False, True], ids=["straight", "behind a bastion"])
def test_a_host_that_hangs_costs_one_row_in_time(sshd: SshdHost, stage: Stage, bastion: bool) -> None:
    """Two good hosts answer beside it; the run is over a second after the deadline at most."""
    jump = {"jump": f"root@{SERVER}"} if bastion else {}
    stuck = sshd.target(**{"name": "stuck", **stage.host, **jump})
    hosts = [sshd.target(name="a", **jump), stuck, sshd.target(name="b")]
    connect_s = CONNECT_S if stage.after_s == CONNECT_S else HOST_S
    limits = Deadlines(connect_s=connect_s, program_s=PROGRAM_S, host_s=HOST_S)
    job = Job(stage.command, max_output=stage.max_output)
    (a, b), row, took = asyncio.run(_ask(hosts, stuck, job, limits))
    assert (row.status, stage.says in str(row.error)) == (stage.status, True), row.error
    assert row.stdout.startswith(stage.stdout)
    assert took < stage.after_s + in_time(LATE_S)
    assert (a.stdout, b.stdout) == (b"said\n", b"said\n")


async def _ask(
    hosts: list[InventoryHost], stuck: InventoryHost, job: Job, limits: Deadlines
) -> tuple[list[HostResult], HostResult, float]:
    """Ask all at once, the stuck host with its own job and deadlines; return how long its run took, too."""
    loop = asyncio.get_running_loop()

    async def ask_stuck() -> tuple[HostResult, float]:
        started = loop.time()
        (row,) = await run_fleet([stuck], job, deadlines=limits)
        return row, loop.time() - started

    others = [host for host in hosts if host is not stuck]
    good, (row, took) = await asyncio.gather(run_fleet(others, GOOD), ask_stuck())
    return good, row, took


def test_a_connection_whose_packets_vanish_is_noticed_by_its_keepalives(
    sshd: SshdHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four silent keepalives end it, before any deadline does; what had come is kept.

    At 5 s each, as in production, that is 20 s; here they are faster.
    """
    monkeypatch.setattr(connecting, "KEEPALIVE_S", 2.0)
    cut = ["INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP"]
    job = Job("sh -c 'echo half; sleep 2; exec sleep 1000.75'")

    async def scenario() -> tuple[list[HostResult], float]:
        fleet = asyncio.create_task(run_fleet([sshd.target()], job, deadlines=Deadlines()))
        await asyncio.to_thread(wait_for, lambda: processes("sleep\x001000.75"), "the program on the host")
        started = time.monotonic()
        run("ip", "netns", "exec", sshd.server, "iptables", "-I", *cut)
        return list(await fleet), time.monotonic() - started

    try:
        (row,), took = asyncio.run(scenario())
    finally:
        run("ip", "netns", "exec", sshd.server, "iptables", "-D", *cut)
    assert (row.status, row.stdout) == (HostStatus.PARTIAL, b"half\n")
    # The last answer came two seconds before the cut at most, and one more where the server is slow to answer.
    assert 5 < took < in_time(12)
