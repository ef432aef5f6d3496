"""Putting options above a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Decorator = Callable[[Any], Any]


def with_options(command: Callable[..., Any], options: Sequence[Decorator]) -> Any:
    """Return the command with the options, which ``--help`` shows in this order."""
    for option in reversed(options):
        command = option(command)
    return command
