"""DNS over UDP and TCP by a tap in each namespace: how long answers take, what they say, and queries that get none.

A query is of the namespace that it leaves first. In the host's namespace one that came in just before, from a pod, is
passed over, whatever its addresses have become meanwhile; so is each sight of it behind the first device.
"""
import struct
import time
import _socket as sockets

DNS_ANSWER, DNS_SLOW, DNS_ERROR, DNS_NXDOMAIN, DNS_TIMEOUT = range(110, 115)
DNS_PORT, OVER_TCP, OVER_UDP = 53, 6, 17
SNAP = 512  # bytes of a packet; a name has 255 at most
OUTGOING, LOOPBACK = 4, 772  # PACKET_OUTGOING, ARPHRD_LOOPBACK
ETH_ALL = 3
ATTACH_FILTER, TIMESTAMPNS = 26, 35
DNS_QUEUE = 1 << 20
NXDOMAIN, NO_ANSWER = 3, 16
MOST_QUERIES, MOST_CAME_IN = 8192, 4096
FORWARDING_NS = 10 ** 9
DNS_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR", 64: "SVCB", 65: "HTTPS", 255: "ANY"}
HALF, BYTE, HALF_AT_X, HEADER_TO_X, EQUALS, ANY_OF, GIVE = 0x28, 0x30, 0x48, 0xB1, 0x15, 0x45, 0x06
# Classic BPF on a packet from its network header on: IPv4 without a fragment's offset, or IPv6 without extension
# headers, and in it UDP or TCP from or to port 53. Rows: operation, how far to jump if so and if not, number.
DNS_FILTER = (
    (HALF, 0, 0, 0xFFFFF000),  # what the link says the packet is
    (EQUALS, 0, 10, 0x0800),
    (BYTE, 0, 0, 9),
    (EQUALS, 1, 0, OVER_UDP),
    (EQUALS, 0, 16, OVER_TCP),
    (HALF, 0, 0, 6),
    (ANY_OF, 14, 0, 0x1FFF),
    (HEADER_TO_X, 0, 0, 0),
    (HALF_AT_X, 0, 0, 0),
    (EQUALS, 10, 0, DNS_PORT),
    (HALF_AT_X, 0, 0, 2),
    (EQUALS, 8, 9, DNS_PORT),
    (EQUALS, 0, 8, 0x86DD),
    (BYTE, 0, 0, 6),
    (EQUALS, 1, 0, OVER_UDP),
    (EQUALS, 0, 5, OVER_TCP),
    (HALF, 0, 0, 40),
    (EQUALS, 2, 0, DNS_PORT),
    (HALF, 0, 0, 42),
    (EQUALS, 0, 1, DNS_PORT),
    (GIVE, 0, 0, SNAP),
    (GIVE, 0, 0, 0),
)


