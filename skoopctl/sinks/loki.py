"""Events on their way to Loki: a bounded queue, batches, one request at a time.

Loki that is slow or down delays nobody: events wait, and where they are too many the oldest are dropped, and counted.
After a failure a request is tried again, later each time, by lot, and not before Loki wants it.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from skoopctl.errors import PushError
from skoopctl.events.as_json import told_line
from skoopctl.events.event import Event
from skoopctl.sinks.connection import Access
from skoopctl.sinks.loki_push import MOST_NS, Answer, Entry, LokiClient, in_short, request_body
from skoopctl.sinks.loki_queue import Batch, Batching, Queue
from skoopctl.transport.apart import apart

JOB = "skoopctl"
MOST_LINE = 64 * 1024
"""Bytes of one line; Loki's own limit is 256 KB."""
MOST_RETRY_AFTER_S = 300.0

Say = Callable[[str, str], object]
"""Takes a word for programs and a line for people; it may be told the same often."""


@dataclass(slots=True)
class Tally:
    """What became of events since the start."""

    sent: int = 0
    """Events that Loki took."""
    dropped: int = 0
    """Events that had no room in the queue, or were still in it at the end."""
    refused: int = 0
    """Events that Loki did not take, and that would not be taken later either: too old, too long, not allowed."""
    requests: int = 0
    retries: int = 0
    """Requests that failed and were put back."""
    seconds: float = 0.0
    """Time that requests took, failed ones too."""
    up: bool | None = None
    """Whether the last request was answered as it should be; nothing before the first."""
    last_error: str = ""


def own_labels(cluster: str) -> dict[str, str]:
    """Return the labels of every stream; each has ``node`` and ``type`` too.

    Pods and addresses are in the line alone: each value of a label makes another stream.
    """
    return {"job": JOB, **({"cluster": cluster} if cluster else {})}


