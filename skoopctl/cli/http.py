"""The flags of the page, the same for every command that serves one, and what they say while it is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from skoopctl.web.app import Shown
    from skoopctl.web.server import Door

F = TypeVar("F", bound=Callable[..., Any])

ADDRESS = "127.0.0.1:8080"


def http_options(function: F) -> F:
    """Give a command ``--http-address`` and ``--insecure``."""
    for option in (
        click.option(
            "--insecure",
            is_flag=True,
            help="No token on addresses that others reach: anybody there may look.",
        ),
        click.option(
            "--http-address",
            metavar="HOST:PORT",
            help=f"Where the page is served; default {ADDRESS}. Port 0 takes a free one; beyond loopback, the "
            "address that is printed has a token.",
        ),
    ):
        function = option(function)
    return function


def open_page(address: str | None, *, insecure: bool) -> Door:
    """Listen, before anything is collected. Raises `UsageError` when that cannot be."""
    from skoopctl.web.server import open_door

    return open_door(address or ADDRESS, insecure=insecure)


def serve_page(shown: Shown, door: Door) -> None:
    """Serve until Ctrl-C, and say where."""
    from skoopctl.web.server import serve

    def ready() -> None:
        click.echo(f"skoopctl: {door.url} (Ctrl-C ends it)", err=True)
        if not door.listen.is_loopback:
            whoever = (
                "with the token may look" if door.access.token else "who reaches it may look: --insecure"
            )
            click.echo(f"skoopctl: note: it is not encrypted, and anybody {whoever}", err=True)

    serve(shown, door, ready=ready)
