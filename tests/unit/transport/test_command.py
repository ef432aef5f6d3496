"""The command line for a host's login shell."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from skoopctl.inventory import InventoryHost
from skoopctl.transport.command import command_line

PLAIN = InventoryHost("a", "a")
SUDO = InventoryHost("a", "a", become=True)
ODD = """echo "it's" $((1+1)); printf '%s\\n' '!x' "a\\b" `echo c` & wait"""


def test_a_command_goes_to_a_plain_host_as_it_is() -> None:
    """Nothing is put around a command that needs nothing."""
    assert command_line(PLAIN, ODD) == ODD


def test_sudo_never_asks() -> None:
    """A command of plain and quoted words is given to sudo directly."""
    assert command_line(SUDO, "sh -c 'a; b'") == "env LC_ALL=C sudo -n -- sh -c 'a; b'"


def test_another_user_and_interpreter_are_quoted() -> None:
    """Names from the inventory cannot break out of their word."""
    host = InventoryHost("a", "a", become=True, become_user="x y", python="/opt/my py")
    assert (
        command_line(host, "true") == "env LC_ALL=C sudo -n -u 'x y' -- env 'SKOOPCTL_PYTHON=/opt/my py' true"
    )


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "busybox"])
@pytest.mark.parametrize("command", [ODD, "sh -c 'echo a; echo b'", "X=1 sh -c 'echo $X'", "echo a | cat"])
def test_a_wrapped_command_does_the_same_in_every_shell(shell: str, command: str) -> None:
    """What runs through sudo (here: its argument separator only) is the command, not a part of it."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    words = [shell, "sh", "-c"] if shell == "busybox" else [shell, "-c"]
    through = command_line(SUDO, command).replace("sudo -n --", "env")
    plain = subprocess.run([*words, command], capture_output=True, check=True).stdout
    assert subprocess.run([*words, through], capture_output=True, check=True).stdout == plain
