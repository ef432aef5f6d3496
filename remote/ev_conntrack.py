"""Connections that conntrack begins, changes and ends, as it tells them: one nfnetlink socket in each namespace."""
import errno
import struct
import time
import _socket as sockets

CONNTRACK, EXPECTATION = 1, 2  # NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_CTNETLINK_EXP
CREATED = 0x600  # NLM_F_CREATE | NLM_F_EXCL
CONNTRACK_GROUPS = 1 | 2 | 4 | 8 | 32  # NEW, UPDATE, DESTROY; EXP_NEW, EXP_DESTROY
CT_NEW_KIND, CT_UPDATE_KIND, CT_DESTROY_KIND, EXP_NEW_KIND, EXP_DESTROY_KIND = range(130, 135)
CONNTRACK_QUEUE = 4 << 20
SOL_NETLINK, NO_ENOBUFS = 270, 5
EVENTS_SYSCTL = "/proc/sys/net/netfilter/nf_conntrack_events"
CT_STATES = ("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2")
CT_STATUS = (
    (1, "EXPECTED"), (2, "SEEN_REPLY"), (4, "ASSURED"), (8, "CONFIRMED"), (16, "SRC_NAT"), (32, "DST_NAT"), (512, "DYING"),
    (1024, "FIXED_TIMEOUT"), (8192, "HELPER"), (16384, "OFFLOAD"), (32768, "HW_OFFLOAD"),
)
CT_GET_STATS = 1 << 8 | 5


class ConntrackProbe(SourceProbe):
    """The sockets that conntrack tells its events to."""

    def __init__(self, asked, spaces):
        SourceProbe.__init__(self, asked, spaces)
        if not Modules().is_asked_freely("nf_conntrack_netlink"):
            raise Outcome("absent", "module nf_conntrack_netlink is not loaded, and is not loaded by looking")
        self.overruns = 0

    def wants(self, inode):
        """Return whether a namespace is the host's, or was named."""
        return bool(self.spaces.wanted) or inode == self.spaces.root

    def open(self, _):
        """Return a socket that has joined conntrack's groups in the current namespace."""
        switch = small_file(EVENTS_SYSCTL)
        if not switch:
            raise Outcome("absent", "no %s: this kernel tells no events of conntrack" % EVENTS_SYSCTL)
        if switch == "0":
            raise Outcome("absent", "nf_conntrack_events is 0: conntrack's events are switched off here")
        answers_conntrack()
        made = sockets.socket(16, 3 | sockets.SOCK_CLOEXEC, NETLINK_NETFILTER)  # AF_NETLINK, SOCK_RAW
        widen(made, CONNTRACK_QUEUE)
        if tells_drops(made):
            # What finds no room is counted by the socket. Without this, the first of it would stop the others too.
            made.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
        made.setblocking(False)
        made.bind((0, CONNTRACK_GROUPS))
        return [made]

    def read(self, inode, made):
        """Take the messages of one socket; return whether there are no more."""
        for _ in range(READS_A_TURN):
            try:
                size = made.recv_into(BUFFER)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    self.overruns += 1
                    continue
                return True
            now_ns = int(time.monotonic() * 1e9)
            self.messages(inode, bytes(BUFFER[:size]), now_ns)
        return False

    def messages(self, inode, data, now_ns):
        """Count and tell the messages of one datagram."""
        offset = 0
        while offset + 20 <= len(data):
            length, kind, flags, _, _ = HEADER_NL.unpack_from(data, offset)
            row = event_row(kind, flags, data[offset + 20:offset + length])
            if row:
                self.count(inode, row["kind"])
                row.update(mono_ns=now_ns, netns=inode)
                self.tell(row)
            offset += max(16, (length + 3) & ~3)

    def lost(self):
        """Return how many messages found no room; where the kernel does not count them, how often there were any."""
        return SourceProbe.lost(self) + self.overruns


def answers_conntrack():
    """Ask ctnetlink for its counters: where a kernel was built without it, groups can be joined and say nothing."""
    netlink = Netlink(NETLINK_NETFILTER, 2.0)
    try:
        netlink.request(CT_GET_STATS, 0, b"\0" * 4)
        data = next(netlink.datagrams())
        length, kind, _, _, _ = HEADER_NL.unpack_from(data)
        if kind == ERROR:
            fail_on_error(data, 0, length, "conntrack by netlink")
    finally:
        netlink.close()


