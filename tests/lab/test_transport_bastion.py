"""Hosts behind bastions: real OpenSSH servers, where the hosts can be reached from the bastion only."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, ask, ask_all, in_time, keypair, new_host, processes, wait_for

from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostResult, HostStatus, Job
from skoopctl.transport.choice import RealTransports
from skoopctl.transport.credentials import Credentials, Secret
from skoopctl.transport.fleet import run_fleet

pytestmark = pytest.mark.lab

SAY = Job("sh -c 'head -c 5'", b"hello")
HALF = "sh -c 'echo up; sleep 2; exec python3 -c \"import sys; sys.stdin.buffer.read()\" {mark}'"
"""A program that says half of its answer and then waits for the end of its stdin."""
NODES, SECOND, CLOSED, OTHER_KEY = 2401, 2402, 2403, 2404
BASTION = f"root@{SERVER}"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a stock bastion on port 22, nodes behind it, and bastions that are not in order."""
    with new_host() as host:
        other = keypair(host.folder / "other_host_key")
        host.start(22)
        host.start(NODES)
        host.start(SECOND)
        host.start(CLOSED, "AllowTcpForwarding=no")
        host.start(OTHER_KEY, f"HostKey={other}")
        public = " ".join((host.folder / "host_key.pub").read_text().split()[:2])
        host.known_hosts.write_text(f"* {public}\n")
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def behind(sshd: SshdHost, number: int = 1, **changes: Any) -> InventoryHost:
    """Return a node that only the bastion reaches: an address of its loopback."""
    words = {"name": f"n{number}", "address": f"127.1.0.{number}", "port": NODES, "jump": BASTION}
    return sshd.target(**words | changes)


def logins(sshd: SshdHost, port: int) -> int:
    """Return how many logins a server has let in."""
    return sshd.log(port).count("Accepted publickey for")


def test_a_host_behind_a_bastion_answers(sshd: SshdHost) -> None:
    """Bytes go there and come back, and without the bastion there is no way."""
    assert ask(behind(sshd), SAY).stdout == b"hello"
    assert ask(behind(sshd, jump=None), SAY).status is HostStatus.UNREACHABLE


def test_a_hundred_hosts_behind_a_stock_bastion_all_answer_through_one_login(sshd: SshdHost) -> None:
    """Neither MaxStartups 10:30:100 nor MaxSessions 10 of either server costs a host."""
    before = logins(sshd, 22)
    results = ask_all([behind(sshd, number) for number in range(1, 101)], SAY, connect_s=60)
    assert Counter(result.status for result in results) == {HostStatus.OK: 100}
    assert {result.stdout for result in results} == {b"hello"}
    assert logins(sshd, 22) == before + 1


def test_the_bastions_own_key_is_used_whatever_keys_the_hosts_have(sshd: SshdHost, tmp_path: Path) -> None:
    """Hosts with a key each share one login where ~/.ssh/config names the bastion's key."""
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(sshd.user_key.read_bytes())
        (tmp_path / name).chmod(0o600)
    hosts = [behind(sshd, 1, key_file=str(tmp_path / "one")), behind(sshd, 2, key_file=str(tmp_path / "two"))]
    (tmp_path / ".ssh").mkdir()
    for config, expected in (("", 2), (f"Host {SERVER}\n IdentityFile {sshd.user_key}\n", 1)):
        (tmp_path / ".ssh" / "config").write_text(config)
        before = logins(sshd, 22)
        assert {result.status for result in ask_all(hosts, SAY)} == {HostStatus.OK}
        assert logins(sshd, 22) == before + expected


def test_a_chain_of_two_bastions_works(sshd: SshdHost) -> None:
    """Each is logged in to once, through the one before it."""
    before = logins(sshd, 22), logins(sshd, SECOND)
    way = f"{BASTION},root@127.0.0.1:{SECOND}"
    results = ask_all([behind(sshd, number, jump=way) for number in range(1, 21)], SAY, connect_s=60)
    assert {result.status for result in results} == {HostStatus.OK}
    assert (logins(sshd, 22), logins(sshd, SECOND)) == (before[0] + 1, before[1] + 1)


