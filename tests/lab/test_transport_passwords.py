"""SSH logins with passwords and encrypted keys, against real OpenSSH servers: how often each is tried counts."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SshdHost, ask, ask_all, keypair, new_host, password_hash, run, wait_for

from skoopctl.errors import SkoopError
from skoopctl.evidence.rounds import Round
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostStatus, Job
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.choice import RealTransports
from skoopctl.transport.credentials import Credentials, Secret
from skoopctl.watching.fleet_watch import Asked, FleetWatch

pytestmark = pytest.mark.lab

SAY = Job("id -un")
RIGHT, WRONG = "tr0ub4dor ünd 3", "not that"
PASSWORD, PAM, BOTH, STOCK = 2501, 2502, 2503, 2504
USERS = "skt-pass:x:4721:4721::/:/bin/sh\n"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start servers that take a password, one that asks by PAM only, and one that wants a key and a password."""
    with new_host() as host:
        shadow = f"root:*:19000::::::\nskt-pass:{password_hash(RIGHT)}:19000::::::\n"
        words = {"users": USERS, "files": {"/etc/shadow": shadow}}
        host.start(PASSWORD, "KbdInteractiveAuthentication=no", "LogLevel=VERBOSE", **words)
        host.start(
            PAM, "UsePAM=yes", "PasswordAuthentication=no", "KbdInteractiveAuthentication=yes", **words
        )
        host.start(STOCK, **words)  # offers keyboard-interactive too, and asks nothing there
        host.start(BOTH, "AuthenticationMethods=publickey,password", **words)
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def with_password(text: str) -> RealTransports:
    """Return the transports of a run that has a password."""
    return RealTransports(Credentials(password=Secret(text)))


@pytest.mark.parametrize("port", [PASSWORD, PAM, BOTH, STOCK])
def test_the_right_password_logs_in(sshd: SshdHost, port: int) -> None:
    """By the method `password`, by PAM's questions, and after a key."""
    key = str(sshd.user_key) if port == BOTH else None
    result = ask(sshd.target(user="skt-pass", port=port, key_file=key), SAY, with_password(RIGHT))
    assert (result.status, result.stdout) == (HostStatus.OK, b"skt-pass\n")


class _Breaks:
    """A listener that remembers breaks, and when each host is tried again."""

    def __init__(self) -> None:
        self.waits: list[float | None] = []

    def connecting(self, host: InventoryHost) -> None:
        """Nothing."""

    def connected(self, host: InventoryHost) -> None:
        """Nothing."""

    def round_came(self, host: InventoryHost, round_: Round) -> None:
        """Nothing."""

    def broken(self, _host: InventoryHost, _error: SkoopError, again_in_s: float | None) -> None:
        """Remember when it is tried again."""
        self.waits.append(again_in_s)

    def ended(self, host: InventoryHost) -> None:
        """Nothing."""


def test_a_wrong_password_is_tried_once_however_long_a_watch_lasts(sshd: SshdHost) -> None:
    """Nothing is left to watch, so it ends; a refused key would be tried again."""
    heard, before = _Breaks(), failures(sshd, PASSWORD)
    host = sshd.target(user="skt-pass", port=PASSWORD, key_file=None)
    watch = FleetWatch(
        Asked(("tcp",), 1.0, rounds=1000),
        heard,
        transports=with_password(WRONG),
        deadlines=Deadlines(connect_s=20),
        backoff=Backoff(first_s=0.01, refused_s=0.01),
        spread_s=0,
    )
    asyncio.run(asyncio.wait_for(watch.run([host]), 40))
    assert heard.waits == [None]
    wait_for(lambda: failures(sshd, PASSWORD) > before, "sshd's log")
    assert failures(sshd, PASSWORD) == before + 1


@pytest.mark.parametrize("port", [PASSWORD, PAM, STOCK])
def test_a_wrong_password_is_tried_once(sshd: SshdHost, port: int) -> None:
    """One host, one failure in the server's log, one clear row without the password in it."""
    before = failures(sshd, port)
    result = ask(
        sshd.target(user="skt-pass", port=port, key_file=None), SAY, with_password(WRONG), connect_s=20
    )
    assert result.status is HostStatus.AUTH_FAILED
    assert "the password, once" in str(result.error)
    assert WRONG not in repr(result)
    wait_for(lambda: failures(sshd, port) > before, "sshd's log")
    assert failures(sshd, port) == before + 1


def test_a_wrong_password_is_sent_to_three_hosts_at_most(sshd: SshdHost) -> None:
    """A directory's account is one account on all hosts: the fourth is not sent it, and says so."""
    before = failures(sshd, PASSWORD)
    hosts = [sshd.target(name=f"h{n}", user="skt-pass", port=PASSWORD, key_file=None) for n in range(12)]
    results = ask_all(hosts, SAY, with_password(WRONG), connect_s=30)
    assert {result.status for result in results} == {HostStatus.AUTH_FAILED}
    assert sum("was not sent: 3 hosts had refused it" in str(result.error) for result in results) == 9
    wait_for(lambda: failures(sshd, PASSWORD) >= before + 3, "sshd's log")
    assert failures(sshd, PASSWORD) == before + 3


