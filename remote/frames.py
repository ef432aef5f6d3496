"""Frames on stdout: magic, header, meta (JSON), body, SHA-256 of header, meta and body.

The reader is skoopctl/evidence/frames.py. Private modules are imported first because the public ones pull
in `re` and `enum`, which costs a node several milliseconds of CPU.
"""
import posix
import struct
import zlib

try:
    from _sha256 import sha256
except ImportError:
    try:
        from _sha2 import sha256
    except ImportError:
        from hashlib import sha256
try:
    from _json import encode_basestring_ascii as quoted
except ImportError:
    from json import dumps as quoted

MAGIC = b"\x89SKP\r\n\x1a\n"
SCHEMA = 1
HELLO, ITEM, END = 1, 2, 3
FLAG_ZLIB = 1
HEADER = struct.Struct(">BBHIII")  # schema, kind, flags, length of meta, of body, of body unpacked
BUFFERED = 1 << 15
SMALL = 1024  # zlib's state costs more than it saves below this
WINDOW, MEMORY = 13, 5  # a small state: three times as quick to set up, and as good on a few kilobytes


def to_json(value):
    """Write numbers, strings, lists and dictionaries as JSON without importing json."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ",".join(quoted(str(k)) + ":" + to_json(v) for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(to_json(v) for v in value) + "]"
    return repr(value)


class Payload:
    """Raw bytes that are compressed while they arrive, up to a cap; ``seen`` tells whether ``watch`` was in them."""

    def __init__(self, cap, watch=b""):
        self.cap = cap
        self.watch = watch
        self.seen = False
        self.tail = b""
        self.size = 0
        self.parts = []
        self.packer = None

    def add(self, data):
        """Take more bytes; return False when the cap cut them."""
        room = self.cap - self.size
        kept = data[:room] if len(data) > room else data
        self.size += len(kept)
        if self.watch and not self.seen:
            window = self.tail + kept
            self.seen = self.watch in window
            self.tail = window[-len(self.watch):]
        if self.packer is None and self.size >= SMALL:
            self.packer = zlib.compressobj(1, zlib.DEFLATED, WINDOW, MEMORY)
            self.parts = [self.packer.compress(part) for part in self.parts]
        self.parts.append(self.packer.compress(kept) if self.packer else bytes(kept))
        return len(kept) == len(data)

    def finish(self):
        """Return flags and the body as it travels."""
        if self.packer is None:
            return 0, b"".join(self.parts)
        self.parts.append(self.packer.flush())
        return FLAG_ZLIB, b"".join(self.parts)


class Frames:
    """Writes frames to a file descriptor, a buffer at a time, and counts the items."""

    def __init__(self, descriptor, total):
        self.descriptor = descriptor
        self.room = total
        self.items = 0
        self.pending = []
        self.waiting = 0

    def send(self, kind, meta, payload=None):
        """Queue one frame; ``meta`` is JSON in bytes."""
        flags, body = payload.finish() if payload else (0, b"")
        head = HEADER.pack(SCHEMA, kind, flags, len(meta), len(body), payload.size if payload else 0)
        frame = head + meta + body
        self.pending.append(MAGIC + frame + sha256(frame).digest())
        self.waiting += len(self.pending[-1])
        if self.waiting >= BUFFERED:
            self.flush()

    def flush(self):
        """Write everything that waits."""
        data = memoryview(b"".join(self.pending))
        self.pending = []
        self.waiting = 0
        while len(data):
            data = data[posix.write(self.descriptor, data):]

    def item(self, netns, name, status, payload, detail, elapsed_ms):
        """Queue one item; what no longer fits into the total is named, not sent."""
        if payload is not None and payload.size > self.room:
            payload, status, detail = None, "truncated", "the answer's total size is used up"
        if payload is not None:
            self.room -= payload.size
        self.items += 1
        meta = '{"netns":%d,"name":"%s","status":"%s","detail":%s,"ms":%.3f}'
        self.send(ITEM, (meta % (netns, name, status, quoted(detail[:300]), elapsed_ms)).encode("ascii"), payload)
