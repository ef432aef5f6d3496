"""Answers of a node program made by hand, for tests that have no node."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from skoopctl.evidence.frames import HEADER, MAGIC, SCHEMA, FrameKind
from skoopctl.evidence.item import HOST_WIDE, Item, ItemStatus


def frame(kind: int, description: object, body: bytes = b"", **changed: int) -> bytes:
    """Return one frame, with header fields changed at will."""
    meta = description if isinstance(description, bytes) else json.dumps(description).encode()
    fields = {
        "schema": SCHEMA,
        "kind": kind,
        "flags": 0,
        "meta": len(meta),
        "body": len(body),
        "raw": len(body),
    }
    fields |= changed
    content = HEADER.pack(*fields.values()) + meta + body
    return MAGIC + content + hashlib.sha256(content).digest()


def answer(items: Iterable[Item]) -> bytes:
    """Return a whole answer that holds ``items``."""
    frames = [frame(FrameKind.HELLO, {})]
    for item in items:
        row = {"netns": item.netns, "name": item.name, "status": item.status, "detail": item.detail}
        frames.append(frame(FrameKind.ITEM, row | {"ms": item.elapsed_ms}, item.payload))
    frames.append(frame(FrameKind.END, {"items": len(frames) - 1}))
    return b"".join(frames)


def identity(uid: int = 0) -> Item:
    """Return an identity item with what collection looks at."""
    return Item(HOST_WIDE, "identity", ItemStatus.OK, json.dumps({"uid": uid, "root_netns": 7}).encode())
