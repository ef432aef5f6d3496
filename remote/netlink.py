"""Raw netlink dumps: the kernel's tables as the bytes of its own replies."""
import struct
import _socket as sockets

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
REQUEST, DUMP, DUMP_INTR = 1, 0x300, 0x10
ERROR, DONE = 2, 3
HEADER_NL = struct.Struct("=IHHII")  # length, type, flags, sequence, port
HEADER_ATTRIBUTE = struct.Struct("=HH")  # length, type
RETRIES = 4
BUFFER = memoryview(bytearray(1 << 16))  # of all sockets: an answer is taken out before the next question

# Item: (request type, body). rtmsg, fib_rule_hdr, ndmsg and tcmsg are all zero for "everything";
# the link request skips statistics (IFLA_EXT_MASK 29 = RTEXT_FILTER_SKIP_STATS 8).
ROUTE_DUMPS = (
    ("link", 18, b"\0" * 16 + struct.pack("=HHI", 8, 29, 8)),
    ("addr", 22, b"\0" * 8),
    ("route", 26, b"\0" * 12),
    ("rule", 34, b"\0" * 12),
    ("neigh", 30, b"\0" * 12),
    ("neigh-proxy", 30, struct.pack("=BxxxiHBB", 0, 0, 0, 8, 0)),
    ("fdb", 30, struct.pack("=BxxxiHBB", 7, 0, 0, 0, 0)),
    ("qdisc", 38, b"\0" * 20),
    ("nexthop", 106, b"\0" * 8),
)
# The bridges' VLANs: as the link request, for AF_BRIDGE with RTEXT_FILTER_BRVLAN_COMPRESSED.
BRIDGE_VLANS = (18, b"\7" + b"\0" * 15 + struct.pack("=HHI", 8, 29, 12))
GETNSID, NETNSA_NSID, NETNSA_FD = 90, 1, 3
NFT_GETTABLE = 10 << 8 | 1


class Netlink:
    """One netlink socket in the namespace that is current when it is made."""

    def __init__(self, protocol, timeout_s):
        self.protocol = protocol
        self.timeout_s = timeout_s
        self.sequence = 0
        self.open()

    def open(self):
        """Make the socket."""
        self.socket = sockets.socket(sockets.AF_NETLINK, sockets.SOCK_RAW | sockets.SOCK_CLOEXEC, self.protocol)
        self.socket.bind((0, 0))
        self.socket.settimeout(self.timeout_s)

    def close(self):
        """Close the socket."""
        self.socket.close()

    def request(self, kind, flags, body):
        """Send a request."""
        self.sequence += 1
        self.socket.send(HEADER_NL.pack(16 + len(body), kind, REQUEST | flags, self.sequence, 0) + body)

    def datagrams(self):
        """Yield the datagrams that answer the last request."""
        while True:
            try:
                size = self.socket.recv_into(BUFFER)
            except sockets.timeout:
                raise Outcome("timeout", "the kernel did not answer within %g s" % self.timeout_s)
            if HEADER_NL.unpack_from(BUFFER)[3] == self.sequence:
                yield bytes(BUFFER[:size])

    def dump(self, kind, body, cap, what):
        """Return the reply datagrams of a consistent dump, joined."""
        for _ in range(RETRIES):
            payload, consistent = self.dump_once(kind, body, cap, what)
            if consistent:
                return payload
        raise Outcome("truncated", "%s changed while it was read, %d times" % (what, RETRIES), packed(payload, cap))

    def dump_once(self, kind, body, cap, what):
        """Return the datagrams, and whether the kernel says that nothing changed meanwhile."""
        self.request(kind, DUMP, body)
        size = 0
        kept = []
        consistent = True
        for data in self.datagrams():
            size += len(data)
            if size > cap:
                self.close()
                self.open()
                raise Outcome("truncated", "%s: more than %d bytes" % (what, cap), packed(b"".join(kept), cap))
            kept.append(data)
            offset = 0
            while offset + 16 <= len(data):
                length, kind_here, flags, _, _ = HEADER_NL.unpack_from(data, offset)
                if flags & DUMP_INTR:
                    consistent = False
                if kind_here == ERROR or kind_here == DONE:
                    fail_on_error(data, offset, length, what)
                    return b"".join(kept), consistent
                offset += max(16, (length + 3) & ~3)

    def messages(self, kind, flags, body, what):
        """Yield (type, body) of the answers to a request, parsed."""
        self.request(kind, flags, body)
        for data in self.datagrams():
            offset = 0
            while offset + 16 <= len(data):
                length, kind_here, _, _, _ = HEADER_NL.unpack_from(data, offset)
                if kind_here == ERROR or kind_here == DONE:
                    fail_on_error(data, offset, length, what)
                    return
                yield kind_here, data[offset + 16:offset + length]
                offset += max(16, (length + 3) & ~3)
            if not flags & DUMP:
                return


