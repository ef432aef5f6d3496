"""The flags that say which traffic is meant, the same for every command that diagnoses: ``-s -d -p --protocol``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skoopctl.cli.options import with_options

if TYPE_CHECKING:
    from skoopctl.checks.diagnose import Question

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Ends:
    """Who connects to whom, as typed; what was left out is empty, and 0."""

    source: str = ""
    destination: str = ""
    port: int = 0
    protocol: str = "tcp"

    @property
    def missing(self) -> str:
        """The flags without which there is no question, as they are written; empty where all are there."""
        flags = (("-s", self.source), ("-d", self.destination))
        return " and ".join(flag for flag, value in flags if not value)

    def question(self) -> Question:
        """Return what is asked."""
        from skoopctl.checks.diagnose import Question

        return Question(self.source, self.destination, self.protocol, self.port)


def ends_options(src: str, dst: str, protocol: str) -> Callable[[F], F]:
    """Give a command the flags, with these words of help; it gets ``ends``, an `Ends`."""
    options = (
        click.option("-s", "--src", metavar="SRC", help=src),
        click.option("-d", "--dst", metavar="DST", help=dst),
        click.option(
            "-p", "--dport", type=click.IntRange(1, 65535), metavar="PORT", help="The destination's port."
        ),
        click.option(
            "--protocol",
            type=click.Choice(["tcp", "udp", "sctp", "icmp", "icmp6"]),
            default="tcp",
            show_default=True,
            help=protocol,
        ),
    )

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_ends(
            *, src: str | None, dst: str | None, dport: int | None, protocol: str, **words: Any
        ) -> Any:
            return function(ends=Ends(src or "", dst or "", dport or 0, protocol), **words)

        return with_options(with_ends, options)  # type: ignore[no-any-return]

    return decorate
