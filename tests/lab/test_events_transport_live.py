"""Event probes over real OpenSSH servers that do not make it easy: one exec, no root, and kills."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, in_time, new_host, wait_for

pytestmark = pytest.mark.lab

NODE, ONE, POOR = 3501, 3502, 3503
USER = "skt-poor"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a node, one that allows one exec a connection, and one where somebody who is not root logs in."""
    with new_host() as host:
        host.start(NODE)
        host.start(ONE, "MaxSessions=1")
        host.start(POOR, users=f"{USER}:x:4762:4762::/:/bin/sh\n")
        public = " ".join((host.folder / "host_key.pub").read_text().split()[:2])
        host.known_hosts.write_text(f"* {public}\n")
        yield host


@contextlib.contextmanager
def started(
    sshd: SshdHost, folder: Path, *words: str, port: int = NODE, **variables: object
) -> Iterator[subprocess.Popen[str]]:
    """Run ``probe run --json`` over one of the servers until the end of the block."""
    host = {
        "ansible_host": SERVER,
        "ansible_port": port,
        "ansible_user": "root",
        "skoop_netns": sshd.client,
        "ansible_ssh_private_key_file": str(sshd.user_key),
        "skoop_known_hosts": str(sshd.known_hosts),
        **variables,
    }
    (folder / "hosts.yaml").write_text(json.dumps({"all": {"hosts": {"n": host}}}))
    environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "skoopctl",
            "probe",
            "run",
            *words,
            "-i",
            str(folder / "hosts.yaml"),
            "--json",
        ],
        env=environment | {"HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[Json]]:
    """Return the exit status and the lines."""
    out, errors = process.communicate(timeout=in_time(60))
    assert "Traceback" not in errors
    return process.returncode, [json.loads(line) for line in out.splitlines()]


class Heard:
    """A command's lines, read as they come by a thread that ends with it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: list[Json] = []
        self._reading = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reading.start()

    def of(self, kind: str) -> list[Json]:
        """Return the lines of one type that have come."""
        return [line for line in self._lines.copy() if line["type"] == kind]

    def rest(self) -> None:
        """Wait for the last line."""
        self._reading.join(60)
        assert not self._reading.is_alive(), "the command does not end"

    def _read(self, stdout: IO[str]) -> None:
        for line in stdout:
            self._lines.append(json.loads(line))


def test_a_server_with_one_exec_a_connection_costs_events_only(sshd: SshdHost, tmp_path: Path) -> None:
    """All rounds come; event probes are unavailable there, and the reason names the server's limit."""
    with started(sshd, tmp_path, "udp", "packetloss", "-d", "2s", "--interval", "1s", port=ONE) as process:
        code, lines = ended(process)
    assert code == 3, "events of the node were not watched"
    assert lines[-1]["events"]["blind"] == ["n"]
    assert [line["round"] for line in lines if line["type"] == "round"] == [1, 2, 3]
    (lack,) = [each for each in lines[-1]["unavailable"] if "packetloss" in each["probes"]]
    assert lack["state"] == "unavailable"
    assert "MaxSessions" in lack["why"] or "session" in lack["why"]


def test_without_root_probes_say_what_they_need(sshd: SshdHost, tmp_path: Path) -> None:
    """Who may not load programs is told so, in one line, and gets what needs no programs."""
    words = ("udp", "packetloss", "tcpreset", "-d", "2s", "--interval", "1s", "--backend", "core")
    with started(sshd, tmp_path, *words, port=POOR, ansible_user=USER) as process:
        code, lines = ended(process)
    assert code == 3, "events of the node were not watched"
    assert len([line for line in lines if line["type"] == "round"]) == 3
    (lack,) = [each for each in lines[-1]["unavailable"] if "packetloss" in each["probes"]]
    assert set(lack["probes"]) == {"packetloss", "tcpreset"}
    assert "EPERM" in lack["why"] or "EACCES" in lack["why"] or "root" in lack["why"]


def test_auto_takes_the_best_backend_that_can_be_had(sshd: SshdHost, tmp_path: Path) -> None:
    """Without root the counters of /proc are left: they count, and the result says by what, and why not better."""
    words = ("packetloss", "-d", "2s", "--interval", "1s")
    with started(sshd, tmp_path, *words, port=POOR, ansible_user=USER) as process:
        _, lines = ended(process)
    lacks = [each for each in lines[-1]["unavailable"] if "packetloss" in each["probes"]]
    assert lacks
    assert lacks[0]["state"] in {"degraded", "unavailable"}
    assert "core" in lacks[0]["why"]


def loaders(sshd: SshdHost) -> list[int]:
    """Return the node's processes that hold eBPF programs, by their ids there."""
    script = "for each in /proc/[0-9]*; do ls -l $each/fd 2>/dev/null | grep -q bpf-prog && echo ${each#/proc/}; done"
    return [int(pid) for pid in sshd.inside(NODE, "sh", "-c", f"{script}; true").split()]


def test_a_killed_event_program_comes_again_and_rounds_go_on(sshd: SshdHost, tmp_path: Path) -> None:
    """SIGKILL on the node: the break is told, the probe runs again, and not a round is lost."""
    with started(sshd, tmp_path, "udp", "packetloss", "-d", "10m", "--interval", "1s") as process:
        heard = Heard(process)
        wait_for(lambda: len(heard.of("probe")) >= 1, "the event program")
        (before,) = loaders(sshd)
        sshd.inside(NODE, "kill", "-9", str(before))
        wait_for(lambda: len(heard.of("probe")) >= 2, "another event program")
        assert [pid for pid in loaders(sshd) if pid != before]
        came = len(heard.of("round"))
        wait_for(lambda: len(heard.of("round")) >= came + 3, "rounds beside it")
        process.send_signal(signal.SIGINT)
        heard.rest()
        assert process.wait(60) == 130
    rounds = heard.of("round")
    assert [line["round"] for line in rounds] == list(range(1, len(rounds) + 1))
    # Each may begin late, and the next is the sooner then; together they are as long as that many rounds.
    over_s = sum(line["over_s"] - 1 - line["skipped"] for line in rounds[1:])
    assert abs(over_s) < 1.5, [(line["over_s"], line["skipped"]) for line in rounds[1:]]
    assert not heard.of("broken")
    (summary,) = heard.of("summary")
    assert not [each for each in summary["unavailable"] if "packetloss" in each["probes"]]


@pytest.mark.parametrize("number", ["-INT", "-KILL"])
def test_whatever_ends_skoopctl_ends_the_programs(sshd: SshdHost, tmp_path: Path, number: str) -> None:
    """Ctrl-C and SIGKILL of skoopctl: within a second or two nothing of it is on the node."""
    with started(sshd, tmp_path, "packetloss", "-d", "10m", "--interval", "1s") as process:
        wait_for(lambda: loaders(sshd), "the event program")
        subprocess.run(["kill", number, str(process.pid)], check=True)
        end = time.monotonic() + in_time(3)
        while loaders(sshd):
            assert time.monotonic() < end, "eBPF programs outlive skoopctl"
            time.sleep(0.05)
