"""The wire: frames of a node's answer, decoded without trusting the node.

A frame is ``MAGIC``, a fixed header, meta (JSON), a body (raw or zlib) and the SHA-256 of header, meta and
body. The answer is a hello frame, item frames, and an end frame with the number of items. Bytes before the
first magic are a login shell's or sudo's chatter and are skipped; after it nothing is skipped: the first
frame that is not whole ends the answer, what came before is kept, and the evidence says that it is not
complete.

The writer is ``remote/frames.py``.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from sys import intern
from typing import Any

from skoopctl.evidence.item import HostEvidence, Item, ItemStatus
from skoopctl.evidence.untrusted import parse_object, printable

MAGIC = b"\x89SKP\r\n\x1a\n"
"""Like PNG's: not text, and broken by anything that translates line ends."""

SCHEMA = 1
HEADER = struct.Struct(">BBHIII")
DIGEST_BYTES = 32
FLAG_ZLIB = 1

MAX_META_BYTES = 64 << 10
MAX_ITEM_BYTES = 64 << 20
MAX_ANSWER_BYTES = 512 << 20
MAX_ITEMS = 250_000
MAX_NETNS = 2**64 - 1

_STATUSES = {str(status): status for status in ItemStatus}
_ITEM_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_USUAL_META = re.compile(
    rb'\{"netns":(\d{1,19}),"name":"([a-z0-9][a-z0-9_-]{0,39})","status":"([a-z]+)",'
    rb'"detail":"([ !#-\[\]-~]{0,300})","ms":(\d{1,9}\.\d{3})\}'
)
"""An item's description as remote/frames.py writes it, without anything to unescape; any other is read as JSON."""


class FrameKind(IntEnum):
    """What a frame says."""

    HELLO = 1
    ITEM = 2
    END = 3
    ROUND = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame, its body unpacked."""

    kind: int
    description: bytes
    body: bytes
    packed: bytes = b""
    """The body as it travelled, when that was a zlib stream."""

    @property
    def meta(self) -> dict[str, Any]:
        """What the frame says of itself. Raises `BrokenAnswerError` when that is no JSON object."""
        try:
            return parse_object(self.description, max_bytes=MAX_META_BYTES)
        except ValueError as error:
            raise BrokenAnswerError(
                f"a frame's description cannot be read: {printable(str(error), 80)}"
            ) from None


class BrokenAnswerError(Exception):
    """The rest of the answer cannot be used; the text is for people."""


Seen = dict[bytes, tuple[bytes, bytes]]
"""Payloads that came before, from any host of a run, each with its packed form.

