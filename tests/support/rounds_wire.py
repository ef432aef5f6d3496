"""Rounds as a node writes them: the inverse of `skoopctl.evidence.rounds.RoundReader`, without differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from skoopctl.evidence.frames import HEADER, MAGIC, SCHEMA, FrameKind
from skoopctl.evidence.request import SAMPLE_ITEMS
from skoopctl.evidence.rounds import RECORD, STATUSES, Round


def hello() -> bytes:
    """Return the first frame."""
    return _frame(FrameKind.HELLO, {"items": list(SAMPLE_ITEMS)}, b"")


def end(rounds: int) -> bytes:
    """Return the last frame."""
    return _frame(FrameKind.END, {"rounds": rounds}, b"")


def round_frame(round_: Round) -> bytes:
    """Return one round's frame."""
    names = ("number", "wall_ns", "mono_ns", "took_ms", "cpu_ms", "rss_kib", "skipped")
    meta = {name: getattr(round_, name) for name in names} | {"gone": sorted(round_.gone)}
    return _frame(FrameKind.ROUND, meta, b"".join(_records(round_)))


def _records(round_: Round) -> Iterable[bytes]:
    for change in round_.changes:
        detail = change.detail.encode()
        code, status = SAMPLE_ITEMS.index(change.item), STATUSES.index(change.status)
        head = RECORD.pack(change.netns, code, status, len(detail), len(change.payload))
        yield head + detail + change.payload


def _frame(kind: FrameKind, meta: dict[str, Any], body: bytes) -> bytes:
    described = json.dumps(meta).encode()
    whole = HEADER.pack(SCHEMA, kind, 0, len(described), len(body), len(body)) + described + body
    return MAGIC + whole + hashlib.sha256(whole).digest()
