"""Being told to end: as an interrupt, so that what was built is taken down."""

from __future__ import annotations

import signal
from typing import NoReturn


def end_politely() -> None:
    """Let SIGTERM and SIGHUP do what Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
