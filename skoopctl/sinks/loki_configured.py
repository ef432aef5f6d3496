"""The way of events to Loki, as a configuration wants it."""

from __future__ import annotations

from skoopctl.plans.loki_part import LokiPart
from skoopctl.sinks.access import access_of
from skoopctl.sinks.loki import LokiSink, Say
from skoopctl.sinks.loki_queue import Batching


def loki_of(part: LokiPart | None, cluster: str, say: Say) -> LokiSink | None:
    """Return the queue to Loki, if there is one: ``put`` takes events, ``run`` sends them, ``drain`` ends it well.

    ``say`` is told what goes wrong, as `Journal.say` takes it.
    """
    if part is None:
        return None
    return LokiSink(
        access_of(part, part.token_file),
        cluster=cluster,
        tenant=part.tenant,
        labels=part.labels,
        metadata=part.structured_metadata,
        batching=Batching(part.batch, part.batch_bytes, part.batch_wait, part.queue),
        say=say,
    )
