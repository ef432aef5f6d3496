"""A deadline around a piece of waiting: it names the host and itself when it passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from skoopctl.errors import DeadlineError


@asynccontextmanager
async def deadline(
    host: str,
    stage: str,
    seconds: float,
    *,
    until: float | None = None,
    hint: Callable[[], str] = str,
) -> AsyncIterator[None]:
    """Raise :class:`DeadlineError` when the body takes longer than ``seconds``, or past loop time ``until``.

    ``hint`` is asked when the deadline passes. A time-out that the body itself raises (a socket's ETIMEDOUT
    is a ``TimeoutError`` too) goes through.
    """
    when = asyncio.get_running_loop().time() + seconds if until is None else until
    try:
        async with asyncio.timeout_at(when) as timer:
            yield
    except TimeoutError:
        if timer.expired():
            raise DeadlineError(host, stage, seconds, hint=hint()) from None
        raise
