"""The SSH transport and the fleet against real OpenSSH servers in network namespaces."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import NOBODY, SERVER, SshdHost, in_time, keypair, new_host, processes, run, wait_for

from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostResult, HostStatus, Job
from skoopctl.transport.fleet import run_fleet

pytestmark = pytest.mark.lab

ECHO = Job("sh -c 'head -c 5; echo; echo said >&2'", b"hello and more")
READS_TO_EOF = "import sys; sys.stdout.write('up'); sys.stdout.flush(); sys.stdin.buffer.read()"
"""A remote program that ends when its stdin ends, as the node program does."""
PORTS = {"force": 2201, "users": 2203, "certified": 2206}
USER = "skt-user:*:4711:4711::/:/bin/sh\nskt-admin:*:4712:4712::/:/bin/sh\n"
SUDOERS = "root ALL=(ALL:ALL) ALL\nskt-admin ALL=(root) NOPASSWD: ALL\n"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start servers of several kinds once; each test brings its own client."""
    with new_host() as host:
        host.start(22)
        host.start(PORTS["force"], "ForceCommand=sleep 1000")
        host.start(PORTS["users"], users=USER, sudoers=SUDOERS)
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def target(sshd: SshdHost, **changes: Any) -> InventoryHost:
    """Return the server as an inventory host."""
    return sshd.target(**changes)


def ask(host: InventoryHost, job: Job = ECHO, **deadlines: float) -> HostResult:
    """Ask one host."""
    return asyncio.run(run_fleet([host], job, deadlines=Deadlines(**deadlines)))[0]


def test_a_job_gets_its_stdin_and_its_answer_comes_back(sshd: SshdHost) -> None:
    """Bytes go in on stdin; stdout, stderr and the exit status come back."""
    result = ask(target(sshd))
    assert (result.status, result.stdout, result.stderr) == (HostStatus.OK, b"hello\n", "said\n")
    assert (result.exit_status, result.error) == (0, None)


def test_stdin_stays_open_after_the_last_byte(sshd: SshdHost) -> None:
    """The program sees no end of file while it runs."""
    code = "import os,select; os.read(0,2); print(select.select([0],[],[],0.3)[0])"
    assert ask(target(sshd), Job(f'python3 -c "{code}"', b"ab")).stdout == b"[]\n"


def test_large_input_and_output_arrive_whole(sshd: SshdHost) -> None:
    """Megabytes go through the channel's window in both directions."""
    data = bytes(range(256)) * 20_000
    assert ask(target(sshd), Job(f"head -c {len(data)}", data)).stdout == data


def test_the_session_has_no_terminal_and_no_forwarded_agent(sshd: SshdHost) -> None:
    """Neither a PTY nor agent or X11 forwarding is asked for."""
    command = """sh -c 'test -t 0 || echo no tty; echo "[$SSH_AUTH_SOCK][$DISPLAY][$LC_ALL]"'"""
    assert ask(target(sshd), Job(command)).stdout == b"no tty\n[][][]\n"


def test_a_key_that_the_host_does_not_know_is_named(sshd: SshdHost) -> None:
    """A refused login says which user and which key were offered."""
    result = ask(target(sshd, key_file=str(sshd.host_key)))
    assert result.status is HostStatus.AUTH_FAILED
    assert "refused the login of root" in str(result.error)
    assert f"{sshd.host_key} (ED25519 SHA256:" in str(result.error)


def test_a_missing_key_file_is_named(sshd: SshdHost, tmp_path: Path) -> None:
    """The inventory names a key that is not there."""
    result = ask(target(sshd, key_file=str(tmp_path / "gone")))
    assert result.status is HostStatus.AUTH_FAILED
    assert f"there is no private key {tmp_path}/gone" in str(result.error)


def test_without_any_key_the_message_says_so(sshd: SshdHost) -> None:
    """No key in the inventory, none in the home, no agent."""
    result = ask(target(sshd, key_file=None))
    assert result.status is HostStatus.AUTH_FAILED
    assert "no SSH agent and no key in ~/.ssh" in str(result.error)


def test_a_default_key_of_the_user_is_found(sshd: SshdHost, tmp_path: Path) -> None:
    """Without a key in the inventory, ~/.ssh/id_ed25519 is offered."""
    (tmp_path / ".ssh").mkdir()
    shutil.copy(sshd.user_key, tmp_path / ".ssh" / "id_ed25519")
    assert ask(target(sshd, key_file=None)).status is HostStatus.OK


