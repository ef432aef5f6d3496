"""A TCP connection to a host: the name resolved, the socket made in the right network namespace.

Nothing here can hold up the end of a run: names are resolved in threads of their own, which are left alone
when the resolver hangs (the event loop's shared pool would be waited for at exit).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import functools
import ipaddress
import os
import socket
import threading

from skoopctl.errors import UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.inventory.variables import NAMESPACES_DIRECTORY
from skoopctl.transport.apart import apart

_CLONE_NEWNET = 0x40000000
_NEXT_ADDRESS_S = 3.0
"""How long one of several addresses may stay silent before the next is tried."""


async def dial(host: InventoryHost, name: str, port: int, family: int = 0) -> socket.socket:
    """Return a connected, non-blocking socket to ``name``:``port``.

    Raises :class:`UnreachableError` that says which of name, route, port or namespace is wrong.
    """
    addresses = await _resolve(host, name, port, family)
    loop = asyncio.get_running_loop()
    problem: OSError | None = None
    for position, (kind, address) in enumerate(addresses, start=1):
        sock = _socket(host, kind)
        try:
            async with asyncio.timeout(_NEXT_ADDRESS_S if position < len(addresses) else None):
                await loop.sock_connect(sock, address)
        except OSError as error:  # a passed timeout is one too
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise unreachable(host, name, port, problem or OSError(errno.EADDRNOTAVAIL, "no address"))


def unreachable(host: InventoryHost, name: str, port: int, error: OSError) -> UnreachableError:
    """Say what a failed connect means and what to do about it."""
    target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    said = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    if isinstance(error, ConnectionRefusedError):
        what, hint = f"nothing listens on {target}", "is sshd running, is ansible_port right?"
    elif isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        what = f"{target} does not answer"
        hint = "is the host up, is a firewall in the way, is ansible_host right?"
    elif error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        what, hint = (
            f"no route to {target}: {said}",
            "is the host up, is ansible_host right, is a VPN needed?",
        )
    else:
        what, hint = f"cannot connect to {target}: {said}", "is ansible_host right?"
    if host.netns:
        what += f" (from the network namespace {host.netns})"
    return UnreachableError(host.name, what, hint=hint)


async def _resolve(
    host: InventoryHost, name: str, port: int, family: int
) -> list[tuple[int, tuple[str, int]]]:
    """Return (family, address) pairs, the best first."""
    literal = _literal(name)
    if literal is not None:
        return [(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, (name, port))]
    look_up = functools.partial(socket.getaddrinfo, name, port, family, socket.SOCK_STREAM)
    try:
        found = await apart(look_up)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        hint = "is the name spelt right? ansible_host can give an address"
        raise UnreachableError(
            host.name, f"the name {name!r} cannot be resolved: {said}", hint=hint
        ) from None
    return [(entry[0], entry[4]) for entry in found]  # type: ignore[misc]


def _literal(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _socket(host: InventoryHost, family: int) -> socket.socket:
    """Make a non-blocking socket; a socket stays in the namespace of the thread that made it."""
    if host.netns is None:
        sock = socket.socket(family, socket.SOCK_STREAM)
    else:
        sock = _socket_in_namespace(host, host.netns, family)
    sock.setblocking(False)
    return sock


def _socket_in_namespace(host: InventoryHost, netns: str, family: int) -> socket.socket:
    """Make the socket in a thread that enters the namespace and then ends: setns(2) is per thread."""
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def work() -> None:
        try:
            descriptor = os.open(f"{NAMESPACES_DIRECTORY}/{netns}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(descriptor)
            finally:
                os.close(descriptor)
            made.append(socket.socket(family, socket.SOCK_STREAM))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work, name=f"socket in {netns}", daemon=True)
    thread.start()
    thread.join()
    if made:
        return made[0]
    raise _no_namespace(host, netns, failed[0])


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _no_namespace(host: InventoryHost, netns: str, error: OSError) -> UnreachableError:
    if isinstance(error, FileNotFoundError):
        what = f"there is no network namespace {netns!r} in {NAMESPACES_DIRECTORY}"
        hint = "for the lab: skoopctl lab up; otherwise correct or remove skoop_netns"
    elif isinstance(error, PermissionError):
        what, hint = f"entering the network namespace {netns!r} needs root", "run skoopctl with sudo"
    else:
        what, hint = (
            f"cannot enter the network namespace {netns!r}: {error.strerror}",
            "is skoop_netns right?",
        )
    return UnreachableError(host.name, what, hint=hint)
