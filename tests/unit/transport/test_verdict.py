"""What the end of a program means: recorded words of sudo, of shells, and of our own bootstrap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skoopctl.errors import DeniedError, TransportError, UnsupportedError
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import Answer, HostStatus
from skoopctl.transport.verdict import complaint, status_of

PLAIN = InventoryHost("a", "a", user="ops")
SUDO = InventoryHost("a", "a", user="ops", become=True)


def answer(status: int | None, stderr: str = "", stdout: bytes = b"", signal: str | None = None) -> Answer:
    """Return the answer of a program that ended so."""
    made = Answer(max_output=1000, exit_status=status, exit_signal=signal)
    made.add_stdout(stdout)
    made.add_stderr(stderr.encode())
    return made


REFUSALS = [
    "sudo: a password is required",  # 1.9.13, user unknown to sudoers or with a password
    "sudo: a terminal is required to read the password; either use the -S option to read from standard input",
    "sudo: sorry, you must have a tty to run sudo",
    "ops is not in the sudoers file.  This incident will be reported.",
    "Sorry, user ops may not run sudo on node1.",
    "Sorry, user ops is not allowed to execute '/bin/sh -c x' as root on node1.",
    "sudo-rs: interactive authentication is required",
    "sudo: unknown user nobody2",
    "sudo: account validation failure, is your account locked?",
    "sh: 1: sudo: not found",
    "bash: line 1: sudo: command not found",
    "env: 'sudo': No such file or directory",
    "sudo: 1 incorrect password attempt",
    "sudo: no password was provided",
]
DOAS_REFUSALS = [
    "doas: Authorization required",  # opendoas 6.8.2
    "doas: Operation not permitted",
    "doas: a tty is required",
    "doas: doas is not enabled, /etc/doas.conf: No such file or directory",
    "sh: 1: doas: not found",
    "env: 'doas': No such file or directory",
]


@pytest.mark.parametrize("words", REFUSALS)
def test_the_refusals_of_sudo_are_denials(words: str) -> None:
    """Each way in which sudo says no is told apart from a program that fails."""
    error = complaint(SUDO, answer(1, f"Warning: lecture\n{words}\n"))
    assert isinstance(error, DeniedError)
    assert status_of(error, answer(1)) is HostStatus.DENIED
    assert error.hint


@pytest.mark.parametrize("words", DOAS_REFUSALS)
def test_the_refusals_of_doas_are_denials(words: str) -> None:
    """The advice is a rule of doas, not of sudo."""
    error = complaint(replace(SUDO, become_method="doas"), answer(1, f"{words}\n"))
    assert isinstance(error, DeniedError)
    assert "doas" in error.hint
    assert "sudo" not in str(error)


def test_what_a_shell_prints_is_no_answer_that_sudo_would_have_let_through() -> None:
    """A refusal stays one although something stands on stdout."""
    said = answer(1, f"{REFUSALS[0]}\n", stdout=b"motd\n")
    said.begins = b"MAGIC"
    assert isinstance(complaint(SUDO, said), DeniedError)


def test_a_program_that_ends_well_without_an_answer_is_unsupported() -> None:
    """Something else was run; its last words are quoted."""
    said = answer(0, stdout=b"backups only\n")
    said.begins = b"MAGIC"
    assert "backups only" in str(complaint(PLAIN, said))
    assert status_of(complaint(PLAIN, said), said) is HostStatus.UNSUPPORTED


def test_the_same_words_without_sudo_are_a_plain_failure() -> None:
    """A host that does not become anybody was not denied by sudo."""
    assert isinstance(complaint(PLAIN, answer(1, REFUSALS[0])), UnsupportedError)


def test_the_mark_of_the_bootstrap_means_no_python() -> None:
    """Exit status 97 counts only with our line."""
    error = complaint(PLAIN, answer(97, "noise\nskoopctl: no python 3.6 or newer\n"))
    assert "no Python" in str(error)
    assert "no Python" not in str(complaint(PLAIN, answer(97, "something else")))


def test_a_killed_program_names_the_signal() -> None:
    """Out of memory looks like this."""
    error = complaint(PLAIN, answer(None, stdout=b"abc", signal="KILL"))
    assert isinstance(error, TransportError)
    assert "killed by SIGKILL after 3 bytes" in str(error)


def test_a_good_end_is_no_complaint() -> None:
    """Status 0 is ok whatever was said on stderr."""
    assert complaint(PLAIN, answer(0, "warning")) is None
    assert status_of(None, answer(0)) is HostStatus.OK


def test_stderr_is_kept_to_a_limit() -> None:
    """A host that pours out errors fills no memory."""
    made = Answer(max_output=10)
    for _ in range(100):
        made.add_stderr(b"x" * 10_000)
    assert len(made.stderr) == 64 * 1024
