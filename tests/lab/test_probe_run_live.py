"""``skoopctl probe run`` as a process of its own, on nodes with the real OpenSSH, ended in every way."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, in_time, new_host, password_hash, wait_for

from skoopctl.sinks.json_lines import schema

pytestmark = pytest.mark.lab

NODE, SUDO, NOBODY = 3401, 3402, 3403
RIGHT, USER = "s3cret päss", "skt-needs"
GONE_S = 1.0


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a node, and one where a user needs a password for sudo; nobody listens on a third port."""
    with new_host() as host:
        host.start(NODE)
        shadow = f"root:*:19000::::::\n{USER}:{password_hash(RIGHT)}:19000::::::\n"
        host.start(
            SUDO,
            users=f"{USER}:x:4761:4761::/:/bin/sh\n",
            sudoers=f"root ALL=(ALL) ALL\n{USER} ALL=(ALL) ALL\n",
            files={"/etc/shadow": shadow},
        )
        public = " ".join((host.folder / "host_key.pub").read_text().split()[:2])
        host.known_hosts.write_text(f"* {public}\n")
        yield host


def inventory(sshd: SshdHost, folder: Path, *ports: int, **variables: object) -> str:
    """Write an inventory with a host for each port."""
    common: dict[str, object] = {
        "ansible_host": SERVER,
        "ansible_user": "root",
        "skoop_netns": sshd.client,
        "ansible_ssh_private_key_file": str(sshd.user_key),
        "skoop_known_hosts": str(sshd.known_hosts),
    }
    hosts = {f"n{port}": {**common, **variables, "ansible_port": port} for port in ports}
    file = folder / "hosts.yaml"
    file.write_text(json.dumps({"all": {"hosts": hosts}}))
    return str(file)


