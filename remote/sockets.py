"""Listening TCP sockets, in the words of /proc/net/tcp.

Reading /proc/net/tcp makes the kernel walk its hash of connections, which all namespaces share: several
milliseconds for every pod of a node. sock_diag can be asked for listeners alone, so it is used where its module
is here already; its answer is written in the format of /proc/net/tcp so that there is one decoder. The last
column, v6only, is what /proc does not tell.
"""
import posix
import struct

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
FAMILIES_TCP = {"tcp": 2, "tcp6": 10}
TCP_LISTEN = 10
SKV6ONLY = 11
LISTENERS_ENOUGH = 1 << 18
PROC_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"


def tcp_listeners(name, modules, cap, timeout_s):
    """Return the listeners of the current namespace; ``name`` is tcp or tcp6."""
    if modules.is_asked_freely("tcp_diag"):
        try:
            return diag_listeners(FAMILIES_TCP[name], cap, timeout_s)
        except (Outcome, OSError):
            pass  # a kernel that was built without it: /proc tells the same, more slowly
    return proc_listeners("/proc/self/net/" + name, cap)


def diag_listeners(family, cap, timeout_s):
    """Ask sock_diag (inet_diag_req_v2: family, protocol, extensions, states, socket id)."""
    netlink = Netlink(NETLINK_SOCK_DIAG, timeout_s)
    try:
        body = struct.pack("=BBBxI", family, 6, 0, 1 << TCP_LISTEN) + b"\0" * 48
        lines = [PROC_HEAD]
        for _, data in netlink.messages(SOCK_DIAG_BY_FAMILY, DUMP, body, "sock_diag"):
            lines.append(proc_line(len(lines) - 1, family, data))
    finally:
        netlink.close()
    payload = Payload(cap)
    if not payload.add(("\n".join(lines) + "\n").encode("ascii")):
        raise Outcome("truncated", "more than %d bytes of listeners" % cap, payload)
    return payload, "listeners only"


def proc_line(number, family, data):
    """Write an inet_diag_msg as /proc/net/tcp would."""
    port, = struct.unpack_from(">H", data, 4)
    words = struct.unpack_from("=4I" if family == 10 else "=I", data, 8)
    receive_queue, send_queue, uid, inode = struct.unpack_from("=IIII", data, 56)
    v6only = attributes(data, 72).get(SKV6ONLY)
    address = "".join("%08X" % word for word in words)
    return "%4d: %s:%04X %s:0000 0A %08X:%08X 00:00000000 00000000 %5d 0 %d 1%s" % (
        number, address, port, "0" * len(address), send_queue, receive_queue, uid, inode,
        " v6only=%d" % v6only[0] if v6only else "",
    )


def proc_listeners(path, cap):
    """Return /proc/net/tcp or tcp6: whole, or, on a busy node, at least every listener (they come first)."""
    payload = Payload(cap)
    descriptor = posix.open(path, posix.O_RDONLY)
    try:
        tail = b""
        while True:
            data = posix.read(descriptor, 1 << 16)
            if not data:
                return payload, ""
            if not payload.add(data):
                raise Outcome("truncated", "%s: more than %d bytes" % (path, cap), payload)
            lines = (tail + data).split(b"\n")
            tail = lines.pop()
            last = lines[-1].split() if lines else []
            if payload.size >= LISTENERS_ENOUGH and len(last) > 3 and last[3] != b"0A":
                return payload, "connections cut after %d bytes; every listener is here" % payload.size
    finally:
        posix.close(descriptor)
