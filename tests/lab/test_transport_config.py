"""What ``~/.ssh/config`` says and is honoured, and what is not, against a real OpenSSH server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, ask, in_time, keypair, new_host, processes, run, wait_for

from skoopctl.inventory import InventoryHost
from skoopctl.transport import HostResult, HostStatus, Job

pytestmark = pytest.mark.lab

WHO = Job("id -un")
PORT, FEW = 2801, 2802
USERS = "skt-config:x:4741:4741::/:/bin/sh\n"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a server on a port of its own, and one that gives up after two keys."""
    with new_host() as host:
        host.start(PORT, users=USERS)
        host.start(FEW, "MaxAuthTries=2")
        public = " ".join((host.folder / "host_key.pub").read_text().split()[:2])
        host.known_hosts.write_text(f"[{SERVER}]:{PORT} {public}\n[{SERVER}]:{FEW} {public}\nlake {public}\n")
        yield host


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the home of a user without an agent, with a folder for its SSH configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    return tmp_path


def asked(sshd: SshdHost, home: Path, config: str, **changes: Any) -> HostResult:
    """Ask `lake`, of which the inventory knows the name only, with this configuration."""
    words = {"server": SERVER, "port": PORT, "key": sshd.user_key, "known": sshd.known_hosts, "home": home}
    (home / ".ssh" / "config").write_text(config.format(**words))
    bare = InventoryHost(name="node1", address="lake", netns=sshd.client)
    return ask(replace(bare, **changes), WHO)


BASE = "HostName {server}\n Port {port}\n User skt-config\n IdentityFile {key}\n UserKnownHostsFile {known}\n"
SECTIONS = {
    "Host": f"Host lake\n {BASE}",
    "Host with patterns": f"Host l?k* !lakes\n {BASE}",
    "Match host": f"Match host lake,river\n {BASE}",
    "Match originalhost": f"Match originalhost lake\n {BASE}",
    "Match exec": f"Match exec true\n {BASE}",
    "Match exec with a pipe": f'Match exec "echo lake | grep -qx lake"\n {BASE}',
    "first value wins": f"Host lake\n User skt-config\nHost *\n User nobody\n {BASE}",
    "IdentitiesOnly": f"Host lake\n IdentitiesOnly yes\n {BASE}",
    "HostKeyAlias": f"Host lake\n HostKeyAlias lake\n {BASE}",
    "HostKeyAlgorithms": f"Host lake\n HostKeyAlgorithms ssh-ed25519\n {BASE}",
    "ProxyCommand none": f"Host lake\n ProxyCommand none\n ProxyJump none\n {BASE}",
    "Ciphers": f"Host lake\n Ciphers aes256-ctr\n {BASE}",
    "keys that are not there": f"Host lake\n IdentityFile {{home}}/none\n {BASE}",
}


@pytest.mark.parametrize("config", SECTIONS.values(), ids=SECTIONS)
def test_a_section_that_applies_is_honoured(sshd: SshdHost, home: Path, config: str) -> None:
    """The user, the port, the key, the address and the known_hosts file all come from it."""
    result = asked(sshd, home, config)
    assert (result.status, result.stdout) == (HostStatus.OK, b"skt-config\n"), result.error


@pytest.mark.parametrize(
    "config", [f"Host river\n {BASE}", f"Match exec false\n {BASE}", f"Match host r*\n {BASE}"]
)
def test_a_section_that_does_not_apply_is_not(sshd: SshdHost, home: Path, config: str) -> None:
    """Without it, nobody knows what `lake` is."""
    assert asked(sshd, home, config).status is not HostStatus.OK


@pytest.mark.parametrize(
    "setting",
    ["KexAlgorithms diffie-hellman-group1-sha1", "Ciphers aes128-cbc", "Ciphers aes128-ctr\n MACs hmac-md5"],
)
def test_algorithms_are_not_more_than_the_file_allows(sshd: SshdHost, home: Path, setting: str) -> None:
    """What a stock server has not is not agreed on by way of our own defaults."""
    result = asked(sshd, home, f"Host lake\n {setting}\n {BASE}")
    assert result.status is HostStatus.UNREACHABLE
    assert "No matching" in str(result.error)


@pytest.mark.parametrize("family", ["inet6", "inet"])
def test_the_address_family_is_honoured(sshd: SshdHost, home: Path, family: str) -> None:
    """A name with addresses of one family is not there for the other."""
    config = f"Host lake\n AddressFamily {family}\n {BASE.replace('{server}', 'localhost')}"
    error = str(asked(sshd, home, config).error)
    assert (
        ("localhost" in error and "cannot be resolved" in error)
        if family == "inet6"
        else "nothing listens" in error
    )


