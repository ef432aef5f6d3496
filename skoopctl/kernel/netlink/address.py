"""Decode RTM_NEWADDR (include/uapi/linux/if_addr.h)."""

from __future__ import annotations

from struct import Struct

from skoopctl.kernel.address import Address
from skoopctl.kernel.netlink.dump import AF_INET, AF_INET6, Dump, address, attributes, decode_dump

_IFADDRMSG = Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTM_NEWADDR = 20
_ADDRESS, _LOCAL = 1, 2
_SECONDARY = 0x01


def decode_addresses(raw: bytes) -> Dump[Address]:
    """Decode a dump of RTM_GETADDR, IPv4 and IPv6, in the kernel's order."""
    return decode_dump(raw, _RTM_NEWADDR, _address)


def _address(body: bytes) -> Address | None:
    family, length, flags, scope, index = _IFADDRMSG.unpack_from(body)
    if family not in {AF_INET, AF_INET6}:
        return None
    found = attributes(body, 8)
    remote = found.get(_ADDRESS)
    local = found.get(_LOCAL, remote)
    if local is None:
        raise ValueError("no address")
    peer = address(remote) if remote is not None and remote != local else None
    # IPv6 has the same bit for a temporary address: that is no secondary.
    return Address(index, address(local), length, scope, family == AF_INET and bool(flags & _SECONDARY), peer)
