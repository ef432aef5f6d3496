"""Prompts on a real terminal: the command asks before it begins, once, and shows nothing of what is typed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, in_time, new_host, password_hash, run

import skoopctl
from skoopctl.evidence import read_bundle

pytestmark = pytest.mark.lab

RIGHT, PHRASE = "s3cret päss", "open sesame"
PORT = 3201
USER = "skt-asked"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a node that takes a password for the login and one for sudo."""
    with new_host() as host:
        host.start(
            PORT,
            users=f"{USER}:x:4771:4771::/:/bin/sh\n",
            sudoers=f"{USER} ALL=(ALL) ALL\n",
            files={"/etc/shadow": f"root:*:19000::::::\n{USER}:{password_hash(RIGHT)}:19000::::::\n"},
        )
        yield host


@pytest.fixture
def inventory(sshd: SshdHost, tmp_path: Path) -> Path:
    """Return an inventory of three names of that node, which says nothing about how to log in."""
    common = {"ansible_host": SERVER, "ansible_port": PORT, "skoop_netns": sshd.client}
    hosts = {f"n{number}": {**common, "skoop_known_hosts": str(sshd.known_hosts)} for number in range(3)}
    file = tmp_path / "hosts.yaml"
    file.write_text(json.dumps({"all": {"hosts": hosts}}))
    return file


class Terminal:
    """The command on a terminal of its own, and what stands on its screen."""

    def __init__(self, inventory: Path, *flags: str) -> None:
        self.screen = ""
        words = ["-m", "skoopctl", "collect", "-i", str(inventory), "-o", "x.skoop", *flags]
        environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
        environment |= {"HOME": str(inventory.parent), "PYTHONPATH": str(Path(skoopctl.__file__).parents[1])}
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(inventory.parent)
            os.execve(sys.executable, [sys.executable, *words], environment)  # noqa: S606

    def expect(self, text: str, seconds: float = 60.0) -> None:
        """Read until ``text`` stands on the screen."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            assert time.monotonic() < end, f"waited for {text!r}: {self.screen!r}"
            self._read(0.1)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self.descriptor, f"{text}\n".encode())

    def linger(self, seconds: float) -> None:
        """Type nothing for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(0.1)

    def end(self, seconds: float = 60.0) -> int:
        """Read to the end and return the exit status."""
        stop = time.monotonic() + seconds
        while True:
            self._read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._read(0)
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < stop, self.screen

    def close(self) -> None:
        """Take the terminal away."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.descriptor)

    def _read(self, seconds: float) -> None:
        with contextlib.suppress(OSError):  # EIO: the command has ended
            while select.select([self.descriptor], [], [], seconds)[0]:
                data = os.read(self.descriptor, 4096)
                if not data:
                    return
                self.screen += data.decode("utf-8", "replace")


@contextlib.contextmanager
def terminal(inventory: Path, *flags: str) -> Iterator[Terminal]:
    """Run the command on a terminal; a test that fails leaves nothing of it."""
    made = Terminal(inventory, *flags)
    try:
        yield made
    finally:
        made.close()


def test_passwords_are_asked_for_once_and_neither_shown_nor_kept(inventory: Path) -> None:
    """One prompt each for three hosts; neither the screen nor the bundle holds what was typed."""
    with terminal(inventory, "-k", "-K", "-b", "-u", USER) as screen:
        screen.expect("SSH password: ")
        screen.type(RIGHT)
        screen.expect("sudo password (empty: the SSH password): ")
        screen.type("")
        assert screen.end() == 0, screen.screen
        assert screen.screen.count("password") == 3
        assert RIGHT not in screen.screen
    bundle = read_bundle(inventory.parent / "x.skoop")
    assert bundle.whole == 3
    assert RIGHT.encode() not in (inventory.parent / "x.skoop").read_bytes()
    assert RIGHT not in repr(bundle)


def test_a_wrong_sudo_password_is_a_row_for_each_host(inventory: Path) -> None:
    """It was tried once on each, and the command does not ask again."""
    with terminal(inventory, "-k", "-K", "-b", "-u", USER) as screen:
        screen.expect("SSH password: ")
        screen.type(RIGHT)
        screen.expect("sudo password")
        screen.type("wrong")
        assert screen.end() == 4
        assert "password:" not in screen.screen.partition("sudo password")[2].partition(": ")[2]


def test_the_passphrase_of_a_key_that_is_needed_is_asked_for_once(sshd: SshdHost, inventory: Path) -> None:
    """For three hosts, before any deadline runs; a mistyped one may be typed again."""
    key = inventory.parent / "key"
    key.write_bytes(sshd.user_key.read_bytes())
    key.chmod(0o600)
    run("ssh-keygen", "-q", "-p", "-N", PHRASE, "-f", str(key))
    with terminal(inventory, "-u", "root", "--private-key", str(key), "--connect-timeout", "12") as screen:
        prompt = f"passphrase of {key} (empty: do without): "
        screen.expect(prompt)
        screen.type("mistyped")
        screen.expect(prompt + "\r\n" + prompt)
        screen.linger(13)
        screen.type(PHRASE)
        assert screen.end() == 0, screen.screen
        assert screen.screen.count("passphrase of") == 2
        assert PHRASE not in screen.screen


def test_ctrl_c_at_a_prompt_ends_the_command_at_once(inventory: Path) -> None:
    """No host has been asked, and the terminal shows what is typed again."""
    with terminal(inventory, "-k") as screen:
        screen.expect("SSH password: ")
        os.write(screen.descriptor, b"\x03")
        assert screen.end(in_time(5)) == 130
        assert "interrupted" in screen.screen


def test_in_the_background_nobody_is_asked(inventory: Path, sshd: SshdHost) -> None:
    """A job in the background would be stopped by its terminal: it is told what to do instead."""
    words = f"{sys.executable} -m skoopctl collect -i {inventory} -k"
    script = f"set -m; {words} & wait $!; echo status $?"
    done = subprocess.run(
        ["script", "-qec", f"bash -c '{script}'", "/dev/null"],
        env=os.environ | {"PYTHONPATH": str(Path(skoopctl.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=sshd.folder,
    )
    assert "there is no terminal to ask on (give --password-fd N" in done.stdout
    assert "status 2" in done.stdout


def test_new_host_keys_are_said_once_on_standard_error(sshd: SshdHost, inventory: Path) -> None:
    """--accept-new on the command line: one line for one key, and the file is written."""
    known = inventory.parent / "known"
    inventory.write_text(inventory.read_text().replace(str(sshd.known_hosts), str(known)))
    words = ["collect", "-i", str(inventory), "-o", "x.skoop", "-q", "--accept-new", "-u", "root"]
    done = subprocess.run(
        [sys.executable, "-m", "skoopctl", *words, "--private-key", str(sshd.user_key)],
        env=os.environ
        | {"PYTHONPATH": str(Path(skoopctl.__file__).parents[1]), "HOME": str(inventory.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=inventory.parent,
    )
    assert (done.returncode, done.stdout) == (0, "x.skoop\n"), done.stderr
    assert done.stderr.count("new host key of") == 1
    assert known.read_text().startswith(f"[{SERVER}]:{PORT} ssh-ed25519 ")
