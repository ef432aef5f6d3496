"""Decode what makes a link a device on top of others (IFLA_INFO_DATA): VLAN, macvlan, ipvlan, VRF, bond.

Source: include/uapi/linux/if_link.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.kernel.link import ETH_P_8021Q, Bond, SharedMode, Vlan
from skoopctl.kernel.netlink.dump import be16, number32, u16

_VLAN_ID, _VLAN_PROTOCOL = 1, 5
_MACVLAN_MODE = 1
_IPVLAN_MODE, _IPVLAN_FLAGS = 1, 2
_VRF_TABLE = 1
_BOND_MODE, _BOND_ACTIVE_SLAVE = 1, 2
_MACVLAN_MODES = {
    1: SharedMode.PRIVATE,
    2: SharedMode.VEPA,
    4: SharedMode.BRIDGE,
    8: SharedMode.PASSTHRU,
    16: SharedMode.SOURCE,
}
_IPVLAN_MODES = (SharedMode.L2, SharedMode.L3, SharedMode.L3S)


@dataclass(frozen=True, slots=True)
class StackedParts:
    """The fields of `Link` that only such devices have."""

    vlan: Vlan | None = None
    shared: SharedMode | None = None
    ipvlan_flags: int = 0
    vrf_table: int = 0
    bond: Bond | None = None


def _vlan(data: dict[int, bytes]) -> StackedParts:
    protocol = be16.unpack_from(data[_VLAN_PROTOCOL])[0] if _VLAN_PROTOCOL in data else ETH_P_8021Q
    return StackedParts(vlan=Vlan(_number16(data, _VLAN_ID), protocol))


def _macvlan(data: dict[int, bytes]) -> StackedParts:
    return StackedParts(shared=_MACVLAN_MODES.get(number32(data, _MACVLAN_MODE)))


def _ipvlan(data: dict[int, bytes]) -> StackedParts:
    mode = _number16(data, _IPVLAN_MODE)
    shared = _IPVLAN_MODES[mode] if mode < len(_IPVLAN_MODES) else None
    return StackedParts(shared=shared, ipvlan_flags=_number16(data, _IPVLAN_FLAGS))


def _vrf(data: dict[int, bytes]) -> StackedParts:
    return StackedParts(vrf_table=number32(data, _VRF_TABLE))


def _bond(data: dict[int, bytes]) -> StackedParts:
    mode = data[_BOND_MODE][0] if _BOND_MODE in data else 0
    return StackedParts(bond=Bond(mode, number32(data, _BOND_ACTIVE_SLAVE)))


_KINDS: dict[str, Callable[[dict[int, bytes]], StackedParts]] = {
    "vlan": _vlan,
    "macvlan": _macvlan,
    "macvtap": _macvlan,
    "ipvlan": _ipvlan,
    "ipvtap": _ipvlan,
    "vrf": _vrf,
    "bond": _bond,
}


def stacked_parts(kind: str, data: dict[int, bytes]) -> StackedParts:
    """Return what a device of this kind is on top of others; nothing for every other kind."""
    decode = _KINDS.get(kind)
    return StackedParts() if decode is None else decode(data)


def _number16(data: dict[int, bytes], key: int) -> int:
    return int(u16.unpack_from(data[key])[0]) if key in data else 0
