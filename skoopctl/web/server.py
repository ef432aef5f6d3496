"""The page on a socket, from the first request to Ctrl-C."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.errors import UsageError
from skoopctl.sinks.listen import Listen
from skoopctl.sinks.listener import Listener, bind
from skoopctl.web.app import Shown, Site
from skoopctl.web.guard import Access

DEFAULT_ADDRESS = "127.0.0.1:8080"
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]\s/@]*)):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Door:
    """A socket that listens, and who may come in. ``url`` is what to open: it holds the token, where there is one."""

    sock: socket.socket
    listen: Listen
    access: Access

    @property
    def url(self) -> str:
        """The address to open in a browser on this machine, or on one that reaches it."""
        host = self.listen.host
        if ipaddress_or_none(host) in {ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::")}:  # noqa: S104
            host = socket.gethostname()
        shown = Listen(host, self.access.port)
        return f"http://{shown}/" + (f"?token={self.access.token}" if self.access.token else "")


def open_door(address: str, *, insecure: bool = False) -> Door:
    """Listen on ``HOST:PORT``, before anything is collected. Raises `UsageError` in one line.

    On an address that others reach, a token is asked for, unless ``insecure``.
    """
    listen = _listen(address)
    sock = bind(listen)
    port = int(sock.getsockname()[1])
    open_to_all = insecure or listen.is_loopback
    return Door(sock, listen, Access(listen.host, port, "" if open_to_all else secrets.token_urlsafe(32)))


def serve(shown: Shown, door: Door, *, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until Ctrl-C or SIGTERM; ``ready`` is called when requests are answered."""
    asyncio.run(_serve(shown, door, ready))


async def _serve(shown: Shown, door: Door, ready: Callable[[], None]) -> None:
    site = Site(shown, door.access)
    listener = Listener(site, door.listen, door.sock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, listener.stop)
    ready()
    try:
        await listener.serve()
    finally:
        await site.close()
        door.sock.close()


def _listen(address: str) -> Listen:
    match = _ADDRESS.fullmatch(address)
    port = int(match["port"]) if match else 65536
    if match is None or port > 65535:
        raise UsageError(f"--http-address {address}: not HOST:PORT", hint=f"{DEFAULT_ADDRESS}, for example")
    return Listen(match["six"] or match["host"] or "0.0.0.0", port)  # noqa: S104 - ':8080' says so, and needs a token


def ipaddress_or_none(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return what an address is, or nothing for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
