"""A way to a node through bastions, for a library that wants a socket: the bastions of every other command.

They live in an event loop in a thread, one for each node; a pair of sockets leads out of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from skoopctl.errors import UnreachableError
from skoopctl.inventory import InventoryHost

if TYPE_CHECKING:
    from skoopctl.transport.login import Login, Logins

_CHUNK = 1 << 16
_LAST_WAIT_S = 2.0


@contextmanager
def through_bastions(
    host: InventoryHost, logins: Logins, login: Login, connect_s: float
) -> Iterator[socket.socket]:
    """Yield a blocking socket that is connected to the node's SSH server; close it, and the bastions' connections.

    Raises a :class:`~skoopctl.errors.TransportError`: what went wrong with a bastion is told as this node's error.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    carrying = _Carrying(host, logins, login, connect_s)
    thread = Thread(target=carrying.run, args=(theirs,), name=f"bastion of {host.name}", daemon=True)
    with ours:
        thread.start()
        try:
            carrying.ready.result()
            yield ours
        finally:
            carrying.stop()
            thread.join(_LAST_WAIT_S)


class _Carrying:
    """Carries bytes between a socket and a channel of the last bastion, until it is told to stop."""

    def __init__(self, host: InventoryHost, logins: Logins, login: Login, connect_s: float) -> None:
        self.ready: Future[None] = Future()
        self._host = host
        self._logins = logins
        self._login = login
        self._connect_s = connect_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def run(self, end: socket.socket) -> None:
        """Be the thread."""
        with end, contextlib.suppress(asyncio.CancelledError):
            try:
                asyncio.run(self._carry(end))
            except Exception as error:  # noqa: BLE001 - whoever waits for the socket gets it
                if not self.ready.done():
                    self.ready.set_exception(error)

    def stop(self) -> None:
        """End it; the bastions' connections are closed at once."""
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has come to its end by itself
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _carry(self, end: socket.socket) -> None:
        from skoopctl.transport.bastion import Bastions  # noqa: PLC0415 - loads asyncssh

        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        bastions = Bastions(self._logins)
        try:
            reader, writer = await self._open(bastions)
            self.ready.set_result(None)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outwards(end, writer))
                group.create_task(self._inwards(reader, end))
        finally:
            await bastions.close()

    async def _open(self, bastions: Any) -> tuple[Any, Any]:
        import asyncssh  # noqa: PLC0415

        bastion = await bastions.reach(self._host, self._login.hops, self._connect_s)
        name = bastion.connection.host.name
        try:
            async with asyncio.timeout(self._connect_s), bastion.turn():
                return await bastion.connection.ssh.open_connection(  # type: ignore[no-any-return]
                    self._login.name, self._login.port, encoding=None
                )
        except (asyncssh.Error, OSError) as error:
            said = getattr(error, "reason", "") or str(error) or type(error).__name__
            message = f"{name} does not reach {self._login.target}: {said}"
            hint = "try it there: nc -vz HOST PORT; and see AllowTcpForwarding in its sshd_config"
            raise UnreachableError(self._host.name, message, hint=hint) from None

    async def _outwards(self, end: socket.socket, writer: Any) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(end, _CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _inwards(self, reader: Any, end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(_CHUNK):
            await loop.sock_sendall(end, data)
        end.shutdown(socket.SHUT_WR)
