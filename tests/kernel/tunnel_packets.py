"""Packets of tunnels, made by hand: what a kernel without the tunnel's device gets from another machine."""

from __future__ import annotations

import struct
from ipaddress import ip_address

INSIDE = {4: ("10.244.1.5", "10.244.2.7"), 6: ("fd00:244:1::5", "fd00:244:2::7")}
SYN = 2
PORTS = (40_001, 8080)
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
FRAME = 0x6558


def segment(flags: int = SYN) -> bytes:
    """Return a TCP header."""
    return struct.pack("!HHIIBBHHH", *PORTS, 1, 0, 5 << 4, flags, 512, 0, 0)


def packet(family: int, payload: bytes = b"", protocol: int = 6) -> bytes:
    """Return an IP packet between the ends of `INSIDE`; a TCP SYN when nothing else is given."""
    payload = payload or segment()
    source, destination = (ip_address(text).packed for text in INSIDE[family])
    if family == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
        return head + source + destination + payload
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + destination + payload


def frame(family: int, vlan: bool = False) -> bytes:
    """Return that packet in an Ethernet frame, with a VLAN's tag or without."""
    tag = struct.pack("!HH", 0x8100, 7) if vlan else b""
    return b"\x02" * 12 + tag + struct.pack("!H", ETHERTYPES[family]) + packet(family)


def vxlan(inner: bytes, vni: int = 0x010203, flags: int = 0x08) -> bytes:
    """Return what stands behind UDP in VXLAN (RFC 7348)."""
    return struct.pack("!B3xI", flags, vni << 8) + inner


def geneve(inner: bytes, ethertype: int, options: bytes = b"", flags: int = 0) -> bytes:
    """Return what stands behind UDP in Geneve (RFC 8926)."""
    return struct.pack("!BBHI", len(options) // 4, flags, ethertype, 0x010203 << 8) + options + inner


def gre(inner: bytes, ethertype: int, flags: int = 0, words: bytes = b"") -> bytes:
    """Return what stands behind IP in GRE (RFC 2784, RFC 2890); ``words`` are those that the flags say."""
    return struct.pack("!HH", flags, ethertype) + words + inner
