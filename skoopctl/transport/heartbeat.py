"""A byte on a program's stdin now and then: a program that hears nothing for its lease ends itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BEAT = b"\n"


@contextmanager
def heartbeat(write: Callable[[bytes], None], every_s: float) -> Iterator[None]:
    """Write a byte every ``every_s`` seconds as long as the body runs; never when that is 0."""
    if every_s <= 0:
        yield
        return
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def beat() -> None:
        nonlocal timer
        write(BEAT)
        timer = loop.call_later(every_s, beat)

    timer = loop.call_later(every_s, beat)
    try:
        yield
    finally:
        timer.cancel()
