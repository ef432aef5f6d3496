"""DNS messages of TCP connections, put together from the segments that a tap sees (RFC 1035, 4.2.2; RFC 7766)."""

MOST_DNS_STREAMS = 4096
DNS_ENOUGH = 12 + 255 + 5  # of a message: its header and one question
DNS_HEADER = 12
TCP_ENDS, TCP_BEGINS = 0x05, 0x02


class DnsStream:
    """One direction of a connection: where it is, what of the next message has come, and how much is passed over."""

    __slots__ = ("head", "next", "skip")

    def __init__(self, sequence):
        self.next, self.skip, self.head = sequence, 0, b""

    def take(self, data, length):
        """Return the messages that ``length`` more bytes bring, of which ``data`` were caught; None when it is lost.

        Of long messages there are the first bytes alone.
        """
        passed = min(self.skip, length)
        self.skip -= passed
        data, length = data[passed:], length - passed
        self.head += data
        missing = length - len(data)
        messages = []
        while len(self.head) >= 2:
            size = self.head[0] << 8 | self.head[1]
            if size < DNS_HEADER:
                return None
            if len(self.head) < 2 + min(size, DNS_ENOUGH):
                break
            messages.append(self.head[2:2 + size])
            self.skip = max(0, 2 + size - len(self.head))
            self.head = self.head[2 + size:]
        if missing > self.skip:
            return None
        self.skip -= missing
        return messages


class DnsStreams:
    """The directions that are followed, and when some were lost; those that were seen last are last."""

    def __init__(self):
        self.streams = {}  # (inode, source, port, destination, port): DnsStream
        self.lost = {}  # the same: when it was last not known where in the direction a segment is

    def segment(self, key, segment, now_ns):
        """Return the messages that a segment brings.

        A direction is followed from its beginning on, or from a segment that is one message.
        """
        flags, sequence, data, length = segment
        if flags & TCP_BEGINS:
            self.follow(key, sequence + 1)
            return []
        messages = self.bytes(key, sequence, data, length, now_ns) if length else []
        if flags & TCP_ENDS:
            self.streams.pop(key, None)
        return messages

    def bytes(self, key, sequence, data, length, now_ns):
        """Return the messages that some bytes of a direction bring."""
        stream = self.streams.get(key)
        ahead = (sequence - stream.next + 0x80000000) % 0x100000000 - 0x80000000 if stream else 1
        if -ahead >= length:
            return []  # seen before: sent again, or on another device
        if ahead > 0:
            if len(data) < 2 + DNS_HEADER or data[0] << 8 | data[1] != length - 2:
                return self.lose(key, now_ns)
            if stream:
                self.lose(key, now_ns)
            stream, ahead = self.follow(key, sequence), 0
        stream.next = (sequence + length) & 0xFFFFFFFF
        messages = stream.take(data[-ahead:], length + ahead)
        return self.lose(key, now_ns) if messages is None else messages

    def follow(self, key, sequence):
        """Begin to follow a direction, and forget the one that was seen least lately when there are too many."""
        return kept_last(self.streams, key, DnsStream(sequence & 0xFFFFFFFF))

    def lose(self, key, now_ns):
        """Follow a direction no more; what was said in it until now may not have been seen."""
        self.streams.pop(key, None)
        kept_last(self.lost, key, now_ns)
        return []

    def may_have_said(self, key, since_ns):
        """Return whether a direction may have had a message since then that was not seen."""
        return self.lost.get(key, -1) >= since_ns

    def leave(self, inode):
        """Forget the connections of a namespace."""
        self.streams, self.lost = (dict((key, value) for key, value in each.items() if key[0] != inode) for each in (self.streams, self.lost))


def kept_last(found, key, value, most=MOST_DNS_STREAMS):
    """Put a value last into a dict of bounded size, and return it."""
    found.pop(key, None)
    found[key] = value
    if len(found) > most:
        del found[next(iter(found))]
    return value
