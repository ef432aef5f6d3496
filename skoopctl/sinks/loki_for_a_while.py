"""The events of a watch to Loki, for as long as it lasts, and to the last of them when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from skoopctl.sinks.loki_configured import loki_of

if TYPE_CHECKING:
    from skoopctl.events.event import Event
    from skoopctl.plans.loki_part import LokiPart
    from skoopctl.sinks.loki import LokiSink, Tally
    from skoopctl.watching.observation import NodeView, Observation

LAST_S = 10.0
"""How long the last events may take; a Loki that is down is not waited for any longer."""


@asynccontextmanager
async def to_loki(
    part: LokiPart | None, cluster: str, observation: Observation, say: Callable[[str], object]
) -> AsyncIterator[None]:
    """Send what is observed while the block lasts; behind it, everything is sent, or it is said how much was not.

    ``say`` takes a line for people; it is told what goes wrong meanwhile, too.
    """
    sink = loki_of(part, cluster, lambda _word, line: say(line))
    if sink is None:
        yield
        return
    _listen(observation, sink)
    running = asyncio.create_task(sink.run(), name="events to Loki")
    try:
        yield
        await sink.drain(LAST_S)
    finally:
        running.cancel()
        await asyncio.wait([running])
    if lost := _lost(sink.tally):
        say(lost)


def _listen(observation: Observation, sink: LokiSink) -> None:
    """Put what is observed into a sink, beside whoever hears of it already."""
    before = observation.happened

    def happened(view: NodeView, events: Sequence[Event]) -> None:
        before(view, events)
        for event in events:
            sink.put(event)

    observation.happened = happened


def _lost(tally: Tally) -> str:
    """Return what became of events that did not arrive, in a line; nothing where all did."""
    parts = [f"{tally.dropped:,} were dropped"] if tally.dropped else []
    parts += [f"{tally.refused:,} were refused"] if tally.refused else []
    if not parts:
        return ""
    why = f": {tally.last_error}" if tally.last_error else ""
    return f"of {tally.sent + tally.dropped + tally.refused:,} events for Loki {' and '.join(parts)}{why}"