def test_a_password_that_one_host_refuses_still_reaches_the_others(sshd: SshdHost) -> None:
    """One odd account does not stop a run."""
    hosts = [sshd.target(name=f"h{n}", user="skt-pass", port=PASSWORD, key_file=None) for n in range(20)]
    hosts[0] = sshd.target(name="odd", user="nobody", port=PASSWORD, key_file=None)
    results = ask_all(hosts, SAY, with_password(RIGHT), connect_s=30)
    assert Counter(result.status.value for result in results) == {"ok": 19, "auth-failed": 1}


def test_a_host_that_takes_passwords_says_so_when_there_is_none(sshd: SshdHost) -> None:
    """The row names the flag that would help."""
    stranger = str(keypair(sshd.folder / "stranger"))
    host = sshd.target(user="skt-pass", port=PAM, key_file=stranger)
    result = ask(host, SAY)
    assert result.status is HostStatus.AUTH_FAILED
    assert "--ask-pass" in str(result.error)


def test_an_encrypted_key_is_decrypted_once_for_all_hosts(sshd: SshdHost, tmp_path: Path) -> None:
    """Sixteen rounds of bcrypt are paid once, and the passphrase stands in no row."""
    key = encrypted(sshd, tmp_path)
    hosts = [sshd.target(name=f"h{n}", key_file=str(key), port=PASSWORD) for n in range(10)]
    results = ask_all(hosts, SAY, RealTransports(Credentials(passphrase=Secret("open sesame"))))
    assert {result.status for result in results} == {HostStatus.OK}


def test_a_wrong_passphrase_is_told_and_nothing_is_sent(sshd: SshdHost, tmp_path: Path) -> None:
    """The row says whose passphrase it is not."""
    key = encrypted(sshd, tmp_path)
    # These lines are written before a login begins: none of an earlier test comes late.
    connections = sshd.log(PASSWORD).count("Connection from")
    result = ask(
        sshd.target(key_file=str(key), port=PASSWORD),
        SAY,
        RealTransports(Credentials(passphrase=Secret(WRONG))),
    )
    assert result.status is HostStatus.AUTH_FAILED
    assert f"{key} has a passphrase, and the passphrase given is not its own" in str(result.error)
    assert WRONG not in repr(result)
    assert sshd.log(PASSWORD).count("Connection from") == connections


def test_a_person_is_asked_once_for_a_key_that_many_hosts_need(sshd: SshdHost, tmp_path: Path) -> None:
    """Before the run, not within a deadline; a wrong passphrase may be given again."""
    key = encrypted(sshd, tmp_path)
    asked: list[str] = []

    def ask_person(file: str) -> Secret:
        asked.append(file)
        return Secret("open sesame" if len(asked) == 2 else WRONG)

    transports = RealTransports(Credentials(ask_passphrase=ask_person))
    hosts = [sshd.target(name=f"h{n}", key_file=str(key), port=PASSWORD) for n in range(5)]
    transports.unlock(hosts)
    results = ask_all(hosts, SAY, transports)
    assert {result.status for result in results} == {HostStatus.OK}
    assert asked == [str(key)] * 2


def test_nobody_is_asked_for_a_key_that_the_agent_holds(
    sshd: SshdHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent makes prompts unnecessary."""
    key = encrypted(sshd, tmp_path)
    path = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        wait_for(Path(path).exists, "the agent's socket")
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        run("ssh-add", "-q", str(sshd.user_key))
        asked: list[str] = []
        transports = RealTransports(Credentials(ask_passphrase=asked.append))  # type: ignore[func-returns-value]
        hosts = [sshd.target(key_file=str(key), port=PASSWORD), sshd.target(key_file=None, port=PASSWORD)]
        transports.unlock(hosts)
        assert {result.status for result in ask_all(hosts, SAY, transports)} == {HostStatus.OK}
        assert asked == []
    finally:
        agent.terminate()
        agent.wait(60)


def encrypted(sshd: SshdHost, folder: Path) -> Path:
    """Return a copy of root's key with the passphrase `open sesame`."""
    key = folder / "protected"
    shutil.copy(sshd.user_key, key)
    shutil.copy(sshd.user_key.with_suffix(".pub"), folder / "protected.pub")
    run("ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", str(key))
    return key


def failures(sshd: SshdHost, port: int) -> int:
    """Return how many passwords a server has refused."""
    log = sshd.log(port)
    return log.count("Failed password for skt-pass") + log.count("PAM: Authentication failure for skt-pass")
