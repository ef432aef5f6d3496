"""Decode a dump of IPCTNL_MSG_CT_GET (include/uapi/linux/netfilter/nfnetlink_conntrack.h)."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from skoopctl.kernel.address import IPAddress
from skoopctl.kernel.conntrack import TCP_STATES, Connection, Direction
from skoopctl.kernel.netlink.dump import Dump, address, attributes, be16, decode_dump

_CT_NEW = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
_NFGENMSG = 4
_ORIGINAL, _REPLY, _STATUS, _PROTOINFO, _TIMEOUT, _MARK, _ZONE = 1, 2, 3, 4, 7, 8, 18
_IP, _PROTO, _TUPLE_ZONE = 1, 2, 3
_NUM, _SRC_PORT, _DST_PORT, _ICMP_ID, _ICMP6_ID = 1, 2, 3, 4, 7
_TCP, _TCP_STATE = 1, 1
_SEEN_REPLY, _ASSURED, _SRC_NAT, _DST_NAT = 2, 4, 16, 32  # IPS_*
_be32 = Struct(">I")


def decode_conntrack(raw: bytes) -> Dump[Connection]:
    """Decode the item ``conntrack``: one dump, or two one after the other; an entry in both counts once."""
    found = decode_dump(raw, _CT_NEW, _connection)
    return Dump(tuple(dict.fromkeys(found.entries)), found.problem)


def _connection(body: bytes) -> Connection:
    try:
        return _read(body)
    except KeyError as missing:
        raise ValueError(f"no attribute {missing}") from missing


def _read(body: bytes) -> Connection:
    found = attributes(body, _NFGENMSG)
    status = _number(found.get(_STATUS))
    zone = be16.unpack_from(found[_ZONE])[0] if _ZONE in found else 0
    protocol, original = _direction(found[_ORIGINAL], zone)
    _, reply = _direction(found[_REPLY], zone)
    state = _tcp_state(found[_PROTOINFO]) if _PROTOINFO in found and protocol == 6 else ""
    return Connection(
        protocol,
        original,
        reply,
        seen_reply=bool(status & _SEEN_REPLY),
        assured=bool(status & _ASSURED),
        source_nat=bool(status & _SRC_NAT),
        destination_nat=bool(status & _DST_NAT),
        tcp_state=state,
        mark=_number(found.get(_MARK)),
        timeout_s=_number(found.get(_TIMEOUT)),
    )


def _direction(raw: bytes, zone: int) -> tuple[int, Direction]:
    """Read one tuple; a zone for one direction only stands in that tuple (CTA_TUPLE_ZONE)."""
    found = attributes(raw)
    source, destination = _addresses(found[_IP])
    proto = attributes(found[_PROTO])
    number = proto[_NUM][0]
    if _SRC_PORT in proto:
        ports = be16.unpack_from(proto[_SRC_PORT])[0], be16.unpack_from(proto[_DST_PORT])[0]
    else:
        query = proto.get(_ICMP_ID) or proto.get(_ICMP6_ID)
        ports = (be16.unpack_from(query)[0],) * 2 if query else (0, 0)
    if _TUPLE_ZONE in found:
        zone = be16.unpack_from(found[_TUPLE_ZONE])[0]
    return number, Direction(source, destination, *ports, zone)


@lru_cache(maxsize=8192)
def _addresses(raw: bytes) -> tuple[IPAddress, IPAddress]:
    found = attributes(raw)
    source, destination = (found[1], found[2]) if 1 in found else (found[3], found[4])
    return address(source), address(destination)


def _tcp_state(raw: bytes) -> str:
    inner = attributes(raw).get(_TCP)
    number = attributes(inner).get(_TCP_STATE, b"\0")[0] if inner else 0
    return TCP_STATES[number] if number < len(TCP_STATES) else str(number)


def _number(raw: bytes | None) -> int:
    return int(_be32.unpack_from(raw)[0]) if raw is not None else 0
