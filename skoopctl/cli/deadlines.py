"""The four deadlines as flags, the same for every command that asks nodes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click

from skoopctl.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS = (
    ("connect", 10.0, "Seconds to be logged in."),
    ("program", 30.0, "Seconds for the answer."),
    ("host", 60.0, "Seconds for all of one host."),
    ("run", 300.0, "Seconds for all hosts."),
)


def deadline_options(stages: Collection[str] = ("connect", "program", "host", "run")) -> Callable[[F], F]:
    """Give a command the flags of ``stages``; it gets them as ``deadlines``, a `skoopctl.transport.Deadlines`."""
    flags = [row for row in _FLAGS if row[0] in stages]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_deadlines(**words: Any) -> Any:
            from skoopctl.transport.base import Deadlines

            seconds = {stage: words.pop(f"{stage}_timeout") for stage, _, _ in flags}
            for stage, value in seconds.items():
                if not value > 0:  # not a number neither
                    raise UsageError(f"--{stage}-timeout {value:g}: must be above zero")
            return function(deadlines=Deadlines(**{f"{stage}_s": s for stage, s in seconds.items()}), **words)

        command: Any = with_deadlines
        for stage, default, text in reversed(flags):
            flag = f"--{stage}-timeout"
            command = click.option(
                flag, type=float, metavar="SECONDS", default=default, show_default=True, help=text
            )(command)
        return command  # type: ignore[no-any-return]

    return decorate