class LokiSink:
    """The queue and the connection of one Loki. All but a thread's work happens in the event loop."""

    def __init__(
        self,
        access: Access,
        *,
        cluster: str,
        tenant: str = "",
        labels: Mapping[str, str] | None = None,
        metadata: bool = False,
        batching: Batching | None = None,
        say: Say | None = None,
    ) -> None:
        self.access = access
        self.tally = Tally()
        self._labels = {**(labels or {}), **own_labels(cluster)}
        self._metadata = metadata
        self._metadata_taken = False
        self._batching = batching or Batching()
        self._say = say or (lambda _event, _message: None)
        self._client = LokiClient(access, tenant)
        self._queue = Queue(self._batching)
        self._flying = 0
        self._failed = 0
        self._not_before = 0.0
        self._no_room = 0
        self._draining = False
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def put(self, event: Event) -> None:
        """Take an event in. It never blocks, and never fails."""
        known = (("namespace", event.namespace), ("pod", event.pod))
        metadata = tuple(pair for pair in known if pair[1]) if self._metadata else ()
        stream = (("node", event.node), ("type", event.kind))
        entry = Entry(event.wall_ns, told_line(event), stream, metadata)
        if not 0 <= event.wall_ns <= MOST_NS or entry.size > MOST_LINE:
            self.tally.refused += 1
            return
        self._dropped(self._queue.put(time.monotonic(), entry))
        self._settled.clear()
        if len(self._queue.rows) == 1 or self._queue.is_full:
            self._wake.set()

    @property
    def length(self) -> int:
        """How many events wait or are being sent now."""
        return len(self._queue.rows) + self._flying

    async def run(self) -> None:
        """Send until cancelled; then the connection is closed at once, and what still waits is counted as dropped."""
        try:
            while True:
                await self._until_due()
                await self._send(self._queue.take())
        finally:
            self._client.close()
            self.tally.dropped += len(self._queue.rows)
            self._queue.rows.clear()

    async def drain(self, seconds: float) -> bool:
        """Send what waits now; return whether all of it was settled within ``seconds``."""
        self._draining, self._not_before = True, 0.0
        self._wake.set()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._settled.wait()
            return self._settled.is_set()
        finally:
            self._draining = False

    # --- when -------------------------------------------------------------------------------------------

    def _due(self) -> float:
        """Return when the next request may go out, by the monotonic clock."""
        if not self._queue.rows:
            return math.inf
        at_once = self._draining or self._queue.is_full
        return max(self._not_before, 0.0 if at_once else self._queue.rows[0][0] + self._batching.age_s)

    async def _until_due(self) -> None:
        while (wait := self._due() - time.monotonic()) > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait if wait < math.inf else None):
                    await self._wake.wait()

    # --- one request ------------------------------------------------------------------------------------

    async def _send(self, batch: Batch) -> None:
        began = time.monotonic()
        self._flying = len(batch)
        try:
            answer = await self._pushed([entry for _, entry in batch])
        except PushError as error:
            self._put_back(batch)
            self._fail(str(error), None)
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        else:
            self._answered(batch, answer)
        finally:
            self._flying = 0
            self.tally.requests += 1
            self.tally.seconds += time.monotonic() - began
            if not self._queue.rows:
                self._settled.set()

    def _answered(self, batch: Batch, answer: Answer) -> None:
        if answer.again:
            self._put_back(batch)
            self._fail(f"{self.access.url}: {in_short(answer)}", answer.later_s)
            return
        refused = 0 if answer.taken else answer.refused_of(len(batch))
        if refused and self._without_metadata(batch, answer):
            return
        self._metadata_taken |= refused < len(batch)
        self.tally.sent += len(batch) - refused
        self.tally.refused += refused
        if refused:
            self.tally.last_error = f"{self.access.url}: {in_short(answer)}"
            self._say("loki-refused", f"{self.tally.last_error} ({refused} of {len(batch)} events are lost)")
        if answer.taken or answer.is_about_entries:
            self._succeeded()
        else:  # it is not these events that are wrong: those behind them wait until somebody has mended it
            self._wait(None)

    def _without_metadata(self, batch: Batch, answer: Answer) -> bool:
        """Whether the same batch is to be sent without structured metadata, which this Loki may not know or allow."""
        if not self._metadata or self._metadata_taken or answer.refused_of(len(batch)) < len(batch):
            return False
        if not answer.is_about_entries:
            return False
        self._metadata = False
        self._put_back(batch)
        self._say("loki-metadata", f"{self.access.url}: tried again without metadata: {in_short(answer)}")
        return True

    async def _pushed(self, entries: list[Entry]) -> Answer:
        """Return what Loki says. Nobody waits for a name server at the end."""
        try:
            return await apart(self._push, entries)
        except asyncio.CancelledError:
            self._client.close()  # the thread that uses it ends with its socket
            raise

    def _push(self, entries: list[Entry]) -> Answer:
        return self._client.push(request_body(entries, self._labels, metadata=self._metadata))

    # --- what became of it ------------------------------------------------------------------------------

    def _put_back(self, batch: Batch) -> None:
        self._dropped(self._queue.put_back(batch))

    def _dropped(self, number: int) -> None:
        """Count what had no room. It is said at the first, and how many they were once Loki takes events again."""
        if not number:
            return
        self.tally.dropped += number
        if not self._no_room:
            self._say("loki-dropped", f"{self.access.url}: more events wait than may: the oldest are dropped")
        self._no_room += number

    def _succeeded(self) -> None:
        if self._failed or self._no_room:
            lost = f"; {self._no_room} were dropped meanwhile" if self._no_room else ""
            self._say("loki-back", f"{self.access.url}: Loki takes events again{lost}")
        self._failed = self._no_room = 0
        self._not_before = 0.0
        self.tally.up = True

    def _fail(self, why: str, later_s: float | None) -> None:
        self.tally.retries += 1
        self.tally.last_error = why
        wait_s = self._wait(later_s)
        self._say("loki-failed", f"{why} (again in {wait_s:.1f} s)")

    def _wait(self, later_s: float | None) -> float:
        """Let nothing go out for a while; return for how many seconds."""
        self.tally.up = False
        batching = self._batching
        failed = 0 if self._draining else min(self._failed, 16)
        wait_s = min(batching.most_backoff_s, batching.first_backoff_s * 2.0**failed)
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads services, guards nothing
        wait_s = max(wait_s, min(later_s or 0.0, MOST_RETRY_AFTER_S))
        self._failed += 1
        self._not_before = time.monotonic() + wait_s
        return wait_s
