"""A connected socket to a node's SSH server, and how to log in there: as every other command would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skoopctl.errors import DeadlineError
from skoopctl.inventory import InventoryHost
from skoopctl.prepare.through import through_bastions

if TYPE_CHECKING:
    from skoopctl.transport.login import Login, Logins


@contextmanager
def wire(host: InventoryHost, connect_s: float) -> Iterator[tuple[Login, socket.socket]]:
    """Yield how to log in and a blocking socket: straight, through bastions, or through a ProxyCommand; close it."""
    from skoopctl.transport.login import Logins  # noqa: PLC0415 - loads asyncssh

    logins = Logins()
    login, sock = asyncio.run(_dialled(host, logins, connect_s))
    if sock is not None:
        with sock:
            yield login, sock
    elif login.hops:
        # Their places in line belong to an event loop: that of the thread, from here on.
        with through_bastions(host, Logins(), login, connect_s) as end:
            yield login, end
    else:
        with _proxied(str(login.proxy_command)) as end:
            yield login, end


async def _dialled(
    host: InventoryHost, logins: Logins, connect_s: float
) -> tuple[Login, socket.socket | None]:
    """Return how to log in, and a socket where nothing stands between."""
    from skoopctl.transport.dial import dial  # noqa: PLC0415 - ctypes

    try:
        async with asyncio.timeout(connect_s):
            login = await logins.prepare(host)
            if login.hops or login.proxy_command is not None:
                return login, None
            sock = await dial(host, login.name, login.port, login.options.family)
    except TimeoutError:
        raise DeadlineError(host.name, "connect", connect_s) from None
    sock.setblocking(True)
    return login, sock


@contextmanager
def _proxied(command: str) -> Iterator[socket.socket]:
    """Start the user's ProxyCommand on one end of a pair of sockets; yield the other; end it with all its children.

    paramiko's own would leave the child and its pipes behind.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            child = subprocess.Popen(  # noqa: S603 - ssh_config(5): a ProxyCommand is run by the user's shell
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            yield ours
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
