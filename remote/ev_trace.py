"""The kernel's trace buffers, read raw: pages of events (events/header_page), and events by their own format files.

Where a field stands differs between kernels, and is read from ``format`` on this one; so are the names of reasons.
"""
import struct

PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
LENGTH = 0xFFFFF  # of a page's commit; above are flags for events that were missed
TIME_BITS = 27


class Format:
    """One event: its number, where its fields stand, and the words for numbers of one of them."""

    def __init__(self, text):
        self.number, self.fields, self.text = 0, {}, text
        for line in text.split("\n"):
            if line.startswith("ID:"):
                self.number = int(line[3:])
            field, _, rest = line.strip().partition(";")
            if field.startswith("field:"):
                name = field.split()[-1].partition("[")[0].lstrip("*")
                places = dict(part.strip().split(":") for part in rest.split(";") if ":" in part)
                self.fields[name] = (int(places["offset"]), int(places["size"]))

    def words(self, field):
        """Return {number: word} of a field that is printed in words (__print_symbolic)."""
        _, found, rest = self.text.partition("__print_symbolic(REC->%s," % field)
        pairs = [part.partition("}")[0].split(",") for part in rest.partition("})")[0].split("{")[1:]] if found else []
        return dict((int(pair[0]), pair[1].strip().strip('"')) for pair in pairs if len(pair) == 2 and pair[0].strip().isdigit())

    def number_of(self, data, field, absent=0):
        """Return a field that is a number, and ``absent`` where this kernel has none of that name."""
        offset, size = self.fields.get(field, (0, 0))
        return int.from_bytes(data[offset:offset + size], "little") if size else absent

    def bytes_of(self, data, field):
        """Return a field's bytes."""
        offset, size = self.fields.get(field, (0, 0))
        return data[offset:offset + size]


def events_of(page, data_at):
    """Yield (nanoseconds, bytes) of the events on one page (include/linux/ring_buffer.h)."""
    now, commit = struct.unpack_from("=QQ", page)
    at, end = data_at, min(data_at + (commit & LENGTH), len(page))
    while at + 4 <= end:
        head, = struct.unpack_from("=I", page, at)
        kind, delta = head & 31, head >> 5
        at += 4
        if kind == PADDING and not delta:
            return
        more = struct.unpack_from("=I", page, at)[0] if at + 4 <= end else 0
        if kind == TIME_EXTEND:
            now += delta + (more << TIME_BITS)
            at += 4
        elif kind == TIME_STAMP:
            now = delta + (more << TIME_BITS)
            at += 4
        elif kind == PADDING:
            now += delta
            at += more
        else:
            now += delta
            length = kind * 4
            if not kind:
                at += 4
                length = more - 4
            yield now, page[at:at + length]
            at += (length + 3) // 4 * 4


def ends_of(form, data):
    """Return (family, source, destination) of an event of a TCP socket; the fields are network order, as in packets."""
    v6 = form.bytes_of(data, "saddr_v6"), form.bytes_of(data, "daddr_v6")
    mapped = all(each[:12] == bytes(10) + b"\xff\xff" for each in v6)
    if v6[0] and not mapped and form.number_of(data, "family", 10) == 10:
        return 6, v6[0], v6[1]
    return 4, form.bytes_of(data, "saddr"), form.bytes_of(data, "daddr")


def socket_address(raw):
    """Return (family, address, port) of a struct sockaddr."""
    family, = struct.unpack_from("=H", raw)
    port, = struct.unpack_from(">H", raw, 2)
    if family == 10:
        if raw[8:20] == bytes(10) + b"\xff\xff":
            return 4, raw[20:24], port
        return 6, raw[8:24], port
    return (4, raw[4:8], port) if family == 2 else (0, b"", 0)