def fail_on_error(data, offset, length, what):
    """Raise the outcome that an ERROR or DONE message carries: a dump may fail in its middle."""
    number = struct.unpack_from("=i", data, offset + 16)[0] if length >= 20 else 0
    if number < 0:
        raise from_errno(-number, what)


def packed(data, cap):
    """Return bytes as a payload; they fit, or their reader has cut them."""
    payload = Payload(cap)
    payload.add(data)
    return payload


def nl_messages(data):
    """Yield (type, body) of the messages in a dump."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, _, _, _ = HEADER_NL.unpack_from(data, offset)
        yield kind, data[offset + 16:offset + length]
        offset += max(16, (length + 3) & ~3)


def attributes(data, offset):
    """Return the netlink attributes behind a fixed header as a dictionary."""
    found = {}
    last = len(data) - 4
    head = HEADER_ATTRIBUTE.unpack_from
    while offset <= last:
        length, kind = head(data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4:offset + length]
        offset += (length + 3) & ~3
    return found


def filters_vlans(links):
    """Tell whether a dump of links has a bridge with vlan_filtering."""
    for kind, data in nl_messages(links) if b"bridge\0" in links else ():
        info = attributes(attributes(data, 16).get(18, b""), 0) if kind == 16 else {}
        if info.get(1) == b"bridge\0" and attributes(info.get(2, b""), 0).get(7) == b"\1":
            return True
    return False


def nsid_of(netlink, descriptor):
    """Return the id by which the current namespace knows another one, or None."""
    body = b"\0" * 4 + struct.pack("=HHI", 8, NETNSA_FD, descriptor)
    for _, data in netlink.messages(GETNSID, 0, body, "RTM_GETNSID"):
        raw = attributes(data, 4).get(NETNSA_NSID)
        number = struct.unpack("=i", raw)[0] if raw else -1
        return number if number >= 0 else None
    return None


def nsids(netlink, others):
    """Return {nsid: inode} for the ``others`` (inode, descriptor) that the current namespace has ids for.

    The kernel lists the ids in use but not what they stand for, so candidates are asked one by one, the
    likeliest first, until every id has its namespace: linear, not quadratic, in the number of pods.
    """
    listed = set()
    for _, data in netlink.messages(GETNSID, DUMP, b"\0" * 4, "RTM_GETNSID"):
        raw = attributes(data, 4).get(NETNSA_NSID)
        if raw:
            listed.add(struct.unpack("=i", raw)[0])
    listed.discard(-1)
    found = {}
    for inode, descriptor in others:
        if len(found) >= len(listed):
            break
        number = nsid_of(netlink, descriptor)
        if number is not None:
            found[number] = inode
    return found


def nft_tables(timeout_s):
    """Return the (family, name) of every nftables table in the current namespace, without any program."""
    netlink = Netlink(NETLINK_NETFILTER, timeout_s)
    try:
        found = []
        for _, data in netlink.messages(NFT_GETTABLE, DUMP, b"\0" * 4, "nftables"):
            name = attributes(data, 4).get(1, b"").rstrip(b"\0").decode("utf-8", "replace")
            found.append((data[0], name))
        return found
    finally:
        netlink.close()