class DnsProbe(SourceProbe):
    """The taps, and the queries that wait for an answer."""

    def __init__(self, asked, spaces):
        SourceProbe.__init__(self, asked, spaces)
        # A packet socket could load its module.
        if not kind_of("/proc/self/net/packet"):
            raise Outcome("absent", "no packet sockets: module af_packet is not loaded")
        self.slow_ns = asked["settings"]["slow_us"] * 1000
        self.timeout_ns = asked["settings"]["timeout_us"] * 1000
        self.waiting = {}  # (inode, client, port, server, port, protocol, id): Query; those that were seen last are last
        self.tcp = DnsStreams()
        self.came_in = {}  # (id, question): when a query was seen to come into the host's namespace
        self.slots = [0] * SLOTS
        self.sum_ns = 0

    def open(self, inode):
        """Return a tap in the current namespace. It does not change what devices let through (no promiscuous mode)."""
        made = sockets.socket(17, 2 | sockets.SOCK_CLOEXEC, sockets.htons(ETH_ALL))  # AF_PACKET, SOCK_DGRAM
        code = bytearray(b"".join(struct.pack("=HBBI", *row) for row in DNS_FILTER))
        made.setsockopt(1, ATTACH_FILTER, struct.pack("=H6xQ", len(DNS_FILTER), Loader().address(code)))
        widen(made, DNS_QUEUE)
        made.setsockopt(1, TIMESTAMPNS, 1)
        made.setblocking(False)
        try:
            while made.recv(1):
                pass  # what came before there was a filter
        except OSError:
            pass
        return [made]

    def read(self, inode, made):
        """Take the packets of one tap; return whether there are no more."""
        offset_ns = int((time.time() - time.monotonic()) * 1e9)
        for _ in range(READS_A_TURN):
            try:
                data, notes, _, (device, _, way, hardware, _) = made.recvmsg(SNAP, 64)
            except OSError:
                return True
            try:
                packet = dns_packet(data)
            except (IndexError, struct.error):
                continue
            seconds, nanoseconds = struct.unpack("=qq", notes[0][2]) if notes else (0, int(time.time() * 1e9))
            if hardware == LOOPBACK and way != OUTGOING:
                continue  # seen when it left
            self.packet(inode, packet, seconds * 10 ** 9 + nanoseconds - offset_ns, device, way == OUTGOING, hardware == LOOPBACK)
        return False

    def packet(self, inode, packet, now_ns, device, leaves, stays):
        """Take one packet; ``stays`` on the node, so that it leaves and comes at once."""
        ends, protocol, content = packet
        if protocol == OVER_UDP:
            messages = [content] if len(content) >= DNS_HEADER else []
        else:
            messages = self.tcp.segment((inode,) + ends, content, now_ns)
        for message in messages:
            self.message(inode, ends, protocol, message, now_ns, device, leaves, stays)

    def message(self, inode, ends, protocol, message, now_ns, device, leaves, stays):
        """Take one query or answer."""
        source, source_port, destination, destination_port = ends
        number, flags = struct.unpack_from(">HH", message)
        if flags & 0x8000:
            if source_port == DNS_PORT and (stays or not leaves):
                self.answer((inode, destination, destination_port, source, source_port, protocol, number), flags, now_ns)
            return
        if destination_port != DNS_PORT or flags & 0x7800:
            return  # an opcode other than QUERY
        name, kind = question(message)
        if inode == self.spaces.root and not stays:
            if not leaves:
                kept_last(self.came_in, (number, kind, name), now_ns, MOST_CAME_IN)
                return
            if now_ns - self.came_in.get((number, kind, name), -FORWARDING_NS) < FORWARDING_NS:
                return
        if leaves:
            self.query((inode, source, source_port, destination, destination_port, protocol, number), Query(now_ns, device, name, kind))

    def query(self, key, query):
        """Keep a query until its answer comes. It may be sent again, and be seen on more than one device."""
        before = self.waiting.get(key)
        if before:
            if before.device != query.device:
                return
            del self.waiting[key]
            query.first_ns, query.tries = before.first_ns, before.tries + 1
        elif len(self.waiting) >= MOST_QUERIES:
            del self.waiting[next(iter(self.waiting))]
            self.uncounted += 1
        self.waiting[key] = query

    def answer(self, key, flags, now_ns):
        """Take the answer to a query that waits."""
        query = self.waiting.pop(key, None)
        if query is None:
            return
        latency_ns = max(0, now_ns - query.first_ns)
        self.slots[slot_of(latency_ns)] += 1
        self.sum_ns += latency_ns
        code = flags & 15
        kind = DNS_NXDOMAIN if code == NXDOMAIN else DNS_ERROR if code else DNS_SLOW if latency_ns >= self.slow_ns else DNS_ANSWER
        self.add(key, query, kind, code, now_ns, latency_ns, {"truncated": 1} if flags & 0x200 else {})

    def leave(self, inode):
        """Close the tap; queries that wait there are forgotten."""
        SourceProbe.leave(self, inode)
        self.tcp.leave(inode)
        self.waiting = dict((key, query) for key, query in self.waiting.items() if key[0] != inode)

    def pass_time(self, behind_ns):
        """Tell queries that got no answer in time."""
        now_ns = int(time.monotonic() * 1e9)
        while self.waiting:
            key = next(iter(self.waiting))
            if now_ns - self.waiting[key].last_ns < self.timeout_ns + behind_ns:
                return
            query = self.waiting.pop(key)
            inode, client, port, server, server_port, protocol, _ = key
            if protocol == OVER_TCP and self.tcp.may_have_said((inode, server, server_port, client, port), query.first_ns):
                self.uncounted += 1
                continue
            self.add(key, query, DNS_TIMEOUT, NO_ANSWER, now_ns, now_ns - query.first_ns, {})

    def add(self, key, query, kind, code, now_ns, latency_ns, details):
        """Count what became of a query, and tell what is not as it should be."""
        inode, client, port, server, server_port, protocol, _ = key
        self.count(inode, kind, code)
        family = 4 if len(client) == 4 else 6
        self.count_flow(FLOW_KEY.pack(inode, kind, family, protocol, 0, server_port, client.ljust(16, b"\0"), server.ljust(16, b"\0")))
        if kind == DNS_ANSWER:
            return
        details.update(name=query.name, type=DNS_TYPES.get(query.kind, "TYPE%d" % query.kind), tries=query.tries)
        if code != NO_ANSWER:
            details["rcode"] = self.asked["words"][code]
        self.tell({
            "kind": kind, "mono_ns": now_ns, "netns": inode, "protocol": protocol, "reason": code, "latency_ns": latency_ns,
            "source": address_of(client), "source_port": port, "destination": address_of(server), "destination_port": server_port,
            "details": details,
        })

    def latencies(self):
        """Return how long answers took, whatever they said."""
        return [self.slots + [self.sum_ns]]


