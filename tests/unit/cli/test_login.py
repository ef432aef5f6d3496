"""The flags of a login: what they change, and how secrets get in without being seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import skoopctl
from skoopctl.cli import login
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.errors import UsageError
from skoopctl.inventory import InventoryHost

HOST = InventoryHost("node1", "10.0.0.1", user="ops", key_file="/inventory/key")


@pytest.fixture
def descriptor() -> Iterator[int]:
    """Return a descriptor from which two lines can be read."""
    given, ours = os.pipe()
    os.write(ours, b"first secret\r\nzweites Gehe\xc3\xadmnis\n")
    os.close(ours)
    yield given
    os.close(given)


def secrets(flags: LoginFlags) -> tuple[str | None, str | None, str | None]:
    """Return what a run with these flags would know."""
    known = flags.transports([])._credentials
    found = (known.password, known.become_password, known.passphrase)
    return tuple(secret.reveal() if secret is not None else None for secret in found)  # type: ignore[return-value]


def test_flags_win_over_the_inventory(tmp_path: Path) -> None:
    """User, key and becoming root are replaced; without flags a host is left as it is."""
    key = tmp_path / "key"
    key.touch()
    (changed,) = LoginFlags(user="root", private_key=str(key), become=True).applied([HOST])
    assert (changed.user, changed.key_file, changed.become) == ("root", str(key), True)
    assert LoginFlags().applied([HOST]) == (HOST,)


def test_a_private_key_that_is_not_there_is_named() -> None:
    """Before any host is asked."""
    with pytest.raises(UsageError, match="--private-key /none: there is no such file"):
        LoginFlags(private_key="/none").applied([HOST])


def test_one_descriptor_gives_several_flags_a_line_each(descriptor: int) -> None:
    """Not one byte more than its line is read, and line ends of every kind are cut off."""
    flags = LoginFlags(password_fd=descriptor, become_password_fd=descriptor)
    assert secrets(flags) == ("first secret", "zweites Gehe\u00edmnis", None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "one line of 1 to"),
        (b"\n", "one line of 1 to"),
        (b"\xff\n", "UTF-8"),
        (b"x" * 5000, "1 to 4096"),
    ],
)
def test_a_line_that_cannot_be_a_secret_names_the_flag_and_is_not_shown(line: bytes, says: str) -> None:
    """The error says which flag, and nothing of what was read."""
    given, ours = os.pipe()
    os.write(ours, line)
    os.close(ours)
    with pytest.raises(UsageError, match=says) as caught:
        LoginFlags(passphrase_fd=given).transports([])
    os.close(given)
    assert f"--passphrase-fd {given}" in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_a_descriptor_that_is_closed_or_an_output_is_named(descriptor: int) -> None:
    """A forgotten redirection is the usual mistake."""
    free = os.dup(descriptor)
    os.close(free)
    with pytest.raises(UsageError, match=rf"--password-fd {free}: Bad file descriptor.*3<FILE"):
        LoginFlags(password_fd=free).transports([])
    with pytest.raises(UsageError, match="--password-fd 1: that is the output"):
        LoginFlags(password_fd=1).transports([])


def test_a_descriptor_that_stays_silent_is_an_error_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the other end and writes nothing."""
    monkeypatch.setattr(login, "FD_WAIT_S", 0.05)
    given, ours = os.pipe()
    with pytest.raises(UsageError, match="nothing came within"):
        LoginFlags(password_fd=given).transports([])
    os.close(given)
    os.close(ours)


@pytest.mark.parametrize("flag", ["--ask-pass", "--ask-become-pass"])
def test_without_a_terminal_a_prompt_is_an_error_that_names_the_descriptors_flag(
    flag: str, tmp_path: Path
) -> None:
    """In cron there is nobody to ask."""
    (tmp_path / "hosts.yaml").write_text("all:\n  hosts:\n    a:\n")
    words = [sys.executable, "-m", "skoopctl", "collect", "-i", "hosts.yaml", flag]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(skoopctl.__file__).parents[1])},
        start_new_session=True,  # without a terminal of its own
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    fd_flag = {"--ask-pass": "--password-fd", "--ask-become-pass": "--become-password-fd"}[flag]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"skoopctl: {flag}: there is no terminal to ask on (give {fd_flag} N, such as {fd_flag} 3 3<FILE)\n"
    )


def test_a_prompt_and_a_descriptor_for_one_secret_contradict_each_other(descriptor: int) -> None:
    """Which one would count could only be guessed."""
    with pytest.raises(UsageError, match="--ask-pass and --password-fd contradict"):
        LoginFlags(ask_pass=True, password_fd=descriptor).transports([])


def test_a_bundle_takes_no_login_flags(tmp_path: Path) -> None:
    """Nobody is logged in to for evidence that was collected before."""
    from skoopctl.cli.diagnose import diagnose

    words = ["--bundle", str(tmp_path / "x.skoop"), "-s", "a", "-d", "b", "--become", "-u", "root"]
    done = CliRunner().invoke(diagnose, words, standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert "--user goes with -i" in str(done.exception)


def test_a_command_gets_its_login_flags_as_one_value() -> None:
    """The short flag for becoming root can be left to something else."""
    got: list[LoginFlags] = []

    @click.command()
    @login_options(short_become=False)
    @click.option("-b", "--bundle")
    def command(login: LoginFlags, bundle: str) -> None:
        got.append(login)
        assert bundle == "x"

    CliRunner().invoke(command, ["-b", "x", "--become", "-u", "ops", "--accept-new"], standalone_mode=False)
    assert got == [LoginFlags(user="ops", become=True, accept_new=True)]


def test_no_flag_takes_a_secret_as_its_value() -> None:
    """Arguments are seen by every user of the machine: a secret's flag takes a number or nothing."""

    @login_options()
    def command(login: LoginFlags) -> None:
        assert login

    options = {
        option.name: option for option in click.command()(command).params if isinstance(option, click.Option)
    }
    told = {name for name, option in options.items() if "pass" in str(name)}
    assert told == {"ask_pass", "ask_become_pass", "password_fd", "become_password_fd", "passphrase_fd"}
    assert all(options[name].is_flag or isinstance(options[name].type, click.IntRange) for name in told)


def test_every_login_flag_is_on_the_operators_page() -> None:
    """A flag that is not explained is not there for those who need it."""

    @login_options()
    def command(login: LoginFlags) -> None:
        assert login

    page = (Path(__file__).parents[3] / "docs" / "ssh.md").read_text(encoding="utf-8")
    flags = {option.opts[-1] for option in click.command()(command).params}
    assert {flag for flag in flags if flag not in page} == set()
