"""Bytes and packets of TCP connections, as their sockets count them: snapshots, and the last word of each that ends.

Nothing is attached to the packets' way. The kernel tells the end of a socket (SKNLGRP_INET_TCP_DESTROY, Linux 4.3);
where it does not, what came after the last snapshot is not seen.
"""
import errno
import struct
import time
import _socket as sockets

NETLINK_DIAG, GETSOCK = 4, 18  # NETLINK_SOCK_DIAG; TCPDIAG_GETSOCK asks for both families at once
FLOW_SENT, FLOW_RECEIVED = 120, 121
TCP_NUMBER = 6
DESTROY_GROUPS = 1 | 4  # SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY
FLOW_QUEUE = 1 << 20
INFO = 2  # INET_DIAG_INFO
# All states but TIME_WAIT, CLOSE, LISTEN and NEW_SYN_RECV, which have no tcp_info of a connection.
WITH_INFO = 0xFFF & ~(1 << 6 | 1 << 7 | 1 << 10)
FIN_CAME = (8, 9, 11)  # CLOSE_WAIT, LAST_ACK, CLOSING: the peer's FIN counts as a byte
ASK_INFO = struct.pack("=BBBB", 0, 0, 0, 1 << INFO - 1) + b"\0" * 48 + struct.pack("=II", WITH_INFO, 0)
DIAG_HEAD = struct.Struct("=BBBB4s16s16sIQ")  # of inet_diag_msg: family, state, timer, retransmits, ports, ends, device, cookie
DIAG_BYTES = 72
RTT_AT, RETRANSMITS_AT, ACKED_AT, SEGMENTS_AT, SENT_AT = 68, 100, 120, 136, 200  # struct tcp_info
MOST_CONNECTIONS, MOST_ENDED, MOST_TOLD = 65536, 16384, 8192
SNAPSHOT_S = 5.0
ENDED_S = 3600.0


