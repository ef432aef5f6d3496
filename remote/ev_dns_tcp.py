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
    """The directions that are followed; those that were seen last are last."""

    def __init__(self):
        self.streams = {}  # (inode, source, port, destination, port): DnsStream

    def segment(self, key, segment):
        """Return the messages that a segment brings; None when it cannot be told what it is part of.

        A direction is followed from its beginning on, or from a segment that is one message.
        """
        flags, sequence, data, length = segment
        if flags & TCP_BEGINS:
            self.follow(key, sequence + 1)
            return []
        stream = self.streams.get(key)
        if not length:
            messages = []
        else:
            ahead = (sequence - stream.next + 0x80000000) % 0x100000000 - 0x80000000 if stream else 1
            if -ahead >= length:
                return []  # seen before: sent again, or on another device
            if ahead > 0:
                if len(data) < 2 + DNS_HEADER or data[0] << 8 | data[1] != length - 2:
                    self.streams.pop(key, None)
                    return None
                stream, ahead = self.follow(key, sequence), 0
            stream.next = (sequence + length) & 0xFFFFFFFF
            messages = stream.take(data[-ahead:], length + ahead)
            if messages is None:
                del self.streams[key]
        if flags & TCP_ENDS:
            self.streams.pop(key, None)
        return messages

    def follow(self, key, sequence):
        """Begin to follow a direction, and forget the one that was seen least lately when there are too many."""
        self.streams.pop(key, None)
        self.streams[key] = stream = DnsStream(sequence & 0xFFFFFFFF)
        if len(self.streams) > MOST_DNS_STREAMS:
            del self.streams[next(iter(self.streams))]
        return stream

    def leave(self, inode):
        """Forget the connections of a namespace."""
        self.streams = dict((key, stream) for key, stream in self.streams.items() if key[0] != inode)
