"""``--accept-new`` and known_hosts files of every kind, against real OpenSSH servers."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, ask, ask_all, in_time, keypair, new_host, run

from skoopctl.transport import HostStatus, Job
from skoopctl.transport.choice import RealTransports

pytestmark = pytest.mark.lab

SAY = Job("echo said")
OTHER = 2701


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start two servers with different host keys."""
    with new_host() as host:
        host.start(22)
        host.start(OTHER, f"HostKey={keypair(host.folder / 'other_host_key')}")
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def accepting(said: list[str]) -> RealTransports:
    """Return the transports of a run with ``--accept-new``."""
    return RealTransports(accept_new=True, say=said.append)


def public(sshd: SshdHost, name: str = "host_key") -> str:
    """Return a host key as known_hosts has it."""
    return " ".join((sshd.folder / f"{name}.pub").read_text().split()[:2])


def test_a_new_key_is_kept_said_once_and_known_to_openssh(sshd: SshdHost, tmp_path: Path) -> None:
    """The file and its folder are made, for the user's eyes only, and ssh-keygen finds the host in it."""
    known = tmp_path / "new" / "known_hosts"
    said: list[str] = []
    host = sshd.target(known_hosts=str(known))
    assert ask(host, SAY, accepting(said)).status is HostStatus.OK
    assert ask(host, SAY, accepting(said)).status is HostStatus.OK
    assert ask(host, SAY).status is HostStatus.OK
    fingerprint = run("ssh-keygen", "-lf", str(sshd.folder / "host_key.pub")).split()[1]
    assert len(said) == 1
    assert f"new host key of {SERVER}: ED25519 {fingerprint}, added to {known}" in said[0]
    assert (known.stat().st_mode & 0o777, known.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert known.read_text() == f"{SERVER} {public(sshd)}\n"
    assert "found" in run("ssh-keygen", "-F", SERVER, "-f", str(known))


def test_without_the_flag_nothing_is_written(sshd: SshdHost, tmp_path: Path) -> None:
    """The row names the flag; the file does not come into being."""
    known = tmp_path / "known_hosts"
    result = ask(sshd.target(known_hosts=str(known)), SAY)
    assert result.status is HostStatus.AUTH_FAILED
    assert "--accept-new" in str(result.error)
    assert not known.exists()


def test_a_changed_key_stays_fatal(sshd: SshdHost, tmp_path: Path) -> None:
    """Accepting new keys accepts no other key of a known host, and the file stays as it was."""
    known = tmp_path / "known_hosts"
    text = f"[{SERVER}]:{OTHER} {public(sshd)}\n"
    known.write_text(text)
    said: list[str] = []
    result = ask(sshd.target(port=OTHER, known_hosts=str(known)), SAY, accepting(said))
    assert result.status is HostStatus.AUTH_FAILED
    assert "HAS CHANGED" in str(result.error)
    assert (known.read_text(), said) == (text, [])


@pytest.mark.parametrize("line", ["@revoked * {key}\n", "@cert-authority * {authority}\n"])
def test_a_revoked_key_and_one_outside_an_authority_are_not_new(
    sshd: SshdHost, tmp_path: Path, line: str
) -> None:
    """What known_hosts says about a host without knowing its key holds."""
    known = tmp_path / "known_hosts"
    authority = keypair(tmp_path / "authority").with_suffix(".pub").read_text().strip()
    text = line.format(key=public(sshd), authority=authority)
    known.write_text(text)
    assert ask(sshd.target(known_hosts=str(known)), SAY, accepting([])).status is HostStatus.AUTH_FAILED
    assert known.read_text() == text


def test_many_hosts_at_once_do_not_spoil_the_file(sshd: SshdHost, tmp_path: Path) -> None:
    """One line for each name, none twice, none cut, after a last line that was not ended."""
    known = tmp_path / "known_hosts"
    known.write_text(f"gone.example {public(sshd)}")
    hosts = [sshd.target(name=f"h{n}", known_hosts=str(known), port=(22, OTHER)[n % 2]) for n in range(16)]
    said: list[str] = []
    assert {result.status for result in ask_all(hosts, SAY, accepting(said))} == {HostStatus.OK}
    assert sorted(known.read_text().splitlines()) == sorted(
        [
            f"gone.example {public(sshd)}",
            f"{SERVER} {public(sshd)}",
            f"[{SERVER}]:{OTHER} {public(sshd, 'other_host_key')}",
        ]
    )
    assert len(said) == 2


def test_two_runs_at_once_write_one_line(sshd: SshdHost, tmp_path: Path) -> None:
    """The file is read again under its lock: another process may have been first."""
    known = tmp_path / "known_hosts"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from sshd_host import *;"
        "host = InventoryHost('n', SERVER, user='root', netns=sys.argv[2], key_file=sys.argv[3],"
        " known_hosts=sys.argv[4]);"
        "print(ask(host, Job('echo'), RealTransports(accept_new=True)).status)"
    )
    words = [
        sys.executable,
        "-c",
        code,
        str(Path(__file__).parent),
        sshd.client,
        str(sshd.user_key),
        str(known),
    ]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [each.communicate(timeout=60)[0] for each in runs] == ["ok\n"] * 3
    assert known.read_text() == f"{SERVER} {public(sshd)}\n"


