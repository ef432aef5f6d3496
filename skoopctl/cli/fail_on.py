"""The flag that says which findings make a command fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def fail_on_option(default: str | None = "critical", more: str = "") -> Callable[[F], F]:
    """Give a command ``--fail-on``; without a default, ``more`` says what counts then."""
    return click.option(
        "--fail-on",
        type=click.Choice(["info", "warning", "critical", "fatal"]),
        default=default,
        show_default=default is not None,
        help=f"The least severity that makes the exit status 1{more}.",
    )