def test_the_connection_to_the_bastion_is_closed_at_the_end(sshd: SshdHost) -> None:
    """A run that went through the bastion leaves no connection there."""
    before = logins(sshd, 22)
    assert ask(behind(sshd), SAY).status is HostStatus.OK
    assert logins(sshd, 22) == before + 1
    wait_for(lambda: sshd.connections(22) == 0, "the end of the bastion's connection", in_time(1))


def test_a_proxy_jump_of_ssh_config_is_followed_with_the_bastions_own_settings(
    sshd: SshdHost, tmp_path: Path
) -> None:
    """HostName, User, Port, key and known_hosts of the bastion come from its own section."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host gate\n HostName {SERVER}\n Port {SECOND}\n User root\n"
        f"Host *\n ProxyJump gate\n IdentityFile {sshd.user_key}\n UserKnownHostsFile {sshd.known_hosts}\n"
    )
    before = logins(sshd, SECOND)
    assert ask(behind(sshd, jump=None, key_file=None, known_hosts=None), SAY).status is HostStatus.OK
    assert logins(sshd, SECOND) == before + 1
    # The inventory's word is stronger.
    assert ask(behind(sshd, jump="none"), SAY).status is HostStatus.UNREACHABLE


def test_a_bastion_of_a_bastion_is_followed_and_a_circle_is_told(sshd: SshdHost, tmp_path: Path) -> None:
    """The nearest bastion may have a ProxyJump of its own; two that point at each other are an error, not a hang."""
    (tmp_path / ".ssh").mkdir()
    config = tmp_path / ".ssh" / "config"
    inner = f"Host inner\n HostName 127.0.0.1\n Port {SECOND}\n User root\n"
    config.write_text(f"{inner} ProxyJump outer\nHost outer\n HostName {SERVER}\n User root\n")
    assert ask(behind(sshd, jump="inner"), SAY).status is HostStatus.OK
    config.write_text(f"{inner} ProxyJump outer\nHost outer\n HostName {SERVER}\n ProxyJump inner\n")
    result = ask(behind(sshd, jump="inner"), SAY)
    assert result.status is HostStatus.UNREACHABLE
    assert "through itself" in str(result.error)
    assert result.elapsed_s < in_time(2)


@pytest.mark.parametrize(
    ("jump", "status", "says"),
    [
        (f"root@{SERVER}:2999", HostStatus.UNREACHABLE, f"bastion root@{SERVER}:2999: nothing listens on"),
        (f"nobody-here@{SERVER}", HostStatus.AUTH_FAILED, "refused the login of nobody-here"),
        (f"root@{SERVER}:{OTHER_KEY}", HostStatus.AUTH_FAILED, "HAS CHANGED"),
        (f"root@{SERVER}:{CLOSED}", HostStatus.UNREACHABLE, f"does not forward to 127.1.0.1:{NODES}"),
    ],
)
def test_a_bastion_that_fails_costs_its_own_hosts_and_is_named(
    sshd: SshdHost, jump: str, status: HostStatus, says: str
) -> None:
    """Each row of its hosts says which bastion and why; other hosts answer."""
    hosts = [
        behind(sshd, 1, jump=jump),
        behind(sshd, 2, jump=jump),
        behind(sshd, 3),
        sshd.target(name="direct"),
    ]
    results = ask_all(hosts, SAY)
    assert [result.status for result in results] == [status, status, HostStatus.OK, HostStatus.OK]
    assert says in str(results[0].error)
    assert str(results[0].error).startswith("n1: ")
    assert f"bastion {jump}" in str(results[1].error)


def test_a_bastion_that_refuses_is_asked_once_for_all_its_hosts(sshd: SshdHost) -> None:
    """Failures lock accounts: twenty hosts behind it are one failed login."""
    before = sshd.log(22).count("Invalid user lockme")
    results = ask_all([behind(sshd, number, jump=f"lockme@{SERVER}") for number in range(1, 21)], SAY)
    assert {result.status for result in results} == {HostStatus.AUTH_FAILED}
    wait_for(lambda: sshd.log(22).count("Invalid user lockme") > before, "sshd's log")
    assert sshd.log(22).count("Invalid user lockme ") == before + 1


def test_a_bastion_that_says_nothing_costs_one_connect_deadline_for_all(sshd: SshdHost) -> None:
    """Its hosts wait for it together, not one after the other, and say what was waited for."""
    with sshd.listener(2998):
        hosts = [behind(sshd, number, jump=f"root@{SERVER}:2998") for number in range(1, 31)]
        # The good host has the same deadline: it is long enough for that one's login on a busy machine.
        results = ask_all([*hosts, behind(sshd, 99)], SAY, connect_s=10)
    assert [result.status for result in results] == [HostStatus.TIMEOUT] * 30 + [HostStatus.OK]
    assert max(result.elapsed_s for result in results) < in_time(12)
    assert f"bastion root@{SERVER}:2998 waited for an SSH greeting" in str(results[0].error)


def test_a_host_that_is_not_there_is_told_from_a_bastion_that_is_not(sshd: SshdHost) -> None:
    """The bastion says that it cannot connect; the row names both."""
    result = ask(behind(sshd, port=2997), SAY)
    assert result.status is HostStatus.UNREACHABLE
    assert f"bastion {BASTION} cannot reach 127.1.0.1:2997" in str(result.error)


def test_the_key_of_a_host_behind_a_bastion_is_checked(sshd: SshdHost) -> None:
    """A bastion may be in between: the host's own key counts."""
    result = ask(behind(sshd, port=OTHER_KEY), SAY)
    assert result.status is HostStatus.AUTH_FAILED
    assert "HAS CHANGED" in str(result.error)


