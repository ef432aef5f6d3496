"""Becoming root by real sudo and doas: rules with and without passwords, terminals, lectures, locales."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SshdHost, ask, ask_all, new_host, password_hash

from skoopctl.transport import HostResult, HostStatus, Job
from skoopctl.transport.choice import RealTransports
from skoopctl.transport.credentials import Credentials, Secret

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed"),
]

RIGHT, WRONG = "s3cret päss", "not that"
PAYLOAD = b"first line\nsecond line\n"
WHO = Job("sh -c 'id -un; head -c 23'", PAYLOAD)
PLAIN, PTY, TTY, LECTURE, LOUD, ONE_TRY, LATIN = range(2601, 2608)
DOAS, CACHED = 2610, 2611
NEEDS, FREE = "skt-needs", "skt-free"
USERS = f"{NEEDS}:x:4731:4731::/:/bin/sh\n{FREE}:x:4732:4732::/:/bin/sh\nskt-none:x:4733:4733::/:/bin/sh\n"
RULES = f"{NEEDS} ALL=(ALL) ALL\n{FREE} ALL=(ALL) NOPASSWD: ALL\n"
SUDOERS = {
    PLAIN: "",
    PTY: "Defaults use_pty\n",
    TTY: "Defaults requiretty\n",
    LECTURE: "Defaults lecture=always\n",
    LOUD: 'Defaults passprompt="[sudo] Kennwort: "\nDefaults badpass_message="Nein."\n',
    ONE_TRY: "Defaults passwd_tries=1\n",
    LATIN: 'Defaults sudoers_locale=de_DE.UTF-8\nDefaults env_reset\nDefaults env_keep += "LANG LC_ALL"\n',
    CACHED: "Defaults timestamp_type=global\n",
}
DOAS_CONF = f"permit {NEEDS} as root\npermit nopass {FREE} as root\n"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start one server for each kind of sudoers file."""
    with new_host() as host:
        hashed = password_hash(RIGHT)
        shadow = "root:*:19000::::::\n" + "".join(f"{user}:{hashed}:19000::::::\n" for user in (NEEDS, FREE))
        files = {"/etc/shadow": shadow}
        for port, defaults in SUDOERS.items():
            host.start(port, users=USERS, sudoers=defaults + RULES, files=files)
        if shutil.which("doas") is not None:
            host.start(DOAS, users=USERS, files=files | {"/etc/doas.conf": DOAS_CONF})
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def become(sshd: SshdHost, port: int, user: str, password: str | None, **changes: Any) -> HostResult:
    """Ask a host as root, with a sudo password or without."""
    host = sshd.target(port=port, user=user, become=True, **changes)
    secret = None if password is None else Secret(password)
    return ask(host, WHO, RealTransports(Credentials(become_password=secret)), program_s=20)


@pytest.mark.parametrize("user", [NEEDS, FREE])
@pytest.mark.parametrize("port", [PLAIN, PTY, LECTURE, LOUD, ONE_TRY, LATIN, CACHED])
def test_a_password_is_consumed_when_asked_for_and_the_input_arrives_whole(
    sshd: SshdHost, port: int, user: str
) -> None:
    """With a password and with NOPASSWD alike, every byte of stdin reaches the program, and no other."""
    result = become(sshd, port, user, RIGHT)
    assert (result.status, result.stdout) == (HostStatus.OK, b"root\n" + PAYLOAD)
    assert RIGHT not in repr(result)


@pytest.mark.parametrize("port", [PLAIN, PTY, LECTURE, LOUD, ONE_TRY])
def test_a_wrong_password_is_one_clear_row_after_one_try(sshd: SshdHost, port: int) -> None:
    """Sudo would ask three times; failures lock accounts."""
    result = become(sshd, port, NEEDS, WRONG)
    assert result.status is HostStatus.DENIED
    assert "refused the password" in str(result.error)
    assert WRONG not in repr(result)
    assert b"root" not in result.stdout


