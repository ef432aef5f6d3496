"""Rounds on stdout: each says what is not as the round before has left it.

The reader is skoopctl/evidence/rounds.py. The body is records one after the other, packed as a whole: a head
(namespace's inode, item, status, lengths of detail and payload), the detail, the payload. They are sorted by item,
so that what resembles each other stands close together. A payload that has as many lines as the last one and few
that differ is sent as these lines, each without the beginning that it shares with the line in its place.
"""
import struct

ROUND = 4
RECORD = struct.Struct(">QBBHI")  # inode, item, status, length of detail, of payload
LINE = struct.Struct(">HH")  # number of the line, from 0; bytes at its beginning that are as they were
STATUSES = ("ok", "absent", "denied", "timeout", "truncated", "failed")
DIFFERENCE = 0x80  # in the status: the payload is lines that differ
MOST_DETAIL = 300
MOST_LINE = 65535


def packed(data, cap):
    """Return an item as it is, in place of netlink.py's: items are compared here, and packed together."""
    return data


def shared(before, now):
    """Return how many bytes at the beginning of two lines are the same."""
    least, most = 0, min(len(before), len(now), MOST_LINE)
    while least < most:
        middle = (least + most + 1) // 2
        if before[:middle] == now[:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def difference(before, now):
    """Return the lines that differ, or None when there are other lines or it is not worth it."""
    old = before.split(b"\n")
    new = now.split(b"\n")
    if len(old) != len(new) or len(new) > MOST_LINE or len(new) < 2:
        return None
    parts = []
    number = 0
    for line in new:
        if line != old[number]:
            same = shared(old[number], line)
            parts.append(LINE.pack(number, same) + line[same:] + b"\n")
        number += 1
    data = b"".join(parts)
    return data if len(data) < len(now) * 3 // 4 else None


class Rounds:
    """Writes rounds to stdout and remembers what the other side knows."""

    def __init__(self, items, total):
        self.frames = Frames(1, 1 << 62)
        self.codes = {name: code for code, name in enumerate(items)}
        self.total = total
        self.sent = {}  # inode: {code: (status, detail, payload)}
        self.fresh = []

    def hello(self, version):
        """Say which items there will be, in the order of their codes."""
        self.frames.send(HELLO, to_json({"program_version": version, "items": sorted(self.codes, key=self.codes.get)}).encode())

    def item(self, inode, name, status, payload, detail):
        """Take one item as it is now."""
        self.fresh.append((self.codes[name], inode, STATUSES.index(status), detail[:MOST_DETAIL].encode("utf-8", "replace"), payload))

    def body(self, gone):
        """Return what has changed, as the body of a frame; ``gone`` are the namespaces that ended."""
        for inode in gone:
            self.sent.pop(inode, None)
        body = Payload(1 << 62)
        self.fresh.sort(key=lambda record: record[:2])
        for record in self.fresh:
            self.add(body, *record)
        self.fresh = []
        return body

    def add(self, body, code, inode, status, detail, payload):
        """Put one item into the round, unless the other side knows it."""
        known = self.sent.setdefault(inode, {})
        before = known.get(code)
        now = (status, detail, payload)
        if before == now:
            return
        told = payload
        if before and len(before[2]) and len(payload):
            lines = difference(before[2], payload)
            if lines is not None:
                told = lines
                status |= DIFFERENCE
        if body.size + len(told) > self.total:
            detail = b"the round's total size is used up"
            now = (STATUSES.index("truncated"), detail, b"")
            if before == now:
                return
            status, told = now[0], b""
        known[code] = now
        body.add(RECORD.pack(inode, code, status, len(detail), len(told)) + detail + told)