def start(folder: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    """Start `skoopctl probe run`."""
    environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
    return subprocess.Popen(
        [sys.executable, "-m", "skoopctl", "probe", "run", *words],
        env=environment | {"HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit status and what was printed."""
    out, err = process.communicate(timeout=in_time(30))
    return process.returncode, out, err


def programs(sshd: SshdHost, port: int = NODE) -> list[str]:
    """Return what of ours runs on a node: node programs, and sudo around them."""
    rows = sshd.inside(port, "ps", "-e", "-ww", "-o", "pid=,stat=,args=").splitlines()
    found = [row.split(maxsplit=2) for row in rows]
    return [args for _, stat, args in found if "_frozen_importlib" in args and stat[0] != "Z"]


def nothing_left(sshd: SshdHost, port: int = NODE) -> None:
    """Wait a moment for the node to be as before."""
    wait_for(
        lambda: not programs(sshd, port), f"the node to be as before: {programs(sshd, port)}", in_time(GONE_S)
    )


def test_the_summary_says_who_was_measured_and_who_was_not(sshd: SshdHost, tmp_path: Path) -> None:
    """A node that is down has its row with why, at once on standard error and in the end; the status is 3."""
    hosts = inventory(sshd, tmp_path, NODE, NOBODY)
    code, out, err = ended(start(tmp_path, "tcp", "udp", "-i", hosts, "-d", "1s", "--interval", "0.25"))
    assert code == 3, err
    assert out.startswith("1 of 2 nodes, 5 rounds each")
    assert f"nothing listens on {SERVER}:{NOBODY}" in out
    assert err.count("nothing listens") == 1
    assert "tcp_outsegs" in out
    nothing_left(sshd)


def test_json_lines_are_as_the_schema_says(sshd: SshdHost, tmp_path: Path) -> None:
    """A hello, a line for each round with values and rates, and the summary."""
    hosts = inventory(sshd, tmp_path, NODE)
    code, out, err = ended(start(tmp_path, "tcp", "-i", hosts, "-d", "1s", "--interval", "0.5", "--json"))
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    for each in lines:
        jsonschema.validate(each, schema())
    assert [each["type"] for each in lines] == ["hello", "round", "round", "round", "summary"]
    # A server that is slow sends what the first round said after the second one was read.
    sent = [
        s["per_s"] for line in lines[2:4] for s in line["series"] if s["metric"] == "kubeskoop_tcp_outsegs"
    ]
    assert max(sent) > 0, "the conversation itself is TCP"


def test_ctrl_c_ends_it_with_the_summary(sshd: SshdHost, tmp_path: Path) -> None:
    """Status 130, what was seen until then, and nothing left on the node."""
    hosts = inventory(sshd, tmp_path, NODE)
    process = start(tmp_path, "tcp", "-i", hosts, "-d", "5m", "--interval", "0.25", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("round") == 3:
            break
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    last = json.loads(out.splitlines()[-1])
    assert (code, last["type"], last["interrupted"]) == (130, "summary", True), err
    assert last["coverage"]["measured"] == 1
    assert last["nodes"][0]["status"] == "ok"
    nothing_left(sshd)


def test_on_a_terminal_there_is_a_table_that_is_wiped_away(sshd: SshdHost, tmp_path: Path) -> None:
    """It goes to standard error, where people look; standard output has the summary alone."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    hosts = inventory(sshd, tmp_path, NODE, NOBODY)
    words = [
        sys.executable,
        "-m",
        "skoopctl",
        "probe",
        "run",
        "tcp",
        "-i",
        hosts,
        "-d",
        "1s",
        "--interval",
        "0.5",
    ]
    environment = {key: value for key, value in os.environ.items() if key not in {"SSH_AUTH_SOCK", "COLUMNS"}}
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            words, env=environment | {"HOME": str(tmp_path), "TERM": "xterm"}, stdout=out, stderr=theirs
        )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how the other end of a terminal is told to be closed
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    assert process.wait(60) == 3
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"1 of 2 nodes, round [123] of 3", text)
    assert f"n{NOBODY}: broken nothing listens on" in text
    assert "tcp" in text
    assert max(map(len, text.replace("\r", "\n").splitlines())) <= 80
    assert (tmp_path / "out").read_text().startswith("1 of 2 nodes, 3 rounds each")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
@pytest.mark.parametrize("how", ["as root", "by sudo with a password"])
def test_a_command_that_is_killed_leaves_nothing_on_the_node(
    sshd: SshdHost, tmp_path: Path, how: str, number: signal.Signals
) -> None:
    """Its connection ends with it, and the node program with the connection, a second later at most."""
    port, flags, options = NODE, [], {}
    variables: dict[str, object] = {}
    given, ours = os.pipe()
    if how != "as root":
        port, variables = SUDO, {"ansible_user": USER, "ansible_become": True}
        os.write(ours, f"{RIGHT}\n".encode())
        flags, options = ["--become-password-fd", str(given)], {"pass_fds": [given]}
    hosts = inventory(sshd, tmp_path, port, **variables)
    process = start(
        tmp_path, "tcp", "-i", hosts, "-d", "5m", "--interval", "0.25", "--json", *flags, **options
    )
    os.close(given)
    os.close(ours)
    try:
        assert process.stdout is not None
        types = [json.loads(process.stdout.readline())["type"] for _ in range(3)]
        assert types == ["hello", "round", "round"]
        assert programs(sshd, port)
        process.send_signal(number)
        nothing_left(sshd, port)
    finally:
        process.kill()
        said = process.communicate(timeout=10)[1]
    assert RIGHT not in said


def test_a_wrong_password_is_sent_once(sshd: SshdHost, tmp_path: Path) -> None:
    """However long the watch was to be: failures lock accounts, so it ends at once."""
    given, ours = os.pipe()
    os.write(ours, b"wrong\n")
    hosts = inventory(sshd, tmp_path, SUDO, ansible_user=USER, ansible_become=True)
    before = sshd.log(SUDO).count("Accepted publickey")
    started = time.monotonic()
    process = start(
        tmp_path, "tcp", "-i", hosts, "-d", "10m", "--become-password-fd", str(given), pass_fds=[given]
    )
    os.close(given)
    os.close(ours)
    code, out, err = ended(process)
    assert code == 4, out
    assert "it is not tried again" in err
    assert time.monotonic() - started < in_time(30)
    assert sshd.log(SUDO).count("Accepted publickey") == before + 1


def test_a_reader_that_is_gone_ends_it(sshd: SshdHost, tmp_path: Path) -> None:
    """`probe run --json | head -1` does not go on for five minutes."""
    hosts = inventory(sshd, tmp_path, NODE)
    process = start(tmp_path, "tcp", "-i", hosts, "-d", "5m", "--interval", "0.25", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.wait(in_time(10)) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    nothing_left(sshd)


def test_a_plan_watches_its_probes(sshd: SshdHost, tmp_path: Path) -> None:
    """What reaches a threshold is a finding of the run; a node that was not measured makes the status 3."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "plan: watching\nprobes: [tcp]\nprobe-duration: 1\nprobe-interval: 0.25\n"
        "thresholds: {resets: 0.0001}\n"
    )
    hosts = inventory(sshd, tmp_path, NODE, NOBODY)
    words = ["run", str(plan), "-i", hosts, "--state-dir", str(tmp_path / "state"), "--json"]
    environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
    # A port on which nobody listens answers with a reset: the kernel's OutRsts grows.
    knock = subprocess.Popen(
        ["ip", "netns", "exec", sshd.client, sys.executable, "-c", _KNOCK, SERVER, str(NOBODY)],
        stdout=subprocess.PIPE,
    )
    assert knock.stdout is not None
    try:
        assert knock.stdout.readline() == b"begun\n"
        done = subprocess.run(
            [sys.executable, "-m", "skoopctl", *words],
            env=environment | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=in_time(60),
        )
    finally:
        knock.kill()
        knock.wait(60)
        knock.stdout.close()
    found = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr
    row = next(each for each in found["inspections"] if each["name"] == "probes")
    assert {each["what"]: (each["looked_at"], each["there_are"]) for each in row["counts"]}["nodes"] == (1, 2)
    assert [
        (each["id"], each["where"]["node"]) for each in found["findings"] if each["inspections"] == ["probes"]
    ] == [("tcp-resets", f"n{NODE}")]
    nothing_left(sshd)


_KNOCK = """
import socket, sys
print("begun", flush=True)
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
    except OSError:
        pass
"""
