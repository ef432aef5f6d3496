"""The connections of the current namespace, bounded: a table may hold millions.

A small table is dumped whole. Of a larger one the kernel is asked for the two kinds of entry that can send a new flow
astray: those that DNAT, and those that nobody has answered. Kernels before 5.17 do not know this filter and send
everything, up to the cap. A huge table is not asked for at all: to walk it keeps a CPU of the node busy (half a
millisecond for a thousand entries). All namespaces share one hash, which a dump walks from end to end, 5 ms on a large
node: the host's namespace is asked first, and the others while that takes no more than a share of the CPU.
"""
import struct
import time

CT_GET = 1 << 8 | 1
STATUS, STATUS_MASK = 3, 26  # CTA_STATUS, CTA_STATUS_MASK
SEEN_REPLY, DST_NAT = 2, 32  # IPS_*
WHOLE, HUGE = 4096, 1 << 17  # entries
SHARE_S = 0.03  # of CPU for the namespaces after the first
CONNTRACK_BYTES, CONNTRACK_S = 2 << 20, 1.0  # for each dump; some 300 bytes an entry


class Connections:
    """Reads the tables of all namespaces, one after the other."""

    def __init__(self, modules, cap, timeout_s):
        self.modules = modules
        self.cap = cap
        self.timeout_s = timeout_s
        self.spent_s = 0.0

    def read(self, is_host):
        """Return the connections of the current namespace."""
        count = how_many()
        if not self.modules.is_asked_freely("nf_conntrack_netlink"):
            raise Outcome("absent", "unreadable: module nf_conntrack_netlink is not loaded, and %d entries were not read" % count)
        if count > HUGE:
            raise Outcome("truncated", "%d entries, more than %d: not read" % (count, HUGE))
        if self.spent_s > SHARE_S and not is_host:
            raise Outcome("truncated", "%d entries, not read: other namespaces took %.3f s of CPU" % (count, self.spent_s))
        started = time.process_time()
        try:
            return connections(count, self.cap, self.timeout_s)
        finally:
            self.spent_s += 0.0 if is_host else time.process_time() - started


def how_many():
    """Return how many entries the current namespace has; it is an outcome that there are none."""
    text = small_file("/proc/sys/net/netfilter/nf_conntrack_count")
    if not text.isdigit():
        raise Outcome("absent", "no tables: conntrack is not in use")
    if text == "0":
        raise Outcome("absent", "no tables: conntrack has no entries here")
    return int(text)


def connections(count, cap, timeout_s):
    """Return one dump of the table, or two of its parts."""
    kinds = [b""] if count <= WHOLE else [status_is(DST_NAT, DST_NAT), status_is(0, SEEN_REPLY)]
    cap = min(cap // 2, CONNTRACK_BYTES)
    kept = []
    whole = True
    for kind in kinds:
        # One socket a dump: one that was not read to its end is thrown away with its socket.
        netlink = Netlink(NETLINK_NETFILTER, timeout_s)
        try:
            whole = part_of_table(netlink, kind, cap, kept) and whole
        finally:
            netlink.close()
    payload = packed(b"".join(kept), cap * 2)
    if not whole:
        raise Outcome("truncated", "%d entries: cut after %d bytes or %g s" % (count, cap, CONNTRACK_S), payload)
    return payload, "" if len(kinds) == 1 else "%d entries: those that translate, and those without an answer" % count


def part_of_table(netlink, attributes_of_filter, cap, kept):
    """Add the datagrams of one dump to ``kept``; return whether it came to its end."""
    netlink.request(CT_GET, DUMP, b"\0" * 4 + attributes_of_filter)
    deadline = time.monotonic() + CONNTRACK_S
    size = 0
    for data in netlink.datagrams():
        size += len(data)
        if size > cap or time.monotonic() > deadline:
            return False
        kept.append(data)
        kind, = struct.unpack_from("=H", data, 4)
        if kind == ERROR or kind == DONE:
            fail_on_error(data, 0, len(data), "conntrack")
            return True


def status_is(value, mask):
    """Return the attributes of a filter by status (net/netfilter/nf_conntrack_netlink.c: ctnetlink_filter_match)."""
    return struct.pack("=HH", 8, STATUS) + struct.pack(">I", value) + struct.pack("=HH", 8, STATUS_MASK) + struct.pack(">I", mask)