def test_a_wrong_password_is_sent_to_three_hosts_at_most(sshd: SshdHost) -> None:
    """The rest of the hosts are denied without having been sent it."""
    hosts = [sshd.target(name=f"h{n}", port=PLAIN, user=NEEDS, become=True) for n in range(8)]
    results = ask_all(hosts, WHO, RealTransports(Credentials(become_password=Secret(WRONG))))
    assert Counter(result.status for result in results) == {HostStatus.DENIED: 8}
    assert sum("was refused by 3 hosts" in str(result.error) for result in results) == 5


def test_sudo_keeps_nothing_of_the_login(sshd: SshdHost) -> None:
    """No time stamp is written that would let the account use sudo without its password afterwards."""
    assert become(sshd, CACHED, NEEDS, RIGHT).status is HostStatus.OK
    assert NEEDS not in sshd.inside(CACHED, "find", "/run/sudo")
    assert become(sshd, CACHED, NEEDS, None).status is HostStatus.DENIED


@pytest.mark.parametrize("password", [None, RIGHT])
def test_a_sudo_that_wants_a_terminal_is_denied(sshd: SshdHost, password: str | None) -> None:
    """``requiretty`` is named, whether there is a password or not."""
    result = become(sshd, TTY, NEEDS, password)
    assert result.status is HostStatus.DENIED
    assert "requiretty" in str(result.error)


def test_without_a_password_the_row_names_the_flag(sshd: SshdHost) -> None:
    """A sudo that asks, and nothing to answer."""
    result = become(sshd, LECTURE, NEEDS, None)
    assert result.status is HostStatus.DENIED
    assert "sudo asks for a password" in str(result.error)
    assert "--ask-become-pass" in str(result.error)


def test_another_user_than_root(sshd: SshdHost) -> None:
    """``become_user`` goes through the same talk."""
    result = become(sshd, PLAIN, NEEDS, RIGHT, become_user="daemon")
    assert result.stdout == b"daemon\n" + PAYLOAD


def test_a_program_that_fails_under_sudo_is_not_taken_for_a_refusal(sshd: SshdHost) -> None:
    """Its own last words are in the row."""
    host = sshd.target(port=PLAIN, user=NEEDS, become=True)
    result = ask(
        host, Job("sh -c 'echo reason >&2; exit 3'"), RealTransports(Credentials(None, Secret(RIGHT)))
    )
    assert (result.status, result.exit_status) == (HostStatus.UNSUPPORTED, 3)
    assert "reason" in str(result.error)
    assert result.stderr == "reason\n"


def test_this_machines_own_sudo_is_asked_the_same_way(tmp_path: Path) -> None:
    """``ansible_connection: local`` with a password for sudo; here root needs none."""
    from skoopctl.inventory import InventoryHost

    host = InventoryHost("here", "here", connection="local", become=True)
    result = ask(host, WHO, RealTransports(Credentials(become_password=Secret(RIGHT))))
    assert (result.status, result.stdout) == (HostStatus.OK, b"root\n" + PAYLOAD)
    assert not list(tmp_path.iterdir())


class TestDoas:
    """Doas takes a password from a terminal only, so it works where it needs none."""

    pytestmark = pytest.mark.skipif(shutil.which("doas") is None, reason="doas is not installed")

    def test_nopass_becomes_root(self, sshd: SshdHost) -> None:
        """The input arrives whole."""
        result = become(sshd, DOAS, FREE, None, become_method="doas")
        assert (result.status, result.stdout) == (HostStatus.OK, b"root\n" + PAYLOAD)

    @pytest.mark.parametrize("password", [None, RIGHT])
    def test_a_rule_with_a_password_is_denied(self, sshd: SshdHost, password: str | None) -> None:
        """The row says what the rule should be, also when there is a password for sudo."""
        result = become(sshd, DOAS, NEEDS, password, become_method="doas")
        assert result.status is HostStatus.DENIED
        assert "from a terminal only" in str(result.error)
        assert f"permit nopass {NEEDS} as root" in str(result.error)

    def test_no_rule_is_denied(self, sshd: SshdHost) -> None:
        """A user that doas does not know."""
        result = become(sshd, DOAS, "skt-none", None, become_method="doas")
        assert result.status is HostStatus.DENIED
        assert "doas does not allow it" in str(result.error)
