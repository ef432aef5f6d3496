"""Decode the VLANs of bridges and their ports (RTM_NEWLINK of AF_BRIDGE, ``bridge vlan show``).

Source: include/uapi/linux/if_bridge.h (struct bridge_vlan_info), net/bridge/br_netlink.c. Asked for with
RTEXT_FILTER_BRVLAN_COMPRESSED, which gives ranges.
"""

from __future__ import annotations

from struct import Struct

from skoopctl.kernel.link import VlanEntry
from skoopctl.kernel.netlink.dump import Dump, attributes, attributes_in_order, decode_dump

_IFINFOMSG = Struct("=BxHiII")  # family, ARPHRD type, index, flags, change
_VLAN_INFO = Struct("=HH")  # flags, vid
_RTM_NEWLINK = 16
_AF_BRIDGE = 7
_AF_SPEC, _BRIDGE_VLAN_INFO = 26, 2
_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 0x2, 0x4, 0x8, 0x10
_VIDS = range(1, 4095)

Membership = tuple[int, tuple[VlanEntry, ...]]
"""A device's ifindex, and the VLANs that it is a member of."""


def decode_bridge_vlans(raw: bytes) -> Dump[Membership]:
    """Decode a dump of RTM_GETLINK for AF_BRIDGE: one entry for each bridge and each port."""
    return decode_dump(raw, _RTM_NEWLINK, _membership)


def _membership(body: bytes) -> Membership | None:
    family, _, index, _, _ = _IFINFOMSG.unpack_from(body)
    if family != _AF_BRIDGE:
        return None
    specifics = attributes(body, 16).get(_AF_SPEC, b"")
    entries: list[VlanEntry] = []
    begin = 0
    for kind, data in attributes_in_order(specifics):
        if kind != _BRIDGE_VLAN_INFO:
            continue
        flags, vid = _VLAN_INFO.unpack_from(data)
        if vid not in _VIDS:
            raise ValueError(f"VLAN {vid}")
        if flags & _RANGE_BEGIN:
            begin = vid
            continue
        first = begin if flags & _RANGE_END and begin else vid
        begin = 0
        entries += [VlanEntry(v, bool(flags & _PVID), bool(flags & _UNTAGGED)) for v in range(first, vid + 1)]
    return index, tuple(entries)