def test_a_file_that_cannot_be_written_accepts_nothing(sshd: SshdHost, tmp_path: Path) -> None:
    """A key that is not kept would be new again the next time."""
    (tmp_path / "file").write_text("")
    result = ask(sshd.target(known_hosts=str(tmp_path / "file" / "known_hosts")), SAY, accepting([]))
    assert result.status is HostStatus.AUTH_FAILED
    assert "cannot be written" in str(result.error)


def test_a_lock_that_is_held_costs_a_second_and_not_the_run(sshd: SshdHost, tmp_path: Path) -> None:
    """Another program that sleeps on its lock is told about."""
    known = tmp_path / "known_hosts"
    descriptor = os.open(known, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        started = time.monotonic()
        result = ask(sshd.target(known_hosts=str(known)), SAY, accepting([]))
    finally:
        os.close(descriptor)
    assert result.status is HostStatus.AUTH_FAILED
    assert "cannot be written" in str(result.error)
    assert time.monotonic() - started < in_time(5)


def test_a_hashed_file_is_understood(sshd: SshdHost, tmp_path: Path) -> None:
    """Names that ssh-keygen -H has hashed are found, for port 22 and for others."""
    known = tmp_path / "known_hosts"
    known.write_text(f"{SERVER} {public(sshd)}\n[{SERVER}]:{OTHER} {public(sshd, 'other_host_key')}\n")
    run("ssh-keygen", "-q", "-H", "-f", str(known))
    assert SERVER not in known.read_text()
    assert ask(sshd.target(known_hosts=str(known)), SAY).status is HostStatus.OK
    assert ask(sshd.target(known_hosts=str(known), port=OTHER), SAY).status is HostStatus.OK


def test_a_key_of_another_kind_for_a_known_host_is_a_changed_key(sshd: SshdHost, tmp_path: Path) -> None:
    """A server that suddenly shows another kind of key is not a new host."""
    known = tmp_path / "known_hosts"
    rsa = keypair(tmp_path / "rsa", "rsa").with_suffix(".pub").read_text()
    known.write_text(f"{SERVER} {' '.join(rsa.split()[:2])}\n")
    result = ask(sshd.target(known_hosts=str(known)), SAY, accepting([]))
    assert result.status is HostStatus.AUTH_FAILED
    assert "HAS CHANGED" in str(result.error)


def test_a_bastions_new_key_is_kept_too(sshd: SshdHost, tmp_path: Path) -> None:
    """Bastion and host are both new, and both are written."""
    known = tmp_path / "known_hosts"
    shutil.copy(sshd.user_key, tmp_path / "key")
    host = sshd.target(known_hosts=str(known), address="127.0.0.1", port=OTHER, jump=f"root@{SERVER}")
    assert ask(host, SAY, accepting([])).status is HostStatus.OK
    assert [line.split()[0] for line in known.read_text().splitlines()] == [SERVER, f"[127.0.0.1]:{OTHER}"]
