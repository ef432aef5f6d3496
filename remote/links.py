"""Links as they are, without what they have counted: the kernel puts that into every dump of them."""

STEADY = frozenset((1, 3, 4, 5, 6, 10, 13, 16, 37))  # IFLA_ADDRESS, IFNAME, MTU, LINK, QDISC, MASTER, TXQLEN, OPERSTATE, LINK_NETNSID
LINKINFO, NEWLINK = 18, 16


def steady_links(dump):
    """Return the messages of a dump with the attributes that do not change by themselves; of LINKINFO the kind.

    The kernel puts the kind first (net/core/rtnetlink.c: rtnl_link_info_fill).
    """
    kept = []
    offset = 0
    while offset + 16 <= len(dump):
        length, kind, flags, sequence, port = HEADER_NL.unpack_from(dump, offset)
        end = offset + length
        if kind == NEWLINK:
            parts = [dump[offset + 16:offset + 32]]
            at = offset + 32
            while at + 4 <= end:
                size, name = HEADER_ATTRIBUTE.unpack_from(dump, at)
                if size < 4:
                    break
                if name in STEADY:
                    parts.append(dump[at:at + ((size + 3) & ~3)])
                elif name & 0x3FFF == LINKINFO and size >= 8:
                    parts.append(kind_only(dump[at + 4:at + size]))
                at += (size + 3) & ~3
            body = b"".join(parts)
            kept.append(HEADER_NL.pack(16 + len(body), kind, flags, sequence, port) + body)
        else:
            kept.append(dump[offset:end])
        offset += max(16, (length + 3) & ~3)
    return b"".join(kept)


def kind_only(info):
    """Return a LINKINFO attribute with the kind alone."""
    size, name = HEADER_ATTRIBUTE.unpack_from(info)
    if name != 1 or size < 4:
        return b""
    word = info[:(size + 3) & ~3]
    word += b"\0" * (-len(word) % 4)
    return HEADER_ATTRIBUTE.pack(4 + len(word), LINKINFO) + word
