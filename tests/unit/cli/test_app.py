"""The command line as a whole: exit statuses, unknown commands, bugs."""

from __future__ import annotations

import subprocess
import sys
import threading

import click
import pytest

from skoopctl.cli import app as cli


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program as it is installed."""
    command = [sys.executable, "-c", "from skoopctl.cli import script; script()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def leaving(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Return the exit status of a command that raises ``error``."""

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.app, "main", fail)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_an_unknown_command_names_the_nearest() -> None:
    """A typo is exit status 2 and a suggestion."""
    done = run("diagnos")
    assert done.returncode == 2
    assert "Did you mean 'diagnose'?" in done.stderr


def test_help_imports_no_command() -> None:
    """``--help`` prints every command from the table, without importing one."""
    code = (
        "import sys; from skoopctl.cli.app import app;"
        "app(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert "skoopctl.cli.diagnose" not in done.stdout
    assert "asyncssh" not in done.stdout


def test_a_bug_is_70(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody expected shows its traceback and ends with 70."""
    assert leaving(monkeypatch, RuntimeError("surprise")) == 70
    assert "RuntimeError: surprise" in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is one word and 130."""
    assert leaving(monkeypatch, KeyboardInterrupt()) == leaving(monkeypatch, click.Abort()) == 130
    assert capsys.readouterr().err == "skoopctl: interrupted\n" * 2


def test_an_interrupt_while_a_lock_changes_hands_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What threading makes of an interrupt that comes just then is an interrupt; another error of its own is not."""

    def interrupted(condition: threading.Condition) -> None:
        with condition:
            condition.release()
            raise KeyboardInterrupt

    for lock in (threading.Lock(), threading.RLock()):
        with pytest.raises(RuntimeError) as raised:
            interrupted(threading.Condition(lock))
        assert leaving(monkeypatch, raised.value) == 130
        assert capsys.readouterr().err == "skoopctl: interrupted\n"
    other = RuntimeError("surprise")
    other.__context__ = KeyboardInterrupt()
    assert leaving(monkeypatch, other) == 70


def test_a_file_that_cannot_be_written_is_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of the file system is one line with the file's name."""
    error = PermissionError(13, "Permission denied", "/etc/report.html")
    assert leaving(monkeypatch, error) == 2
    assert capsys.readouterr().err == "skoopctl: /etc/report.html: Permission denied\n"


def test_a_full_disk_behind_stdout_is_told() -> None:
    """Output that could not be written is one line on standard error and exit status 2, never a success."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-c", "from skoopctl.cli import script; script()", "--help"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