def tells_drops(made):
    """Return whether a socket tells how much it lost (4.12)."""
    try:
        return len(made.getsockopt(1, MEMINFO, MEMINFO_BYTES)) == MEMINFO_BYTES
    except OSError:
        return False


def event_row(kind, flags, data):
    """Return one message as a row, or None when it is none of ours or is damaged."""
    begins, ends = kind & 255 == 0, kind & 255 == 2
    try:
        if kind >> 8 == CONNTRACK and (begins or ends):
            row = connection_row(attributes(data, 0))
            row["kind"] = CT_DESTROY_KIND if ends else CT_NEW_KIND if flags & CREATED else CT_UPDATE_KIND
            return row
        if kind >> 8 == EXPECTATION and (begins or ends):
            row = expectation_row(attributes(data, 0))
            row["kind"] = EXP_DESTROY_KIND if ends else EXP_NEW_KIND
            return row
    except (struct.error, IndexError, KeyError, ValueError, OSError):
        pass
    return None


def connection_row(found):
    """Return a connection: its first direction as ends, and what else conntrack tells (CTA_*)."""
    row, details = ends_row(found[1])
    if 2 in found:
        reply, more = ends_row(found[2])
        details.update(("reply_" + name, value) for name, value in more.items() if name != "zone")
        details.update(("reply_" + name, reply[name]) for name in ("source", "source_port", "destination", "destination_port") if name in reply)
    if 3 in found:
        bits, = struct.unpack(">I", found[3])
        details["status"] = ",".join(name for bit, name in CT_STATUS if bits & bit)
    state = attributes(attributes(found.get(4, b""), 0).get(1, b""), 0).get(1)
    if state:
        details["state"] = CT_STATES[state[0]] if state[0] < len(CT_STATES) else str(state[0])
    for number, name, form in ((7, "timeout_s", ">I"), (8, "mark", ">I"), (12, "id", ">I"), (18, "zone", ">H")):
        if number in found:
            details[name], = struct.unpack(form, found[number])
    for number, prefix in ((9, ""), (10, "reply_")):
        counters = attributes(found.get(number, b""), 0)
        for each, name in ((1, "packets"), (2, "bytes")):
            if each in counters:
                details[prefix + name], = struct.unpack(">Q", counters[each])
    row["details"] = details
    return row


def expectation_row(found):
    """Return a connection that a helper expects, and the one that it belongs to (CTA_EXPECT_*)."""
    row, details = ends_row(found[2])
    if 1 in found:
        master, _ = ends_row(found[1])
        details.update(("master_" + name, master[name]) for name in ("source", "source_port", "destination", "destination_port") if name in master)
    for number, name, form in ((4, "timeout_s", ">I"), (5, "id", ">I"), (7, "zone", ">H")):
        if number in found:
            details[name], = struct.unpack(form, found[number])
    if 6 in found:
        details["helper"] = found[6].rstrip(b"\0").decode("ascii", "replace")
    row["details"] = details
    return row


def ends_row(raw_tuple):
    """Return (ends, details) of a tuple: addresses and ports, or what ICMP has in their place (CTA_TUPLE_*)."""
    parts = attributes(raw_tuple, 0)
    addresses, protocol = attributes(parts[1], 0), attributes(parts[2], 0)
    source, destination = (addresses.get(1) or addresses[3]), (addresses.get(2) or addresses[4])
    row = {"source": address_of(source), "destination": address_of(destination), "protocol": protocol[1][0]}
    details = {}
    for number, name in ((2, "source_port"), (3, "destination_port")):
        if number in protocol:
            row[name], = struct.unpack(">H", protocol[number])
    for numbers, name in (((4, 7), "icmp_id"), ((5, 8), "icmp_type"), ((6, 9), "icmp_code")):
        for number in numbers:
            if number in protocol:
                details[name] = int.from_bytes(protocol[number], "big")
    if 3 in parts:
        details["zone"], = struct.unpack(">H", parts[3])
    return row, details


SOURCE_CLASSES.update(conntrack=ConntrackProbe)
