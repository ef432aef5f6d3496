"""The socket that the page is served on, and the server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp

from skoopctl.errors import UsageError
from skoopctl.sinks.listen import Listen

BACKLOG = 128
MOST_HEAD = 16 * 1024
REAP_S, FIRST_S = 1.0, 10.0
"""How often connections are looked at, and how long one may be silent before its first request."""
MOST_SILENT = 64
"""Connections that may wait for their first request at a time."""
KEEP_ALIVE_S = 75
"""Longer than the usual interval of scrapes, so that Prometheus keeps its connection."""


def bind(listen: Listen) -> socket.socket:
    """Return a socket that listens. Raises `UsageError` in one line."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"listen {listen}: {error.strerror or error}", hint="choose another address or port"
        ) from None


class Served(Protocol):
    """What a listener answers with."""

    @property
    def app(self) -> ASGIApp:
        """The application, its guard first."""
        ...


class _Server(uvicorn.Server):
    """A server that leaves signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Listener:
    """One server on a socket. The socket is a duplicate: another server may take over what it listens on."""

    def __init__(self, site: Served, listen: Listen, sock: socket.socket) -> None:
        """Raises `UsageError` when the certificate or key cannot be used."""
        config = uvicorn.Config(
            site.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            h11_max_incomplete_event_size=MOST_HEAD,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            ssl_certfile=listen.cert_file or None,
            ssl_keyfile=listen.key_file or None,
            ssl_ca_certs=listen.client_ca_file or None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if listen.client_ca_file else ssl.CERT_NONE,
        )
        try:
            config.load()
        except OSError as error:  # of files, and of TLS
            named = listen.cert_file if error.filename is None else error.filename
            raise UsageError(
                f"listen: {named}: {error.strerror or error}",
                hint="is it a certificate in PEM, with its key?",
            ) from None
        self._server = _Server(config)
        self._sock = sock.dup()

    async def serve(self) -> None:
        """Serve until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            reaper = tasks.create_task(self._reap())
            await self._server.serve(sockets=[self._sock])
            reaper.cancel()

    async def _reap(self) -> None:
        """Close connections on which no request has come in time, and those that are too many.

        uvicorn waits for a first request for ever; descriptors that strangers hold are missing for the nodes.
        """
        silent: dict[Any, float] = {}
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(REAP_S)
            there = list(self._server.server_state.connections)
            silent = {
                each: silent.get(each, clock()) for each in there if getattr(each, "cycle", None) is None
            }
            late = [each for each, since in silent.items() if clock() - since >= FIRST_S]
            for each in [*late, *list(silent)[MOST_SILENT:]]:
                _close(each)

    def stop(self) -> None:
        """End `serve`: what is being answered has a second."""
        self._server.should_exit = True


def _close(connection: Any) -> None:
    transport = getattr(connection, "transport", None)
    if transport is not None:
        transport.abort()
