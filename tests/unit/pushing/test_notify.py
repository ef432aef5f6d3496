"""What systemd is told, on a real datagram socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from skoopctl.pushing.notify import Notifier


def heard(address: str, environment: str) -> list[bytes]:
    """Return what a notifier says to a socket at ``address``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(10)
        notifier = Notifier({"NOTIFY_SOCKET": environment})
        notifier.ready("3 of 3 nodes")
        notifier.reloading()
        notifier.alive("2 of 3 nodes")
        notifier.stopping()
        return [sock.recv(4096) for _ in range(4)]


@pytest.mark.parametrize("abstract", [False, True])
def test_every_state_is_one_datagram(tmp_path: Path, *, abstract: bool) -> None:
    """READY, RELOADING with its time, WATCHDOG, STOPPING; to a path, or to an abstract socket."""
    name = f"skoopctl-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    ready, reloading, alive, stopping = heard(
        "\0" + name if abstract else name, "@" + name if abstract else name
    )
    assert ready == b"READY=1\nSTATUS=3 of 3 nodes"
    assert reloading.startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert alive == b"WATCHDOG=1\nSTATUS=2 of 3 nodes"
    assert stopping == b"STOPPING=1"


def test_the_watchdog_is_for_this_process_only() -> None:
    """Its time counts when systemd means us, and someone listens."""
    socket_, usec = {"NOTIFY_SOCKET": "/nowhere"}, {"WATCHDOG_USEC": "30000000"}
    assert Notifier({**socket_, **usec}).watchdog_s == 30
    assert Notifier({**socket_, **usec, "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 30
    assert Notifier({**socket_, **usec, "WATCHDOG_PID": "1"}).watchdog_s == 0
    assert Notifier(usec).watchdog_s == 0


def test_nobody_listening_is_no_failure() -> None:
    """A socket that is gone, or none at all."""
    Notifier({"NOTIFY_SOCKET": "/nowhere/notify"}).ready("x")
    assert Notifier({})._path == ""
