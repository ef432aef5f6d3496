"""Ask the running kernel for a route, as ``ip route get`` does, thousands of times a second."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from skoopctl.kernel.netlink.dump import attributes, number32

_RTM_GETROUTE = 26
_NLMSG_ERROR = 2
_DST, _SRC, _IIF, _OIF, _GATEWAY, _PREFSRC, _TABLE, _MARK, _VIA = 1, 2, 3, 4, 5, 7, 15, 16, 18
_UID, _IP_PROTO, _SPORT, _DPORT = 25, 27, 28, 29
_RTMSG = struct.Struct("=BBBBBBBBI")

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Asked:
    """One question. ``iif`` and ``oif`` are ifindexes (0: none)."""

    destination: IPAddress
    source: IPAddress | None = None
    iif: int = 0
    oif: int = 0
    mark: int = 0
    tos: int = 0
    protocol: int = 0
    sport: int = 0
    dport: int = 0


@dataclass(frozen=True)
class Reply:
    """What the kernel said: an error number, or a route's type (RTN_*), device, gateway and source."""

    error: int = 0
    type: int = 0
    oif: int = 0
    gateway: IPAddress | None = None
    source: IPAddress | None = None


class RouteOracle:
    """A netlink socket in the namespace that is current when it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(10)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, asked: Asked) -> Reply:
        """Return the kernel's answer."""
        family = socket.AF_INET if asked.destination.version == 4 else socket.AF_INET6
        bits = asked.destination.max_prefixlen
        body = _RTMSG.pack(family, bits, bits if asked.source else 0, asked.tos, 0, 0, 0, 0, 0)
        body += _attribute(_DST, asked.destination.packed)
        body += _attribute(_SRC, asked.source.packed) if asked.source else b""
        for kind, number in ((_IIF, asked.iif), (_OIF, asked.oif), (_MARK, asked.mark)):
            body += _attribute(kind, struct.pack("=I", number)) if number else b""
        body += _attribute(_IP_PROTO, bytes([asked.protocol])) if asked.protocol else b""
        for kind, port in ((_SPORT, asked.sport), (_DPORT, asked.dport)):
            body += _attribute(kind, struct.pack(">H", port)) if port else b""
        self._socket.send(struct.pack("=IHHII", 16 + len(body), _RTM_GETROUTE, 1, 1, 0) + body)
        data = self._socket.recv(1 << 16)
        _, kind, _, _, _ = struct.unpack_from("=IHHII", data)
        if kind == _NLMSG_ERROR:
            return Reply(-struct.unpack_from("=i", data, 16)[0])
        *_, route_type, _ = _RTMSG.unpack_from(data, 16)
        found = attributes(data[16 : struct.unpack_from("=I", data)[0]], 12)
        gateway = found[_VIA][2:] if _VIA in found else found.get(_GATEWAY)
        source = found.get(_PREFSRC)
        return Reply(
            0,
            route_type,
            number32(found, _OIF),
            ip_address(gateway) if gateway else None,
            ip_address(source) if source else None,
        )


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
