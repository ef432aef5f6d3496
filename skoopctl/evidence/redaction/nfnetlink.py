"""The rows for the other netlink families: conntrack, ipset, IPVS and WireGuard."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from ipaddress import ip_address

from skoopctl.evidence.redaction.netlink import (
    Message,
    Nest,
    Rewrite,
    Row,
    address,
    each,
    keep,
    kept,
    rewrite_attributes,
    rewrite_dump,
    word,
)
from skoopctl.evidence.redaction.words import Redactor, UnredactableError

_AF_INET, _AF_INET6 = 2, 10
_GENERIC = 16
"""Below are control messages; generic netlink numbers its families from here on as they come."""

# --- conntrack ------------------------------------------------------------------------------------------------------

_TUPLE = Nest(
    {1: Nest(dict.fromkeys((1, 2, 3, 4), address)), 2: Nest(kept(1, 2, 3, 4, 5, 6, 7, 8, 9)), 3: keep}
)
_PROTOINFO = Nest({1: Nest(kept(1, 2, 3, 4, 5)), 3: Nest(kept(1))})
_CONNECTION = Message(4, Nest({1: _TUPLE, 2: _TUPLE, 4: _PROTOINFO, **kept(3, 7, 8, 18)}))


def redact_conntrack(payload: bytes, redactor: Redactor) -> bytes:
    """Return a dump of connections with other addresses."""
    return rewrite_dump(payload, lambda kind: _CONNECTION if kind == 1 << 8 else None, redactor)


# --- ipset ----------------------------------------------------------------------------------------------------------

_IP, _IP_TO, _CIDR, _IP2, _CIDR2, _IP2_TO = 1, 2, 3, 20, 21, 22
_FAMILIES = (1, 2)  # IPSET_ATTR_IPADDR_IPV4 and _IPV6: what an address is wrapped in
_NUMBERS = (4, 5, 6, 7, 8, 9, 10, 11, 24, 25, 27, 28, 29)


def _member_address(cidr: int, end: int, *, is_end: bool = False) -> Rewrite:
    """Return what replaces an address whose prefix length, or the range's other end, stands beside it."""

    def rewrite(raw: bytes, redactor: Redactor, beside: Mapping[int, bytes]) -> bytes:
        length = beside[cidr][0] if beside.get(cidr) else 128
        other = beside.get(end)

        def one(value: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
            if other is None:
                return redactor.packed_network(value, length)
            ends = (other[4 : 4 + len(value)], value) if is_end else (value, other[4 : 4 + len(value)])
            return _range_end(*ends, redactor)[is_end]

        return rewrite_attributes(raw, Nest(dict.fromkeys(_FAMILIES, one)), redactor)

    return rewrite


def _range_end(first: bytes, last: bytes, redactor: Redactor) -> tuple[bytes, bytes]:
    """Return both ends of a range's image. Raises `UnredactableError` where that is no range."""
    if len(first) != len(last) or len(first) not in {4, 16}:
        raise ValueError("a range of two kinds")
    ends = redactor.range_ends(ip_address(first), ip_address(last))
    if ends is None:
        raise UnredactableError("a range of addresses that has no image under this map")
    return ends[0].to_bytes(len(first), "big"), ends[1].to_bytes(len(first), "big")


def _comment(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    return (
        redactor.prose(raw.rstrip(b"\0").decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )
        + b"\0"
    )


_HEADER = Nest(
    {
        **kept(
            3, *_NUMBERS, 12, 18, 19, 20, 21, 22, 23, 26
        ),  # 20 is a netmask's length here; 12, a mask, tells of no one
        _IP: _member_address(0, _IP_TO),
        _IP_TO: _member_address(0, _IP, is_end=True),
    }
)
_MEMBER = Nest(
    {
        **kept(_CIDR, _CIDR2, *_NUMBERS),
        _IP: _member_address(_CIDR, _IP_TO),
        _IP_TO: _member_address(_CIDR, _IP, is_end=True),
        _IP2: _member_address(_CIDR2, _IP2_TO),
        _IP2_TO: _member_address(_CIDR2, _IP2, is_end=True),
        17: address,
        18: word,
        19: word,
        23: word,
        26: _comment,
    }
)
_SET = Message(4, Nest({**kept(1, 3, 4, 5, 9, 10), 2: word, 7: _HEADER, 8: each(_MEMBER)}))


def redact_ipset(payload: bytes, redactor: Redactor) -> bytes:
    """Return the kernel's dump of sets, or the text of ``ipset save``, with other members."""
    if payload.startswith((b"create ", b"add ", b"#")):
        text = payload.decode("utf-8", "surrogateescape")
        return redactor.lines(text).encode("utf-8", "surrogateescape")
    return rewrite_dump(payload, lambda kind: _SET if kind == 6 << 8 | 7 else None, redactor)


# --- IPVS -----------------------------------------------------------------------------------------------------------


def _either(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Replace a ``union nf_inet_addr``: 16 bytes, of which IPv4 uses four."""
    if len(raw) == 16 and not any(raw[4:]):
        return redactor.packed(raw[:4]) + raw[4:]
    return redactor.packed(raw)


_SERVICE = Nest({**kept(1, 2, 4, 5, 6, 7, 8, 9), 3: _either})
_SERVER = Nest({**kept(2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 15), 1: _either})
_IPVS = Message(4, Nest({1: _SERVICE, 2: _SERVER}))


def redact_ipvs(payload: bytes, redactor: Redactor) -> bytes:
    """Return the dumps of virtual services and of their servers, with other addresses."""
    return rewrite_dump(payload, lambda kind: _IPVS if kind >= _GENERIC else None, redactor)


# --- WireGuard ------------------------------------------------------------------------------------------------------


def _key(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    return redactor.public_key(raw)


def _endpoint(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Replace the address in a sockaddr_in or sockaddr_in6."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == _AF_INET and len(raw) >= 8:
        return raw[:4] + redactor.packed(raw[4:8]) + bytes(len(raw) - 8)
    if family == _AF_INET6 and len(raw) >= 24:
        return raw[:8] + redactor.packed(raw[8:24]) + raw[24:]
    return bytes(len(raw))


def _allowed(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    rows: dict[int, Row] = {**kept(1, 3), 2: _allowed_address}
    return rewrite_attributes(raw, Nest(rows), redactor)


def _allowed_address(raw: bytes, redactor: Redactor, beside: Mapping[int, bytes]) -> bytes:
    return redactor.packed_network(raw, beside[3][0] if beside.get(3) else 128)


_PEER = Nest({**kept(3, 5, 6, 7, 8, 10), 1: _key, 4: _endpoint, 9: Nest({}, _allowed)})
_DEVICE = Message(4, Nest({**kept(1, 6, 7), 2: word, 4: _key, 8: each(_PEER)}))


def redact_wireguard(payload: bytes, redactor: Redactor) -> bytes:
    """Return the devices and peers with other addresses and keys."""
    return rewrite_dump(payload, lambda kind: _DEVICE if kind >= _GENERIC else None, redactor)
