"""WireGuard's devices and peers, as the kernel tells them, without private and preshared keys.

What may leave the node is listed; everything else is left out, whatever newer kernels may tell.
"""
import struct

NETLINK_GENERIC, GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 16, 3
# WGPEER_A_*: public key, endpoint, time of handshake, bytes received and sent, allowed IPs (all that is in them).
WG_PEER = {1: None, 4: None, 6: None, 7: None, 8: None, 9: None}
# WGDEVICE_A_*: ifindex, name, public key, port, mark, peers (a list, whose elements have type 0).
WG_DEVICE = {1: None, 2: None, 4: None, 6: None, 7: None, 8: {0: WG_PEER}}


def wireguard_devices(links):
    """Return the ifindex of every WireGuard device in a dump of links."""
    found = []
    for kind, data in nl_messages(links):
        if kind == 16 and attributes(attributes(data, 16).get(18, b""), 0).get(1, b"").rstrip(b"\0") == b"wireguard":
            found.append(struct.unpack_from("=i", data, 4)[0])
    return found


def only(data, offset, allowed):
    """Return the attributes behind ``offset`` whose types are allowed."""
    kept = b""
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        if kind & 0x3FFF in allowed:
            inside = data[offset + 4:offset + length]
            if allowed[kind & 0x3FFF]:
                inside = only(inside, 0, allowed[kind & 0x3FFF])
            kept += struct.pack("=HH", 4 + len(inside), kind) + inside + b"\0" * (-len(inside) % 4)
        offset += (length + 3) & ~3
    return kept


def without_secrets(raw, family):
    """Return a device's messages with what may leave the node, and the dump's end."""
    kept = b""
    for kind, body in nl_messages(raw):
        body = body[:4] + only(body, 4, WG_DEVICE) if kind == family else body[:4]
        kept += HEADER_NL.pack(16 + len(body), kind, 2, 0, 0) + body
    return kept


def wireguard(links, modules, cap, timeout_s):
    """Ask for every WireGuard device. Looking its family up would load the module: it must be there."""
    devices = wireguard_devices(links) if b"wireguard\0" in links else ()
    if not devices:
        raise Outcome("absent", "no tables: no WireGuard device")
    modules.require("wireguard")
    netlink = Netlink(NETLINK_GENERIC, timeout_s)
    try:
        name = struct.pack("=BBHHH", CTRL_CMD_GETFAMILY, 1, 0, 14, 2) + b"wireguard\0\0\0"
        family = 0
        for _, data in netlink.messages(GENL_ID_CTRL, 0, name, "wireguard"):
            family, = struct.unpack_from("=H", attributes(data, 4)[1])
        kept = b""
        for index in devices:
            raw = netlink.dump(family, struct.pack("=BBHHHI", 0, 1, 0, 8, 1, index), cap, "wireguard")
            kept += without_secrets(raw, family)
    except Outcome as outcome:
        raise Outcome(outcome.status, outcome.detail)  # its payload is as the kernel gave it, with the keys
    finally:
        netlink.close()
    return packed(kept, cap), ""
