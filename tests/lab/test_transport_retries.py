"""Logins that are tried again, and those that never are, counted where they arrive."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SshdHost, ask, in_time, keypair, new_host, wait_for

from skoopctl.transport import HostStatus, Job
from skoopctl.transport import connection as connecting

pytestmark = pytest.mark.lab

SAY = Job("echo said")
RELAY, STRICT = 3301, 3302
TRIES = 4
"""One login and three more."""


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a server, and one that hangs up on everybody who has not logged in within five seconds.

    Within that time the key exchange is over, also on a busy machine: it hangs up during the login.
    """
    with new_host() as host:
        host.start(22)
        host.start(
            STRICT,
            "LoginGraceTime=5",
            "LogLevel=VERBOSE",
            "AuthorizedKeysFile=none",
            "AuthorizedKeysCommand=/bin/sleep 1000",
            "AuthorizedKeysCommandUser=root",
        )
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


class Relay:
    """A server that hangs up on the first connections, as a busy sshd does, and passes the others on."""

    def __init__(self, sshd: SshdHost, drops: int) -> None:
        self.accepted = 0
        self._sshd = sshd
        self._drops = drops

    def serve(self, listener: socket.socket) -> None:
        """Accept until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.accepted += 1
                if self.accepted <= self._drops:
                    connection.close()
                else:
                    _pump(connection, self._sshd.connect(22))


@contextlib.contextmanager
def relay(sshd: SshdHost, drops: int) -> Iterator[Relay]:
    """Run a relay for one test."""
    made = Relay(sshd, drops)
    with sshd.listener(RELAY) as listener:
        thread = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize("drops", [1, 3])
def test_a_connection_that_is_dropped_before_the_login_is_tried_again(sshd: SshdHost, drops: int) -> None:
    """A busy sshd hangs up on some; the next gets through."""
    with relay(sshd, drops) as between:
        result = ask(sshd.target(port=RELAY), SAY)
        assert result.status is HostStatus.OK, result.error
        assert between.accepted == drops + 1


def test_a_server_that_always_hangs_up_is_tried_four_times(sshd: SshdHost) -> None:
    """Then it is a row that says what it did."""
    with relay(sshd, 100) as between:
        result = ask(sshd.target(port=RELAY), SAY)
        assert between.accepted == TRIES
    assert result.status is HostStatus.UNREACHABLE
    assert "hung up before it said anything" in str(result.error)


def test_the_connect_deadline_bounds_all_tries_together(
    sshd: SshdHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No try begins after it, and the row still says that the server hung up."""
    # The deadline is long enough to see a hang-up on a busy machine, and far from the third try.
    monkeypatch.setattr(connecting, "_RETRY_S", ((0.1, 0.5), (600.0, 600.0), (600.0, 600.0)))
    with relay(sshd, 100) as between:
        started = time.monotonic()
        result = ask(sshd.target(port=RELAY), SAY, connect_s=3)
        assert time.monotonic() - started < in_time(4)
        assert between.accepted < TRIES
    assert result.status is HostStatus.TIMEOUT
    assert "hung up before it said anything" in str(result.error)


def test_a_connection_that_is_dropped_during_the_login_is_not_tried_again(sshd: SshdHost) -> None:
    """The server has heard our name by then, and may count."""
    log = sshd.log(STRICT).count("Connection from")
    result = ask(sshd.target(port=STRICT), SAY, connect_s=60)
    assert result.status is HostStatus.UNREACHABLE
    assert "broke off during the login" in str(result.error)
    assert sshd.log(STRICT).count("Connection from") == log + 1


def test_a_refused_login_is_not_tried_again(sshd: SshdHost, tmp_path: Path) -> None:
    """Repeated failures lock accounts: one attempt a host."""
    log = sshd.folder / "sshd-22.log"
    before = log.read_text().count("Connection closed by authenticating user")
    ask(sshd.target(key_file=str(keypair(tmp_path / "stranger"))), SAY)

    def closed() -> int:
        return log.read_text().count("Connection closed by authenticating user") - before

    wait_for(closed, "sshd's log")
    assert closed() == 1


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Relay bytes both ways until either side closes."""

    def copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join(5)
    one.close()
    other.close()
