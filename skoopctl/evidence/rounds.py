"""What a node says over and over: rounds, each with what has changed since the round before.

The stream is frames as in `skoopctl.evidence.frames`: a hello with the names of the items, then one frame a round,
then an end frame if a number of rounds was asked for. A round's body is records: a head, a detail, a payload. The
head's status may say that the payload is lines that differ from the last one; what the reader gives is always the
whole. The writer is ``remote/rounds.py``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from skoopctl.errors import EvidenceError
from skoopctl.evidence.arriving import Arriving
from skoopctl.evidence.frames import BrokenAnswerError, Frame, FrameKind
from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.request import SAMPLE_ITEMS
from skoopctl.evidence.untrusted import printable

HOST = 0
"""The `Change.netns` of items that belong to the host and to no namespace."""


@dataclass(frozen=True, slots=True)
class Change:
    """One item of one namespace that is not as it was in the round before, or is there for the first time."""

    netns: int
    """The namespace's inode, or `HOST`."""
    item: str
    status: ItemStatus
    detail: str
    payload: bytes
    """The whole item as it is now."""


@dataclass(frozen=True, slots=True)
class Round:
    """Everything that one round of a node brought. What it does not mention is as it was."""

    number: int
    """From 1 on; 1 holds everything, and what was known of the node before is void."""
    wall_ns: int
    """The node's wall clock at the round's beginning, since 1970."""
    mono_ns: int
    """Its monotonic clock: rates are made of this one."""
    took_ms: float
    """How long the node took to read it all."""
    cpu_ms: float
    """The CPU that the node program has used since it began."""
    rss_kib: int
    """The memory that it holds now."""
    skipped: int
    """Rounds that fell out since the one before: the node was late, or nobody took what it had written."""
    wire_bytes: int
    """What came over the connection for this round."""
    changes: tuple[Change, ...]
    gone: frozenset[int] = frozenset()
    """Namespaces that ended since the round before. To be applied before the changes: the kernel gives an inode away
    again at once, so that one which is gone may be among them as another namespace."""


RECORD: Final = struct.Struct(">QBBHI")
"""Namespace's inode, item, status, length of the detail, of the payload."""
LINE: Final = struct.Struct(">HH")
"""Of a difference: the number of the line, and how many bytes at its beginning are as they were."""
STATUSES: Final = tuple(ItemStatus)
"""In the order of their codes."""
DIFFERENCE: Final = 0x80

MOST_RECORDS = 250_000
MOST_KEPT_BYTES = 128 << 20
"""The last payloads of all items of one node."""
MOST_GONE = 100_000

_Key = tuple[int, int]


