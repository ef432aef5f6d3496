"""The evidence that pages are made of now, and the worker that makes them, one at a time.

The model is plain data, and a diagnosis of it takes a processor: a second one beside it would be no faster. The worker
is a thread of our own, so that nothing waits for a long answer when the server ends.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.snapshot import Snapshot
from skoopctl.report.incident import Json, coverage_context
from skoopctl.report.messages import Messages
from skoopctl.web.names import Offered, offered

T = TypeVar("T")

MOST_KEPT = 64
"""Diagnoses that are kept: a click on a hop must not walk the packet again."""


@dataclass
class Evidence:
    """One collection and what was asked of it. Used by the worker alone."""

    snapshot: Snapshot
    number: int = 1
    names: Offered = field(init=False)
    _kept: OrderedDict[Question, Diagnosis] = field(default_factory=OrderedDict)
    _seen: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = offered(self.snapshot)

    def seen(self, words: Messages) -> Json:
        """Return what was seen of each host, as `coverage_context` tells it: the same for every page."""
        if words.lang not in self._seen:
            self._seen[words.lang] = coverage_context(self.snapshot.coverage, words)
        return self._seen[words.lang]

    def diagnose(self, question: Question) -> Diagnosis:
        """Answer a question, or the same one again. Raises `TargetError` as `skoopctl.checks.diagnose` does."""
        known = self._kept.get(question)
        if known is None:
            known = diagnose(question, self.snapshot)
        self._kept[question] = known
        self._kept.move_to_end(question)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return known


class Held:
    """The newest evidence. ``replace`` is for a new collection: pages that are being made keep the old one."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.now = Evidence(snapshot)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="skoopctl-web")

    async def work(self, job: Callable[[], T]) -> T:
        """Let the worker do something that computes, after what it was asked before."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def replace(self, snapshot: Snapshot) -> None:
        """Take new evidence from now on."""
        self.now = Evidence(snapshot, self.now.number + 1)

    def close(self) -> None:
        """Let go of what nobody waits for any more."""
        self._worker.shutdown(wait=False, cancel_futures=True)
