"""IPVS, where /proc/net/ip_vs lists services: their flags, and their servers' thresholds and tunnels, by netlink.

The file is there only when the module is loaded, so asking for the family loads nothing. The answers do not name the
service that servers belong to: they are asked for in the order of the services, with one sequence number each.
"""
import posix
import struct

NETLINK_GENERIC, GETFAMILY, FAMILY_NAME = 16, 3, 2
GET_SERVICE, GET_DEST = 4, 8
SERVICES_ASKED = 2000  # one request each, 20 microseconds; kube-proxy sets nothing that /proc does not tell
TEMPLATES_READ = 16 << 20


def ipvs_dump(cap, timeout_s):
    """Return the dump of the services, and one of the servers of each."""
    netlink = Netlink(NETLINK_GENERIC, timeout_s)
    try:
        body = struct.pack("=BBxxHH8s", GETFAMILY, 1, 9, FAMILY_NAME, b"IPVS")
        family = 0
        for _, data in netlink.messages(16, 0, body, "IPVS"):
            family, = struct.unpack("=H", attributes(data, 4)[1])
        kept = [netlink.dump(family, struct.pack("=BBxx", GET_SERVICE, 1), cap, "IPVS services")]
        services = [data for kind, data in nl_messages(kept[0]) if kind == family]
        size = len(kept[0])
        for data in services[:SERVICES_ASKED]:
            size += ask_servers(netlink, family, data, kept)
            if size > cap:
                break
    finally:
        netlink.close()
    if size > cap or len(services) > SERVICES_ASKED:
        raise Outcome("truncated", "the servers of %d services were not asked for" % (len(services) + 1 - len(kept)), packed(b"".join(kept), cap))
    return packed(b"".join(kept), cap), ""


def ask_servers(netlink, family, service, kept):
    """Ask for the servers of one service; a service that is gone meanwhile answers with an error, which is kept."""
    inner = attributes(attributes(service, 4)[1], 0)
    # What a service is found by: family, protocol, address, port, firewall mark (IPVS_SVC_ATTR_*).
    parts = b"".join(struct.pack("=HH", 4 + len(inner[kind]), kind) + inner[kind] + b"\0" * (-len(inner[kind]) % 4) for kind in range(1, 6) if kind in inner)
    netlink.request(family, DUMP, struct.pack("=BBxxHH", GET_DEST, 1, 4 + len(parts), 0x8001) + parts)
    answer = []
    for data in netlink.datagrams():
        answer.append(data)
        if any(kind == ERROR or kind == DONE for kind, _ in nl_messages(data)):
            break
    kept.append(b"".join(answer))
    return len(kept[-1])


def ipvs_templates(cap):
    """Return the lines of /proc/net/ip_vs_conn that keep a client at a server: those without a client's port."""
    payload = Payload(cap)
    descriptor = posix.open("/proc/self/net/ip_vs_conn", posix.O_RDONLY)
    try:
        tail = b""
        left = TEMPLATES_READ
        while left > 0:
            data = posix.read(descriptor, 1 << 16)
            left -= len(data)
            lines = (tail + data).split(b"\n")
            tail = lines.pop()
            kept = [line for line in lines if line[:300].split(None, 3)[2:3] == [b"0000"]]
            if kept and not payload.add(b"\n".join(kept) + b"\n"):
                break
            if not data:
                return payload, "templates only"
    finally:
        posix.close(descriptor)
    raise Outcome("truncated", "more than %d bytes of connections" % TEMPLATES_READ, payload)