What is equal is kept once: pods resemble each other.
"""


def decode_answer(host: str, data: bytes, seen: Seen | None = None) -> HostEvidence:
    """Decode what a node wrote to stdout. Never raises: what is wrong is named in ``problem``."""
    items: dict[tuple[int, str], Item] = {}
    try:
        _collect_items(data, items, {} if seen is None else seen)
    except BrokenAnswerError as broken:
        return HostEvidence(host, items, complete=False, problem=str(broken))
    return HostEvidence(host, items)


def _collect_items(data: bytes, items: dict[tuple[int, str], Item], seen: Seen) -> None:
    kinds = []
    for frame in _frames(data):
        kinds.append(frame.kind)
        if kinds[0] != FrameKind.HELLO:
            raise BrokenAnswerError("the answer does not begin with a hello frame")
        if frame.kind == FrameKind.END:
            counted = printable(str(frame.meta.get("items")), 20)
            if counted != str(len(items)):
                raise BrokenAnswerError(f"the end frame counts {counted} items, {len(items)} came")
            return
        if frame.kind == FrameKind.ITEM:
            item = _item(frame, seen)
            if (item.netns, item.name) in items:
                raise BrokenAnswerError(f"item {item.name} of namespace {item.netns} came twice")
            if len(items) >= MAX_ITEMS:
                raise BrokenAnswerError(f"more than {MAX_ITEMS} items")
            items[item.netns, item.name] = item
    raise BrokenAnswerError("the answer ends without its end frame")


def _frames(data: bytes) -> Iterator[Frame]:
    """Yield whole frames from the first magic on."""
    offset = data.find(MAGIC)
    if offset < 0:
        raise BrokenAnswerError("no answer of the node program in the output")
    unpacked = 0
    while offset < len(data):
        if not data.startswith(MAGIC, offset):
            raise BrokenAnswerError(f"foreign bytes at offset {offset} of the answer")
        frame, offset = read_frame(data, offset + len(MAGIC))
        unpacked += len(frame.body)
        if unpacked > MAX_ANSWER_BYTES:
            raise BrokenAnswerError(f"the answer unpacks to more than {MAX_ANSWER_BYTES} bytes")
        yield frame


def _claim(data: bytes | bytearray, start: int) -> tuple[int, int, int, int, int]:
    """Return what the header at ``start`` says: kind, flags, bytes of meta, of the body, and of it unpacked."""
    schema, kind, flags, meta_bytes, body_bytes, raw_bytes = HEADER.unpack_from(data, start)
    if schema != SCHEMA:
        raise BrokenAnswerError(f"frame schema {schema}, this skoopctl reads {SCHEMA}")
    if meta_bytes > MAX_META_BYTES or raw_bytes > MAX_ITEM_BYTES or body_bytes > MAX_ITEM_BYTES + (1 << 20):
        raise BrokenAnswerError("a frame claims to be larger than any that is expected")
    return kind, flags, meta_bytes, body_bytes, raw_bytes


def whole_bytes(data: bytes | bytearray) -> int:
    """Return how long the frame is that ``data`` begins with, its magic too; 0 while its header has not come.

    Raises `BrokenAnswerError` for what is no frame, before the rest of it is waited for.
    """
    if not data.startswith(MAGIC[: len(data)]):
        raise BrokenAnswerError("foreign bytes where a frame should begin")
    if len(data) < len(MAGIC) + HEADER.size:
        return 0
    _, _, meta_bytes, body_bytes, _ = _claim(data, len(MAGIC))
    return len(MAGIC) + HEADER.size + meta_bytes + body_bytes + DIGEST_BYTES


def read_frame(data: bytes, start: int) -> tuple[Frame, int]:
    """Return the frame whose header is at ``start``, and the offset behind it."""
    if start + HEADER.size > len(data):
        raise BrokenAnswerError("the answer is cut in a frame's header")
    kind, flags, meta_bytes, body_bytes, raw_bytes = _claim(data, start)
    body_at = start + HEADER.size + meta_bytes
    end = body_at + body_bytes
    if end + DIGEST_BYTES > len(data):
        raise BrokenAnswerError("the answer is cut in the middle of a frame")
    if hashlib.sha256(memoryview(data)[start:end]).digest() != data[end : end + DIGEST_BYTES]:
        raise BrokenAnswerError("a frame's SHA-256 does not match: the answer was damaged on its way")
    description = data[start + HEADER.size : body_at]
    body = data[body_at:end]
    packed = body if flags & FLAG_ZLIB else b""
    return Frame(kind, description, _unpack(body, flags, raw_bytes), packed), end + DIGEST_BYTES


def _unpack(body: bytes, flags: int, raw_bytes: int) -> bytes:
    """Return the body as it was on the node; never more than its header announced."""
    if flags & FLAG_ZLIB:
        unpacker = zlib.decompressobj()
        try:
            body = unpacker.decompress(body, raw_bytes + 1)
        except zlib.error as error:
            raise BrokenAnswerError(f"a frame cannot be unpacked: {error}") from None
        if len(body) == raw_bytes and (not unpacker.eof or unpacker.unused_data):
            raise BrokenAnswerError("a frame's body does not end where it should")
    if len(body) != raw_bytes:
        raise BrokenAnswerError("a frame does not unpack to the size that it claims")
    return body


def _item(frame: Frame, seen: Seen) -> Item:
    """Check an item frame's description."""
    payload, packed = seen.setdefault(frame.body, (frame.body, frame.packed))
    found = _USUAL_META.fullmatch(frame.description)
    if found is not None and (word := found[3].decode()) in _STATUSES:
        detail = intern(found[4].decode())
        name = intern(found[2].decode())
        return Item(int(found[1]), name, _STATUSES[word], payload, detail, float(found[5]), packed)
    return _unusual_item(frame.meta, payload, packed)


def _unusual_item(meta: dict[str, Any], payload: bytes, packed: bytes) -> Item:
    """Check a description that is written in another way, or has something to unescape."""
    netns, name, status, elapsed_ms = (meta.get(key) for key in ("netns", "name", "status", "ms"))
    if not isinstance(netns, int) or isinstance(netns, bool) or not 0 <= netns <= MAX_NETNS:
        raise BrokenAnswerError("an item without a namespace")
    if not isinstance(name, str) or not _ITEM_NAME.fullmatch(name):
        raise BrokenAnswerError("an item without a proper name")
    if not isinstance(status, str) or status not in _STATUSES:
        raise BrokenAnswerError(f"item {name}: status {printable(str(status), 20)} is unknown")
    if not isinstance(elapsed_ms, int | float) or not 0 <= elapsed_ms < 1e9:
        raise BrokenAnswerError(f"item {name}: no time")
    detail = printable(str(meta.get("detail", "")))
    return Item(netns, intern(name), _STATUSES[status], payload, intern(detail), float(elapsed_ms), packed)
