"""Events to Loki for as long as a watch lasts, and to the last of them when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skoopctl.sinks.loki import LokiSink

LAST_S = 10.0
"""How long the last events may take; a Loki that is down is not waited for any longer."""


@asynccontextmanager
async def sending(sink: LokiSink | None) -> AsyncIterator[None]:
    """Send what is put into ``sink`` while the block lasts; behind it, everything is sent or counted as dropped."""
    if sink is None:
        yield
        return
    running = asyncio.create_task(sink.run(), name="events to Loki")
    try:
        yield
        await sink.drain(LAST_S)
    finally:
        running.cancel()
        await asyncio.wait([running])


def account(sink: LokiSink) -> str:
    """Return what became of the events, in a line; nothing where all arrived."""
    tally = sink.tally
    parts = [f"{tally.dropped:,} were dropped"] if tally.dropped else []
    parts += [f"{tally.refused:,} were refused"] if tally.refused else []
    if not parts:
        return ""
    why = f": {tally.last_error}" if tally.last_error else ""
    return f"of {tally.sent + tally.dropped + tally.refused:,} events for Loki {' and '.join(parts)}{why}"