def test_a_bastion_that_dies_costs_its_hosts_at_once(sshd: SshdHost) -> None:
    """What had come is kept, the rows name the bastion, and hosts that had not begun do not wait."""
    port = 2410
    sshd.start(port)
    mark = "skt-mark-bastion"
    job = Job(HALF.format(mark=mark))
    hosts = [behind(sshd, number, jump=f"root@{SERVER}:{port}") for number in range(1, 6)]

    async def scenario() -> tuple[list[HostResult], float]:
        loop = asyncio.get_running_loop()
        fleet = asyncio.create_task(run_fleet(hosts, job, deadlines=Deadlines(), forks=4))
        await asyncio.to_thread(
            wait_for, lambda: len(processes(f"\0{mark}\0")) == 4, "the programs behind the bastion"
        )
        sshd.kill(port)
        died = loop.time()
        return await fleet, loop.time() - died

    results, took = asyncio.run(scenario())
    assert took < in_time(3)
    assert [result.status for result in results] == [HostStatus.PARTIAL] * 4 + [HostStatus.UNREACHABLE]
    assert f"bastion root@{SERVER}:{port} hung up after 3 bytes" in str(results[0].error)
    assert f"bastion root@{SERVER}:{port} has hung up" in str(results[4].error)
    wait_for(lambda: not processes(f"\0{mark}\0"), "the end of the programs", in_time(1))


def test_no_password_goes_to_a_bastion(sshd: SshdHost, tmp_path: Path) -> None:
    """A bastion takes keys; the nodes' password is not its business."""
    before = sshd.log(22).count("Failed password")
    stranger = behind(sshd, key_file=str(keypair(tmp_path / "stranger")))
    result = ask(stranger, SAY, RealTransports(Credentials(password=Secret("x"))))
    assert result.status is HostStatus.AUTH_FAILED
    assert f"bastion {BASTION}" in str(result.error)
    assert sshd.log(22).count("Failed password") == before


def test_a_run_that_still_waits_for_its_bastion_is_cancelled_at_once(sshd: SshdHost) -> None:
    """Ctrl-C waits for no bastion, and leaves neither a task nor a connection."""
    hosts = [behind(sshd, number, jump=f"root@{SERVER}:2996") for number in range(1, 11)]

    async def scenario() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        before = asyncio.all_tasks()
        fleet = asyncio.create_task(run_fleet(hosts, SAY))
        await asyncio.to_thread(wait_for, lambda: sshd.connections(2996) == 1, "the bastion's connection")
        started = loop.time()
        fleet.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fleet
        return loop.time() - started, len(asyncio.all_tasks() - before)

    with sshd.listener(2996):
        took, tasks = asyncio.run(scenario())
        wait_for(lambda: sshd.connections(2996) == 0, "the end of the connection", in_time(1))
    assert took < in_time(1)
    assert tasks == 0
