"""A connection through the ProxyCommand of ``~/.ssh/config``: a process whose stdin and stdout are the wire.

asyncssh could start it too, but neither waits for its end nor keeps what it says on stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from asyncio.subprocess import PIPE, Process

from skoopctl.errors import UnreachableError
from skoopctl.inventory.host import InventoryHost

_MOST_STDERR = 4096


class Proxy:
    """A running proxy. ``wire`` is our end of it."""

    def __init__(self, wire: socket.socket, process: Process) -> None:
        self.wire = wire
        self._process = process
        self._stderr = bytearray()
        self._reader = asyncio.create_task(self._read())

    @property
    def said(self) -> str:
        """The last line that the proxy wrote to stderr, or nothing."""
        lines = self._stderr.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    async def close(self) -> None:
        """Kill the proxy with all its children and wait for its end."""
        self.wire.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.cancel()
        await asyncio.gather(self._reader, self._process.wait(), return_exceptions=True)

    async def settle(self) -> None:
        """Give a proxy that has hung up a moment to say why."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(self._reader)

    async def _read(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - asked for with PIPE
        while data := await self._process.stderr.read(_MOST_STDERR):
            self._stderr = (self._stderr + data)[-_MOST_STDERR:]


async def open_proxy(host: InventoryHost, command: str) -> Proxy:
    """Start a ProxyCommand as OpenSSH does: ``exec`` in a shell (sshconnect.c: ssh_proxy_connect)."""
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_shell(
            f"exec {command}",
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=PIPE,
            start_new_session=True,
        )
    except BaseException as error:
        ours.close()
        if isinstance(error, OSError):
            raise UnreachableError(host.name, f"cannot start the ProxyCommand: {error.strerror}") from None
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return Proxy(ours, process)
