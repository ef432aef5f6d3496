"""The local transport with real processes."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest

from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostResult, HostStatus, Job
from skoopctl.transport.fleet import run_fleet

HERE = InventoryHost("here", "localhost", connection="local")


def ask(job: Job, **deadlines: float) -> HostResult:
    """Run a job on this machine."""
    return asyncio.run(run_fleet([HERE], job, deadlines=Deadlines(**deadlines)))[0]


def alive(pid: int) -> bool:
    """Return whether a process still runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Wait for the end of a process; it takes no time, unless the machine is busy."""
    end = time.monotonic() + 20
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def test_a_job_gets_its_stdin_and_its_answer_comes_back() -> None:
    """The same contract as over SSH."""
    result = ask(Job("head -c 5; echo said >&2; exit 0", b"hello and more"))
    assert (result.status, result.stdout, result.stderr) == (HostStatus.OK, b"hello", "said\n")


def test_stdin_stays_open_after_the_last_byte() -> None:
    """The program sees no end of file while it runs."""
    code = "import os,select; os.read(0,2); print(select.select([0],[],[],0.2)[0])"
    assert ask(Job(f'python3 -c "{code}"', b"ab")).stdout == b"[]\n"


def test_a_deadline_kills_the_whole_session_and_keeps_the_output() -> None:
    """Children of the program die with it."""
    result = ask(Job("sleep 1000 & echo $!; echo $$; wait"), program_s=2)
    assert result.status is HostStatus.TIMEOUT
    pids = [int(line) for line in result.stdout.split()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_a_program_that_left_the_session_sees_the_end_of_its_stdin() -> None:
    """The node program moves into a process group of its own and watches stdin."""
    command = "setsid sh -c 'echo $$; cat >/dev/null' <&0 & wait"
    result = ask(Job(f"exec 3<&0; {command.replace('<&0', '<&3')}"), program_s=2)
    assert result.status is HostStatus.TIMEOUT
    assert gone(int(result.stdout))


def test_endless_output_is_cut_off_and_the_program_ended() -> None:
    """A program that pours out bytes is stopped at the limit."""
    result = ask(Job("echo $$; exec yes", max_output=100_000))
    assert (result.status, len(result.stdout)) == (HostStatus.PARTIAL, 100_000)
    assert gone(int(result.stdout.split(b"\n", 1)[0]))


def test_a_program_that_is_killed_names_its_signal() -> None:
    """A death by signal is not an exit status."""
    result = ask(Job("echo x; kill -9 $$"))
    assert (result.status, result.exit_status) == (HostStatus.PARTIAL, None)
    assert "SIGKILL" in str(result.error)


def test_no_descriptor_is_left_open() -> None:
    """Many jobs leave as many open files as none."""
    ask(Job("true"))
    before = open_descriptors()
    for _ in range(5):
        ask(Job("sleep 1000"), program_s=0.02)
    assert open_descriptors() == before


def open_descriptors() -> int:
    """Count this process's open files, after what other tests have left is collected."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("number", [1, 20])
def test_several_local_hosts_run_side_by_side(number: int) -> None:
    """Every host has a process of its own."""
    hosts = [InventoryHost(f"h{n}", "x", connection="local") for n in range(number)]
    results = asyncio.run(run_fleet(hosts, Job("echo $$")))
    assert len({r.stdout for r in results}) == number