class Query:
    """A query that waits for its answer: when it was sent first and last, how often, through which device."""

    __slots__ = ("first_ns", "last_ns", "device", "tries", "name", "kind")

    def __init__(self, now_ns, device, name, kind):
        self.first_ns = self.last_ns = now_ns
        self.device, self.name, self.kind = device, name, kind
        self.tries = 1


def dns_packet(data):
    """Return both ends, protocol and content of a packet; IndexError or struct.error when it is cut.

    The content is UDP's message, or of TCP the flags, the sequence number, what was caught of the data, and its length.
    """
    if data[0] >> 4 == 4:
        start, source, destination, protocol = (data[0] & 15) * 4, data[12:16], data[16:20], data[9]
        length = struct.unpack_from(">H", data, 2)[0]
    else:
        start, source, destination, protocol = 40, data[8:24], data[24:40], data[6]
        length = 40 + struct.unpack_from(">H", data, 4)[0]
    source_port, destination_port = struct.unpack_from(">HH", data, start)
    ends = source, source_port, destination, destination_port
    if protocol == OVER_UDP:
        return ends, protocol, data[start + 8:]
    sequence, at = struct.unpack_from(">I", data, start + 4)[0], start + (data[start + 12] >> 4) * 4
    return ends, protocol, (data[start + 13], sequence, data[at:length], max(0, length - at))


def question(message):
    """Return the name and the type that a message asks for; nothing and 0 when it does not ask for one thing.

    Names are bytes: what is no printable ASCII is written as its number (RFC 1035, 5.1). One without labels is ``.``.
    """
    labels = []
    at = 12
    try:
        if message[4:6] != b"\0\1":
            return "", 0
        while message[at]:
            if message[at] > 63 or at > 12 + 255:
                return "", 0
            label = message[at + 1:at + 1 + message[at]]
            labels.append("".join(chr(byte) if 32 < byte < 127 and byte not in b".\\" else "\\%03d" % byte for byte in label))
            at += 1 + message[at]
        return ".".join(labels) or ".", struct.unpack_from(">H", message, at + 1)[0]
    except (IndexError, struct.error):
        return "", 0


SOURCE_CLASSES.update(dns=DnsProbe)
