"""Work that blocks, in a thread that nobody waits for at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def apart(work: Callable[..., T], *given: object) -> T:
    """Return what ``work`` returns, or raise what it raises. Cancelled, it is left to end by itself.

    Not asyncio's own threads: the loop's end would wait for a resolver or an API server that does not answer.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(put: Callable[[], None]) -> None:
        if not outcome.done():
            put()

    def run() -> None:
        try:
            value = work(*given)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the answer is awaited
            failure = error
            put: Callable[[], None] = lambda: outcome.set_exception(failure)  # noqa: E731 - said once, below
        else:
            put = lambda: outcome.set_result(value)  # noqa: E731 - the same
        with suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(settle, put)

    Thread(target=run, name="skoopctl apart", daemon=True).start()
    return await outcome