def test_a_key_with_a_passphrase_comes_from_the_agent(
    sshd: SshdHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protected key is used through a real ssh-agent, and without one the message says what to do."""
    key = tmp_path / "protected"
    shutil.copy(sshd.user_key, key)
    shutil.copy(sshd.user_key.with_suffix(".pub"), tmp_path / "protected.pub")
    run("ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key))
    refused = ask(target(sshd, key_file=str(key)))
    assert refused.status is HostStatus.AUTH_FAILED
    assert "has a passphrase" in str(refused.error)
    assert f"ssh-add {key}" in str(refused.error)

    path = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        wait_for(Path(path).exists, "the agent's socket")
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        run("ssh-add", "-q", str(sshd.user_key))
        assert ask(target(sshd, key_file=str(key))).status is HostStatus.OK
        assert ask(target(sshd, key_file=None)).status is HostStatus.OK
    finally:
        agent.terminate()
        agent.wait(60)


def test_an_unknown_host_key_is_refused_with_the_command_that_would_accept_it(
    sshd: SshdHost, tmp_path: Path
) -> None:
    """Nothing is sent to a host whose key is not known."""
    empty = tmp_path / "known_hosts"
    result = ask(target(sshd, known_hosts=str(empty)))
    assert result.status is HostStatus.AUTH_FAILED
    assert f"is not known in {empty}" in str(result.error)
    assert f"ip netns exec {sshd.client} ssh-keyscan {SERVER} >> {empty}" in str(result.error)
    assert "which does not exist" in str(result.error)
    assert not empty.exists()


def test_a_changed_host_key_is_refused_with_both_fingerprints(sshd: SshdHost, tmp_path: Path) -> None:
    """Another key than the known one is fatal, and the advice names file and host."""
    other = keypair(tmp_path / "other").with_suffix(".pub").read_text().split()
    known = tmp_path / "known_hosts"
    known.write_text(f"{SERVER} {other[0]} {other[1]}\n")
    error = str(ask(target(sshd, known_hosts=str(known))).error)
    assert "HAS CHANGED" in error
    assert error.count("SHA256:") == 2
    assert f"ssh-keygen -R {SERVER} -f {known}" in error


def test_a_host_key_of_another_kind_counts_as_changed(sshd: SshdHost, tmp_path: Path) -> None:
    """A known ECDSA key and a server that has only Ed25519 do not fit."""
    other = keypair(tmp_path / "other", "ecdsa").with_suffix(".pub").read_text().split()
    known = tmp_path / "known_hosts"
    known.write_text(f"{SERVER} {other[0]} {other[1]}\n")
    result = ask(target(sshd, known_hosts=str(known)))
    assert result.status is HostStatus.AUTH_FAILED
    assert "HAS CHANGED" in str(result.error)
    assert "shows ED25519" in str(result.error)


def test_a_host_certificate_of_a_known_authority_is_trusted(sshd: SshdHost, tmp_path: Path) -> None:
    """``@cert-authority`` lines work, and a certificate of another authority does not."""
    authority = keypair(sshd.folder / "authority")
    shutil.copy(sshd.folder / "host_key.pub", sshd.folder / "certified.pub")
    run(
        "ssh-keygen",
        "-q",
        "-s",
        str(authority),
        "-I",
        "x",
        "-h",
        "-n",
        SERVER,
        str(sshd.folder / "certified.pub"),
    )
    sshd.start(PORTS["certified"], f"HostCertificate={sshd.folder}/certified-cert.pub")
    known = tmp_path / "known_hosts"
    other = keypair(tmp_path / "other")
    for key, status in ((authority, HostStatus.OK), (other, HostStatus.AUTH_FAILED)):
        known.write_text(f"@cert-authority * {key.with_suffix('.pub').read_text()}")
        assert ask(target(sshd, port=PORTS["certified"], known_hosts=str(known))).status is status


@pytest.mark.parametrize("setting", ["none", "/dev/null"])
def test_ssh_config_cannot_switch_host_key_checks_off(sshd: SshdHost, tmp_path: Path, setting: str) -> None:
    """``UserKnownHostsFile none`` and ``/dev/null`` leave every key unknown, not every key trusted."""
    (tmp_path / ".ssh").mkdir()
    config = (
        f"Host *\n StrictHostKeyChecking no\n UserKnownHostsFile {setting}\n GlobalKnownHostsFile {setting}\n"
    )
    (tmp_path / ".ssh" / "config").write_text(config)
    result = ask(target(sshd, known_hosts=None))
    assert result.status is HostStatus.AUTH_FAILED
    assert "host key" in str(result.error)


def test_ssh_config_gives_user_port_key_and_known_hosts(sshd: SshdHost, tmp_path: Path) -> None:
    """What the inventory leaves open, ~/.ssh/config answers."""
    (tmp_path / ".ssh").mkdir()
    port = PORTS["users"]
    known = tmp_path / "known"
    known.write_text(sshd.known_hosts.read_text().replace(SERVER, f"[{SERVER}]:{port}"))
    (tmp_path / ".ssh" / "config").write_text(
        f"Host cluster-*\n HostName {SERVER}\n User skt-user\n Port {port}\n"
        f" IdentityFile {sshd.user_key}\n UserKnownHostsFile {known}\n"
    )
    host = target(sshd, address="cluster-1", user=None, key_file=None, known_hosts=None)
    assert ask(host, Job("id -un")).stdout == b"skt-user\n"


def test_a_proxy_command_of_ssh_config_is_used(sshd: SshdHost, tmp_path: Path) -> None:
    """A bastion works by ProxyCommand, with the target's host key checked as ever."""
    (tmp_path / ".ssh").mkdir()
    bastion = (
        f"ssh -F none -i {sshd.user_key} -o UserKnownHostsFile={sshd.known_hosts} -W %h:%p root@{SERVER}"
    )
    config = tmp_path / ".ssh" / "config"
    config.write_text(f"Host *\n ProxyCommand ip netns exec {sshd.client} {bastion}\n")
    through = target(sshd, netns=None, port=PORTS["users"])
    assert ask(through).status is HostStatus.OK
    refused = ask(replace(through, known_hosts=str(tmp_path / "none")))
    assert "is not known in" in str(refused.error)
    before = sshd.log(22).count("Accepted publickey")
    dead = target(sshd, netns=None, port=2999)
    result = ask(dead, connect_s=5)
    assert result.status is HostStatus.UNREACHABLE
    assert "the ProxyCommand said:" in str(result.error)
    assert sshd.log(22).count("Accepted publickey") == before + 1
    wait_for(lambda: not processes(f"{SERVER}:2999"), "the end of the ProxyCommand")


def test_a_user_without_sudo_rights_is_denied(sshd: SshdHost) -> None:
    """A sudo that wants a password is a clear row, not a hang."""
    if shutil.which("sudo") is None:
        pytest.skip("sudo is not installed")
    result = ask(target(sshd, port=PORTS["users"], user="skt-user", become=True))
    assert result.status is HostStatus.DENIED
    assert "sudo" in str(result.error)
    assert "skt-user ALL=(root) NOPASSWD: ALL" in str(result.error)


def test_a_user_with_sudo_rights_becomes_root(sshd: SshdHost) -> None:
    """The job runs as root, and its stdin reaches it through sudo."""
    if shutil.which("sudo") is None:
        pytest.skip("sudo is not installed")
    host = target(sshd, port=PORTS["users"], user="skt-admin", become=True)
    result = ask(host, Job("sh -c 'id -un; head -c 3'", b"abc"))
    assert (result.status, result.stdout) == (HostStatus.OK, b"root\nabc")


def test_a_host_without_python_is_unsupported(sshd: SshdHost) -> None:
    """The bootstrap's own line and exit status 97 are understood."""
    result = ask(target(sshd), Job("sh -c 'echo skoopctl: no python >&2; exit 97'"))
    assert result.status is HostStatus.UNSUPPORTED
    assert "ansible_python_interpreter" in str(result.error)


def test_a_port_where_nothing_listens_is_refused_at_once(sshd: SshdHost) -> None:
    """A refused connection names the port and asks about sshd."""
    result = ask(target(sshd, port=2999))
    assert result.status is HostStatus.UNREACHABLE
    assert f"nothing listens on {SERVER}:2999" in str(result.error)
    assert "is sshd running" in str(result.error)


def test_a_firewall_that_drops_costs_one_connect_deadline(sshd: SshdHost) -> None:
    """Packets that vanish are a time-out that says what was waited for."""
    rule = ["INPUT", "-p", "tcp", "--dport", "2998", "-j", "DROP"]
    run("ip", "netns", "exec", sshd.server, "iptables", "-A", *rule)
    try:
        result = ask(target(sshd, port=2998), connect_s=2)
    finally:
        run("ip", "netns", "exec", sshd.server, "iptables", "-D", *rule)
    assert result.status is HostStatus.TIMEOUT
    assert f"a TCP connection to {SERVER}:2998" in str(result.error)
    assert result.elapsed_s < in_time(4)


def test_an_address_that_nobody_has_costs_one_connect_deadline(sshd: SshdHost) -> None:
    """A host that is down ends with the deadline or with the kernel's own answer."""
    result = ask(target(sshd, address=NOBODY), connect_s=0.3)
    assert result.status in {HostStatus.TIMEOUT, HostStatus.UNREACHABLE}
    assert NOBODY in str(result.error)


def test_a_server_that_says_nothing_costs_one_connect_deadline(sshd: SshdHost) -> None:
    """A port that accepts and stays silent is told apart from one that does not accept."""
    with sshd.listener(2997):
        result = ask(target(sshd, port=2997), connect_s=2)  # long enough to connect on a busy machine
    assert result.status is HostStatus.TIMEOUT
    assert "accepts connections and says nothing" in str(result.error)


def test_a_server_that_is_not_ssh_is_told_apart(sshd: SshdHost) -> None:
    """Whatever else answers on the port, it is not a login."""
    with sshd.listener(2996) as listener:

        def answer() -> None:
            for _ in range(4):
                connection, _ = listener.accept()
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        result = ask(target(sshd, port=2996), connect_s=30)
    assert result.status is HostStatus.UNREACHABLE
    assert "is that port sshd's?" in str(result.error)


def test_a_command_that_hangs_after_the_login_costs_one_program_deadline(sshd: SshdHost) -> None:
    """A forced command that never ends is cut off, and the connection goes away with it."""
    result = ask(target(sshd, port=PORTS["force"]), program_s=0.5)
    assert result.status is HostStatus.TIMEOUT
    assert "program deadline" in str(result.error)
    wait_for(lambda: sshd.connections(PORTS["force"]) == 0, "the end of the connection", in_time(1))


def test_endless_output_is_cut_off_and_its_beginning_kept(sshd: SshdHost) -> None:
    """A host that pours out bytes is stopped at the limit."""
    result = ask(target(sshd), Job("yes", max_output=300_000))
    assert result.status is HostStatus.PARTIAL
    assert len(result.stdout) == 300_000
    assert "larger than 300000 bytes" in str(result.error)


def test_a_session_that_is_killed_in_the_middle_keeps_what_came(sshd: SshdHost) -> None:
    """The connection breaks after half an answer: partial, with the half."""
    result = ask(target(sshd), Job("sh -c 'echo half; sleep 2; kill -9 $PPID; sleep 60'"))
    assert (result.status, result.stdout) == (HostStatus.PARTIAL, b"half\n")
    assert "broke after 5 bytes" in str(result.error)


def test_a_program_that_fails_shows_its_last_words(sshd: SshdHost) -> None:
    """A failing program's last line of stderr is in the message."""
    result = ask(target(sshd), Job("sh -c 'echo reason >&2; exit 3'"))
    assert (result.status, result.exit_status) == (HostStatus.UNSUPPORTED, 3)
    assert "ended with status 3" in str(result.error)
    assert "reason" in str(result.error)


def test_a_namespace_that_is_not_there_is_named(sshd: SshdHost) -> None:
    """skoop_netns with a wrong name says where it looked."""
    result = ask(target(sshd, netns="skt-none"))
    assert result.status is HostStatus.UNREACHABLE
    assert "no network namespace 'skt-none' in /run/netns" in str(result.error)


def test_a_namespace_connection_leaves_this_process_where_it_was(sshd: SshdHost) -> None:
    """Opening sockets inside a namespace moves no thread that lives on."""
    before = Path("/proc/self/ns/net").readlink()
    assert ask(target(sshd)).status is HostStatus.OK
    assert {task.joinpath("ns/net").readlink() for task in Path("/proc/self/task").iterdir()} == {before}


def test_one_hanging_host_does_not_hold_up_the_others(sshd: SshdHost) -> None:
    """Results come for every host, in order, each with its own fate."""
    hosts = [
        target(sshd, name="good"),
        target(sshd, name="hangs", port=PORTS["force"]),
        target(sshd, name="closed", port=2999),
        target(sshd, name="also-good"),
    ]
    results = asyncio.run(run_fleet(hosts, ECHO, deadlines=Deadlines(program_s=5)))
    assert [(r.host, r.status.value) for r in results] == [
        ("good", "ok"),
        ("hangs", "timeout"),
        ("closed", "unreachable"),
        ("also-good", "ok"),
    ]


def test_a_stock_sshd_loses_none_of_many_logins(sshd: SshdHost) -> None:
    """MaxStartups 10:30:100, sshd's default, drops nobody: logins to one server are limited."""
    hosts = [target(sshd, name=f"h{number}") for number in range(40)]
    results = asyncio.run(run_fleet(hosts, ECHO))
    assert [r.status for r in results] == [HostStatus.OK] * 40


CLIENT_PROGRAM = """
import asyncio, json, sys
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Job
from skoopctl.transport.fleet import run_fleet
hosts = [InventoryHost(**one) for one in json.loads(sys.argv[1])]
try:
    asyncio.run(run_fleet(hosts, Job(sys.argv[2])))
except KeyboardInterrupt:
    raise SystemExit(130)
"""


def _client(sshd: SshdHost, mark: str, count: int) -> subprocess.Popen[bytes]:
    """Start a fleet in a process of its own and wait until its programs run on the host."""
    words = {"address": SERVER, "user": "root", "netns": sshd.client}
    words |= {"key_file": str(sshd.user_key), "known_hosts": str(sshd.known_hosts)}
    hosts = json.dumps([{"name": f"h{number}", **words} for number in range(count)])
    command = f'python3 -c "{READS_TO_EOF}" {mark}'
    client = subprocess.Popen([sys.executable, "-c", CLIENT_PROGRAM, hosts, command])
    wait_for(lambda: len(_programs(mark)) >= count, "the remote programs")
    return client


def _programs(mark: str) -> list[int]:
    """Return the remote programs: the mark is an argument of its own there, unlike in the client."""
    return processes(f"\x00{mark}\x00")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_client_that_ends_takes_its_programs_with_it(sshd: SshdHost, number: signal.Signals) -> None:
    """Within a second after Ctrl-C, or after kill -9, nothing of it runs on any host."""
    mark = f"skt-mark-{number.name}"
    client = _client(sshd, mark, 5)
    client.send_signal(number)
    end = time.monotonic() + in_time(1)
    code = client.wait(60)
    wait_for(lambda: not _programs(mark), "the remote programs to end", max(0.0, end - time.monotonic()))
    assert code == (130 if number is signal.SIGINT else -signal.SIGKILL)


def test_a_cancelled_fleet_leaves_no_task_and_no_connection(sshd: SshdHost) -> None:
    """When the caller gives up, every connection is closed before the cancellation goes on."""
    mark = "skt-mark-cancel"

    async def scenario() -> int:
        job = Job(f'python3 -c "{READS_TO_EOF}" {mark}')
        before = asyncio.all_tasks()
        fleet = asyncio.create_task(run_fleet([target(sshd, name=f"h{n}") for n in range(3)], job))
        await asyncio.to_thread(wait_for, lambda: len(_programs(mark)) >= 3, "the remote programs")
        fleet.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fleet
        return len(asyncio.all_tasks() - before)

    assert asyncio.run(asyncio.wait_for(scenario(), 90)) == 0
    wait_for(lambda: not _programs(mark), "the remote programs to end", in_time(1))


def test_a_fleet_that_still_connects_is_cancelled_at_once(sshd: SshdHost) -> None:
    """Ctrl-C does not wait for hosts that say nothing."""

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        fleet = asyncio.create_task(run_fleet([target(sshd, port=2995)] * 3, ECHO))
        await asyncio.to_thread(wait_for, lambda: sshd.connections(2995) == 3, "three connections")
        started = loop.time()
        fleet.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fleet
        return loop.time() - started

    with sshd.listener(2995):
        assert asyncio.run(scenario()) < in_time(1)
        wait_for(lambda: sshd.connections(2995) == 0, "the end of the connections", in_time(1))
