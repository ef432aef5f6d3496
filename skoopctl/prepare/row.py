"""What became of one node, as a row: planned, done, nothing to do, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from skoopctl.errors import SkoopError, TransportError, UnsupportedError


class State(StrEnum):
    """How it stands with a node."""

    PLANNED = "planned"
    """There is something to do; nothing was done yet."""
    DONE = "done"
    NOTHING = "nothing"
    """There is nothing to do."""
    REFUSED = "refused"
    """It was met, and left as it was."""
    FAILED = "failed"
    """It was changed, and not all went well."""
    UNREACHABLE = "unreachable"
    """It could not be logged in to, or may not be changed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One node. ``commands`` are what would be, or was, run there; ``packages`` what would, or did, come or go."""

    node: str
    state: State
    detail: str
    packages: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = field(default=())


class RefusedError(SkoopError):
    """A node is left as it is, for a reason that is no failure of the connection."""

    exit_code = 1


def of_error(node: str, error: SkoopError) -> Row:
    """Return the row of a node at which something was raised before it was changed."""
    text = str(error).removeprefix(f"{node}: ")
    refused = isinstance(error, RefusedError | UnsupportedError) or not isinstance(error, TransportError)
    return Row(node, State.REFUSED if refused else State.UNREACHABLE, text)


def exit_code(rows: Sequence[Row]) -> int:
    """Return the exit status: 4 no node could be reached, 3 some could not, 1 some were refused or failed, else 0."""
    lost = sum(row.state is State.UNREACHABLE for row in rows)
    if lost:
        return 4 if lost == len(rows) else 3
    return int(any(row.state in {State.REFUSED, State.FAILED} for row in rows))
