"""Opening a TCP connection: on loopback, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from skoopctl.errors import UnreachableError
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostStatus, Job
from skoopctl.transport import dial as dialling
from skoopctl.transport.dial import dial, unreachable
from skoopctl.transport.fleet import run_fleet

HOST = InventoryHost("node1", "node1")


def test_a_name_is_resolved_and_connected() -> None:
    """Each address of a name is tried until one accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with asyncio.run(dial(HOST, "localhost", port)) as sock:
            assert sock.getpeername()[1] == port
            assert sock.gettimeout() == 0


def test_a_refused_connection_names_host_and_port() -> None:
    """The message asks whether sshd runs and whether the port is right."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(
            UnreachableError, match=f"node1: nothing listens on 127.0.0.1:{port}.*is sshd running"
        ):
            asyncio.run(dial(HOST, "127.0.0.1", port))


def test_a_name_that_does_not_exist_is_said_to_be_a_name() -> None:
    """Labels over 63 characters fail before any resolver is asked."""
    with pytest.raises(UnreachableError, match=r"cannot be resolved.*ansible_host can give an address"):
        asyncio.run(dial(HOST, "x" * 70, 22))


def test_a_resolver_that_hangs_costs_one_connect_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends although the thread with the lookup does not."""
    release = threading.Event()

    def hang(*_words: object) -> list[object]:
        release.wait(20)
        return []

    monkeypatch.setattr(dialling.socket, "getaddrinfo", hang)
    started = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(dial(HOST, "slow.example", 22), 0.1))
        assert time.monotonic() - started < 5
    finally:
        release.set()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EHOSTUNREACH, "no route to node1:22: No route to host"),
        (errno.ENETUNREACH, "no route to node1:22: Network is unreachable"),
        (errno.ETIMEDOUT, "node1:22 does not answer"),
        (errno.EACCES, "cannot connect to node1:22: Permission denied"),
    ],
)
def test_what_the_system_says_is_told_with_what_to_do(number: int, says: str) -> None:
    """Each kind of failure has its own sentence and advice."""
    error = unreachable(HOST, "node1", 22, OSError(number, os.strerror(number)))
    assert says in str(error)
    assert error.hint


def test_an_ipv6_target_is_written_in_brackets() -> None:
    """The port of an IPv6 address stays readable."""
    assert "[fd00::1]:22" in str(
        unreachable(HOST, "fd00::1", 22, ConnectionRefusedError(errno.ECONNREFUSED, ""))
    )


def test_a_namespace_without_root_says_that_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPERM from setns(2) is about root, not about the host."""

    def refuse(_descriptor: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(dialling, "_setns", refuse)
    monkeypatch.setattr(dialling, "NAMESPACES_DIRECTORY", "/proc/self/ns")
    host = InventoryHost("node1", "127.0.0.1", netns="net")
    with pytest.raises(UnreachableError, match=r"needs root.*run skoopctl with sudo"):
        asyncio.run(dial(host, "127.0.0.1", 22))


def ssh_config(monkeypatch: pytest.MonkeyPatch, home: Path, text: str) -> None:
    """Give this process a home with an SSH configuration."""
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").write_text(text, encoding="ascii")
    monkeypatch.setenv("HOME", str(home))


def test_a_broken_ssh_config_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A configuration that cannot be read is one clear line with its file and line."""
    ssh_config(monkeypatch, tmp_path, "Port many\n")
    hosts = [InventoryHost("node1", "127.0.0.1")]
    result = asyncio.run(run_fleet(hosts, Job("true"), deadlines=Deadlines(connect_s=5)))[0]
    assert result.status is HostStatus.UNREACHABLE
    assert "config line 1: Invalid Port integer value: many" in str(result.error)


def test_a_jump_that_cannot_be_read_is_named() -> None:
    """A bastion that is not understood would mean another way; it is one clear row."""
    host = InventoryHost("node1", "127.0.0.1", jump="ops@[fd00::1]:99999")
    result = asyncio.run(run_fleet([host], Job("true")))[0]
    assert result.status is HostStatus.UNREACHABLE
    assert "node1: jump: expected a port from 1 to 65535, found 99999" in str(result.error)
