"""Tell systemd how the service is, as sd_notify(3) does: one datagram to ``$NOTIFY_SOCKET``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Says nothing where nobody listens."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        path = found.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with @ for its leading NUL.
        self._path = "\0" + path[1:] if path.startswith("@") else path
        mine = found.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        given = found.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(given) / 1e6 if mine and given.isdigit() and self._path else 0.0
        """How often systemd wants to hear from the service; 0: not at all."""

    def ready(self, status: str) -> None:
        """Say that the service is up."""
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` ends it. Type=notify-reload wants the time."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._say("STOPPING=1")

    def alive(self, status: str) -> None:
        """Say that the loop turns, and how things are."""
        self._say(f"WATCHDOG=1\nSTATUS={status}")

    def _say(self, text: str) -> None:
        if not self._path:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)
            sock.sendto(text.encode(), self._path)