def test_a_match_exec_that_cannot_be_read_is_an_error_and_not_another_host(
    sshd: SshdHost, home: Path
) -> None:
    """An equals sign in the command is beyond the reader; the row says what to do."""
    result = asked(sshd, home, f'Match exec "test lake = lake"\n {BASE}')
    assert result.status is HostStatus.UNREACHABLE
    assert "config line 1" in str(result.error)
    assert "an equals sign" in str(result.error)


@pytest.mark.parametrize("included", [False, True])
def test_a_match_exec_with_tokens_is_refused(sshd: SshdHost, home: Path, included: bool) -> None:
    """Their command would be about another host; the row names the file and line, also of an included one."""
    line = "# a comment\nMatch exec 'test -e /etc/%h'\n User nobody\n"
    (home / ".ssh" / "more").write_text(line)
    result = asked(
        sshd, home, f"Include more\nHost lake\n {BASE}" if included else f"{line}Host lake\n {BASE}"
    )
    assert result.status is HostStatus.UNREACHABLE
    assert f"{home}/.ssh/{'more' if included else 'config'}:2: Match exec with %-tokens" in str(result.error)


def test_included_files_are_honoured(sshd: SshdHost, home: Path) -> None:
    """Include takes files relative to ~/.ssh, and globs."""
    (home / ".ssh" / "conf.d").mkdir()
    text = f"Host lake\n {BASE}".format(server=SERVER, port=PORT, key=sshd.user_key, known=sshd.known_hosts)
    (home / ".ssh" / "conf.d" / "lake.conf").write_text(text)
    assert asked(sshd, home, "Include conf.d/*.conf\n").status is HostStatus.OK


def test_a_host_key_alias_is_the_name_that_is_looked_up(sshd: SshdHost, home: Path) -> None:
    """An alias that known_hosts does not know is an unknown host, though the address is known."""
    result = asked(sshd, home, f"Host lake\n HostKeyAlias pond\n {BASE}")
    assert result.status is HostStatus.AUTH_FAILED


@pytest.mark.parametrize("value", ["no", "off", "accept-new", "ask"])
def test_host_keys_are_checked_whatever_strict_host_key_checking_says(
    sshd: SshdHost, home: Path, value: str
) -> None:
    """The file is not written either: only the flag does that."""
    config = "HostName {server}\n Port {port}\n IdentityFile {key}\n"
    config = f"Host lake\n StrictHostKeyChecking {value}\n {config}"
    result = asked(sshd, home, config)
    assert result.status is HostStatus.AUTH_FAILED
    assert "is not known in" in str(result.error)
    assert not (home / ".ssh" / "known_hosts").exists()


def test_the_inventory_is_stronger(sshd: SshdHost, home: Path) -> None:
    """A user, key and port that the inventory names stand over those of the file."""
    result = asked(
        sshd, home, f"Host lake\n Port 1\n User nobody\n {BASE}", user="root", port=PORT, port_given=True
    )
    assert (result.status, result.stdout) == (HostStatus.OK, b"root\n"), result.error


def test_identities_only_keeps_the_agents_other_keys_at_home(
    sshd: SshdHost, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent with many keys spends the server's patience; the one of IdentityFile gets through."""
    path = str(home / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        wait_for(Path(path).exists, "the agent's socket")
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        for number in range(3):
            run("ssh-add", "-q", str(keypair(home / f"other{number}")))
        section = f"Host lake\n Port {FEW}\n User root\n {BASE}"
        assert "too many" in str(asked(sshd, home, section).error)
        assert asked(sshd, home, f"{section}\n IdentitiesOnly yes\n").status is HostStatus.OK
    finally:
        agent.terminate()
        agent.wait(60)


def test_a_match_exec_that_hangs_costs_one_connect_deadline(sshd: SshdHost, home: Path) -> None:
    """The other hosts would have gone on meanwhile; the row says what was waited for."""
    (home / ".ssh" / "config").write_text("Match exec 'sleep 600.5'\n User x\n")
    started = time.monotonic()
    try:
        result = ask(sshd.target(), WHO, connect_s=0.5)
        assert time.monotonic() - started < in_time(3)
    finally:
        for pid in processes("sleep\x00600.5"):
            os.kill(pid, signal.SIGKILL)
    assert result.status is HostStatus.TIMEOUT
    assert "Match exec" in str(result.error)