class FlowProbe(SourceProbe):
    """The sockets that tell of ends, and what connections had at the beginning and have now."""

    def __init__(self, asked, spaces):
        SourceProbe.__init__(self, asked, spaces)
        if not Modules().is_asked_freely("tcp_diag"):
            raise Outcome("absent", "module tcp_diag is not loaded, and is not loaded by looking")
        self.asking = {}  # inode: Netlink
        self.live = {}  # (inode, cookie): Connection
        self.ended = {}  # key of a flow: sums of connections that have ended
        self.ended_at = {}
        self.full = self.untold = 0

    def open(self, inode):
        """Return a socket that is told of ends in the current namespace, and take the first snapshot."""
        made = sockets.socket(16, 3 | sockets.SOCK_CLOEXEC, NETLINK_DIAG)  # AF_NETLINK, SOCK_RAW
        widen(made, FLOW_QUEUE)
        made.setblocking(False)
        made.bind((0, DESTROY_GROUPS))
        self.asking[inode] = Netlink(NETLINK_DIAG, SNAPSHOT_S)
        self.snapshot(inode, True)
        self.drain(made)  # ends before the first snapshot
        return [made]

    def drain(self, made):
        """Throw away what a socket was told."""
        try:
            while made.recv_into(BUFFER):
                pass
        except OSError:
            pass

    def leave(self, inode):
        """Take the last snapshot of a namespace, and close its sockets."""
        if inode in self.asking:
            self.look(inode)
            self.asking.pop(inode).close()
        SourceProbe.leave(self, inode)
        for key in [key for key in self.live if key[0] == inode]:
            self.end(self.live.pop(key))

    def look(self, inode):
        """Take a snapshot; what cannot be read is told with the counts."""
        try:
            self.snapshot(inode, False)
        except (Outcome, OSError):
            self.uncounted += 1

    def read(self, inode, made):
        """Take what one socket was told of ends; return whether there is no more."""
        for _ in range(READS_A_TURN):
            try:
                size = made.recv_into(BUFFER)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                return True
            for _, data in nl_messages(bytes(BUFFER[:size])):
                self.sight(inode, data, False, True)
        return False

    def snapshot(self, inode, first):
        """Read all connections of a namespace; those that were there and are no more have ended."""
        netlink = self.asking[inode]
        now = time.monotonic()
        for _, data in netlink.messages(GETSOCK, DUMP, ASK_INFO, "sock_diag"):
            self.sight(inode, data, first, False)
        for key, each in list(self.live.items()):
            if key[0] == inode and each.seen < now:
                # Its end may still be on its way to us: it is given up the second time.
                each.missed += 1
                if each.missed > 1:
                    self.end(self.live.pop(key))

    def sight(self, inode, data, first, ends):
        """Take one connection as the kernel shows it: at the first snapshot, later, or at its end."""
        if len(data) < DIAG_BYTES:
            return
        family, state, _, _, ports, source, destination, _, cookie = DIAG_HEAD.unpack_from(data)
        numbers = tcp_numbers(attributes(data, DIAG_BYTES).get(INFO, b""), state)
        if numbers is None:
            return
        each = self.live.get((inode, cookie))
        if each is None:
            if not ends and len(self.live) >= MOST_CONNECTIONS:
                self.full += 1
                return
            each = Connection(inode, family, ports, source, destination, numbers if first else (0,) * 6)
            self.live[inode, cookie] = each
        # A socket that resets its connection forgets its numbers.
        each.seen, each.missed, each.numbers = time.monotonic(), 0, tuple(map(max, numbers, each.numbers)) if ends else numbers
        if ends:
            self.end(self.live.pop((inode, cookie)))

    def end(self, each):
        """Keep what a connection had when it ended."""
        for key in add_flow(self.ended, each):
            self.ended_at[key] = time.monotonic()
        if len(self.ended) > MOST_ENDED:
            order = sorted(self.ended, key=lambda key: self.ended[key][1])
            for key in order[:MOST_ENDED // 2]:
                self.uncounted += self.ended.pop(key)[0]
                del self.ended_at[key]

    def counts(self):
        """Return what flows have grown by since the beginning, of each the sums, the largest first."""
        if not self.detached:
            for inode in list(self.asking):
                self.look(inode)
        found = SourceProbe.counts(self)
        found["health"]["uncounted"] += self.full + self.untold
        now = time.monotonic()
        for key in [key for key, at in self.ended_at.items() if now - at > ENDED_S]:
            del self.ended[key], self.ended_at[key]
        return found

    def flow_rows(self):
        """Return the flows with most bytes: connections, bytes, packets, retransmits, round trip."""
        sums = dict((key, list(each)) for key, each in self.ended.items())
        for each in self.live.values():
            add_flow(sums, each)
        order = sorted(sums, key=lambda key: sums[key][1], reverse=True)
        self.untold = max(0, len(order) - MOST_TOLD)
        return [[bytes_to_hex(key)] + sums[key] for key in order[:MOST_TOLD]]


class Connection:
    """One connection: its ends, and its numbers when it was first seen and last."""

    __slots__ = ("keys", "first", "numbers", "seen", "missed")

    def __init__(self, inode, family, ports, source, destination, first):
        near, far = struct.unpack(">HH", ports)
        number = 6
        if family == 2 or source[:12] == b"\0" * 10 + b"\xff\xff":
            number = 4
            if family != 2:
                source, destination = source[12:], destination[12:]
            source, destination = source[:4].ljust(16, b"\0"), destination[:4].ljust(16, b"\0")
        self.keys = (
            FLOW_KEY.pack(inode, FLOW_SENT, number, TCP_NUMBER, near, far, source, destination),
            FLOW_KEY.pack(inode, FLOW_RECEIVED, number, TCP_NUMBER, far, near, destination, source),
        )
        self.first = self.numbers = first
        self.missed = 0


def add_flow(sums, each):
    """Add what a connection has grown by to the sums of its two directions, where there is any; return those."""
    added = []
    sent, out, received, come, again, rtt_us = (max(0, now - before) for now, before in zip(each.numbers, each.first))
    for key, size, packets, more in ((each.keys[0], sent, out, again), (each.keys[1], received, come, 0)):
        if size or packets:
            row = sums.setdefault(key, [0, 0, 0, 0, 0])
            row[0] += 1
            row[1] += size
            row[2] += packets
            row[3] += more
            row[4] = each.numbers[5]
            added.append(key)
    return added


def tcp_numbers(info, state):
    """Return bytes and segments sent, bytes and segments received, retransmits, round trip in us; None without them.

    Bytes are of payload, each once: what was sent again is taken off. Before 4.19 those that were acknowledged stand
    for those that were sent; SYN and FIN may be among them.
    """
    if len(info) < SEGMENTS_AT + 8:
        return None
    rtt_us, = struct.unpack_from("=I", info, RTT_AT)
    again, = struct.unpack_from("=I", info, RETRANSMITS_AT)
    acked, received = struct.unpack_from("=QQ", info, ACKED_AT)
    out, come = struct.unpack_from("=II", info, SEGMENTS_AT)
    sent = acked
    if len(info) >= SENT_AT + 16:
        all_sent, sent_again = struct.unpack_from("=QQ", info, SENT_AT)
        sent = all_sent - sent_again
    return sent, out, received - (state in FIN_CAME and received > 0), come, again, rtt_us


SOURCE_CLASSES.update(flow=FlowProbe)
