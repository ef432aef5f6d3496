"""Rounds as the node program writes them: its own writer, fed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from skoopctl.evidence.frames import FrameKind
from skoopctl.evidence.payload import SAMPLE_FILES, joined

SAMPLER: dict[str, Any] = {}
exec(joined(SAMPLE_FILES), SAMPLER)  # noqa: S102 - as the node does, without its call

Told = Mapping[tuple[int, str], tuple[str, str, bytes]]
"""By namespace and item: status, detail, payload."""


class RoundWriter:
    """Writes frames of rounds, one call each."""

    def __init__(self, items: Iterable[str], total: int = 1 << 24) -> None:
        self.items = tuple(items)
        self.number = 0
        self._rounds = SAMPLER["Rounds"](self.items, total)
        self._rounds.frames.flush = lambda: None  # nothing is written: it is taken from the buffer

    def hello(self) -> bytes:
        """Return the hello frame."""
        self._rounds.hello("0")
        return self._written()

    def round(self, told: Told, gone: Iterable[int] = (), **changed: Any) -> bytes:
        """Return one round that tells of items as they are now."""
        self.number += 1
        for (inode, name), (status, detail, payload) in told.items():
            self._rounds.item(inode, name, status, payload, detail)
        gone = list(gone)
        meta: dict[str, Any] = {
            "number": self.number,
            "wall_ns": 10**18 + self.number,
            "mono_ns": self.number * 10**9,
            "skipped": 0,
            "took_ms": 1.5,
            "cpu_ms": 2.25,
            "rss_kib": 9000,
        }
        meta |= {"gone": gone} if gone else {}
        body = self._rounds.body(gone)
        self._rounds.frames.send(FrameKind.ROUND, SAMPLER["to_json"](meta | changed).encode(), body)
        return self._written()

    def end(self, rounds: int | None = None) -> bytes:
        """Return the end frame."""
        count = self.number if rounds is None else rounds
        self._rounds.frames.send(SAMPLER["END"], SAMPLER["to_json"]({"rounds": count}).encode())
        return self._written()

    def _written(self) -> bytes:
        """Return what the writer has put out."""
        frames = self._rounds.frames
        data = b"".join(frames.pending)
        frames.pending, frames.waiting = [], 0
        return data
