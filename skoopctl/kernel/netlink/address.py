"""Decode RTM_NEWADDR (include/uapi/linux/if_addr.h)."""

from __future__ import annotations

from struct import Struct

from skoopctl.kernel.address import Address
from skoopctl.kernel.netlink.dump import AF_INET, AF_INET6, Dump, address, attributes, decode_dump, number32

_IFADDRMSG = Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTM_NEWADDR = 20
_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8
# IFA_F_*; IPv4's "secondary" is IPv6's "temporary".
_SECONDARY, _OPTIMISTIC, _DAD_FAILED, _DEPRECATED, _TENTATIVE = 0x01, 0x04, 0x08, 0x20, 0x40


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
    flags = number32(found, _FLAGS, flags)
    first, is_v6 = bool(flags & _SECONDARY), family == AF_INET6
    tentative = bool(flags & _TENTATIVE and not flags & _OPTIMISTIC) or bool(flags & _DAD_FAILED)
    return Address(
        index,
        address(local),
        length,
        scope,
        first and not is_v6,
        peer,
        deprecated=is_v6 and bool(flags & _DEPRECATED),
        temporary=first and is_v6,
        tentative=is_v6 and tentative,
    )