class RoundReader:
    """Reads what one exec of the node program writes, in pieces of any size.

    The node is not trusted. Kept are the frame that is coming and the last payload of each item, both bounded.
    """

    def __init__(self, host: str) -> None:
        self.ended = False
        """Whether the end frame came: all rounds that were asked for are here."""
        self._host = host
        self._problem = ""
        self._arriving = Arriving()
        self._items: tuple[str, ...] = ()
        self._number = 0
        self._mono_ns = -1
        self._kept: dict[_Key, bytes] = {}
        self._kept_bytes = 0

    def feed(self, data: bytes) -> list[Round]:
        """Take what came and return the rounds that it made whole.

        Raises `EvidenceError` when the stream is broken, at the next call if rounds before the break are to be
        returned, and from then on always.
        """
        rounds: list[Round] = []
        try:
            for frame, size in self._frames(data):
                found = self._take(frame, size)
                if found is not None:
                    rounds.append(found)
                if self.ended:
                    self._arriving.clear()
                    self._kept.clear()
                    break
        except BrokenAnswerError as broken:
            self._problem = str(broken)
            self._arriving.clear()
            self._kept.clear()
            if not rounds:
                raise EvidenceError(
                    f"{self._host}: rounds of the node cannot be read: {self._problem}",
                    hint="connect again",
                ) from None
        return rounds

    def _frames(self, data: bytes) -> Iterator[tuple[Frame, int]]:
        """Yield each frame that is whole, with its size on the wire."""
        if self._problem:
            raise BrokenAnswerError(self._problem)
        if not self.ended:
            yield from self._arriving.frames(data)

    def _take(self, frame: Frame, size: int) -> Round | None:
        """Take one frame in its turn."""
        if frame.kind == FrameKind.HELLO and not self._items:
            self._items = _names(frame.meta.get("items"))
            return None
        if not self._items:
            raise BrokenAnswerError("it does not begin with a hello frame")
        if frame.kind == FrameKind.ROUND:
            return self._round(frame, size)
        if frame.kind != FrameKind.END:
            raise BrokenAnswerError(f"a frame of kind {frame.kind} among rounds")
        if _number(frame.meta, "rounds") != self._number:
            raise BrokenAnswerError(f"the end frame does not count the {self._number} rounds that came")
        self.ended = True
        return None

    def _round(self, frame: Frame, size: int) -> Round:
        meta = frame.meta
        number, mono_ns = _number(meta, "number"), _number(meta, "mono_ns")
        if number != self._number + 1:
            raise BrokenAnswerError(f"round {number} after round {self._number}")
        if mono_ns <= self._mono_ns:
            raise BrokenAnswerError("the monotonic clock does not rise")
        self._number, self._mono_ns = number, mono_ns
        gone = _inodes(meta.get("gone", []))
        for key in [key for key in self._kept if key[0] in gone]:
            self._kept_bytes -= len(self._kept.pop(key))
        return Round(
            number,
            _number(meta, "wall_ns"),
            mono_ns,
            _milliseconds(meta, "took_ms"),
            _milliseconds(meta, "cpu_ms"),
            _number(meta, "rss_kib"),
            _number(meta, "skipped"),
            size,
            tuple(self._changes(frame.body)),
            gone,
        )

    def _changes(self, body: bytes) -> Iterator[Change]:
        seen: set[_Key] = set()
        offset = 0
        while offset < len(body):
            if offset + RECORD.size > len(body):
                raise BrokenAnswerError("a round is cut in a record's head")
            inode, code, status, detail_bytes, payload_bytes = RECORD.unpack_from(body, offset)
            detail_at = offset + RECORD.size
            payload_at = detail_at + detail_bytes
            offset = payload_at + payload_bytes
            if offset > len(body) or code >= len(self._items) or status & ~DIFFERENCE >= len(STATUSES):
                raise BrokenAnswerError("a record of a round is not what it should be")
            key = inode, code
            if key in seen or len(seen) >= MOST_RECORDS:
                raise BrokenAnswerError(
                    f"item {self._items[code]} of namespace {inode} came twice in a round"
                )
            seen.add(key)
            payload = self._keep(key, body[payload_at:offset], differs=bool(status & DIFFERENCE))
            detail = body[detail_at:payload_at].decode("utf-8", "replace")
            yield Change(
                inode,
                self._items[code],
                STATUSES[status & ~DIFFERENCE],
                printable(detail) if detail else "",
                payload,
            )

    def _keep(self, key: _Key, told: bytes, *, differs: bool) -> bytes:
        """Return an item's payload as it is now, and keep it for the next round."""
        before = self._kept.get(key)
        payload = told
        if differs:
            if before is None:
                raise BrokenAnswerError("a difference from what never came")
            payload = _patched(before, told)
        self._kept[key] = payload
        self._kept_bytes += len(payload) - len(before or b"")
        if self._kept_bytes > MOST_KEPT_BYTES or len(self._kept) > MOST_RECORDS:
            raise BrokenAnswerError(f"more than {MOST_KEPT_BYTES} bytes or {MOST_RECORDS} items in all")
        return payload


def _patched(before: bytes, told: bytes) -> bytes:
    """Put the lines that differ in their places."""
    lines = before.split(b"\n")
    offset = 0
    while offset < len(told):
        end = told.find(b"\n", offset + LINE.size)
        if end < 0:
            raise BrokenAnswerError("a difference is cut")
        number, same = LINE.unpack_from(told, offset)
        if number >= len(lines) or same > len(lines[number]):
            raise BrokenAnswerError("a difference from other lines than came")
        lines[number] = lines[number][:same] + told[offset + LINE.size : end]
        offset = end + 1
    return b"\n".join(lines)


def _names(found: Any) -> tuple[str, ...]:
    """Return the items that a hello frame names."""
    if not isinstance(found, list) or not 0 < len(found) <= len(SAMPLE_ITEMS):
        raise BrokenAnswerError("a hello frame without the names of items")
    if any(name not in SAMPLE_ITEMS for name in found) or len(set(found)) != len(found):
        raise BrokenAnswerError("a hello frame with items that there are not")
    return tuple(found)


def _number(meta: dict[str, Any], key: str) -> int:
    value = meta.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise BrokenAnswerError(f"a frame without a proper {key}")
    return value


def _milliseconds(meta: dict[str, Any], key: str) -> float:
    value = meta.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise BrokenAnswerError(f"a frame without a proper {key}")
    return float(value)


def _inodes(found: Any) -> frozenset[int]:
    if not isinstance(found, list) or len(found) > MOST_GONE:
        raise BrokenAnswerError("a round without a proper list of namespaces that ended")
    if any(not isinstance(inode, int) or isinstance(inode, bool) or inode < 0 for inode in found):
        raise BrokenAnswerError("a round without a proper list of namespaces that ended")
    return frozenset(found)
