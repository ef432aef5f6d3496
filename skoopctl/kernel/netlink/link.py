"""Decode RTM_NEWLINK (include/uapi/linux/if_link.h)."""

from __future__ import annotations

from struct import Struct

from skoopctl.kernel.link import ETH_P_8021Q, Bridge, BridgePort, Link, PortState, Vxlan
from skoopctl.kernel.netlink.dump import (
    Dump,
    address,
    attributes,
    be16,
    decode_dump,
    link_layer,
    number32,
    s32,
    text,
    u32,
)
from skoopctl.kernel.netlink.stacked import stacked_parts
from skoopctl.kernel.netlink.tunnel import TUNNEL_KINDS, decode_tunnel, df_of

_IFINFOMSG = Struct("=BxHiII")  # family, ARPHRD type, index, flags, change
_RTM_NEWLINK = 16
_UP, _LOOPBACK, _NOARP, _PROMISC, _LOWER_UP = 0x1, 0x8, 0x80, 0x100, 0x10000
_ADDRESS, _IFNAME, _MTU, _LINK, _MASTER, _LINKINFO = 1, 3, 4, 5, 10, 18
_GROUP, _PROMISCUITY, _LINK_NETNSID, _XDP = 27, 30, 37, 43
_KIND, _DATA, _SLAVE_KIND, _SLAVE_DATA = 1, 2, 4, 5
_XDP_ATTACHED = 2
_BR_AGEING_TIME, _BR_VLAN_FILTERING, _BR_VLAN_PROTOCOL = 4, 7, 8
_BR_CALL_IPTABLES, _BR_CALL_IP6TABLES = 36, 37
_PORT_STATE, _PORT_HAIRPIN, _PORT_LEARNING, _PORT_FLOOD, _PORT_ISOLATED = 1, 4, 8, 9, 33
_VX_ID, _VX_GROUP, _VX_LINK, _VX_LOCAL, _VX_LEARNING, _VX_PORT_RANGE = 1, 2, 3, 4, 7, 10
_VX_PORT, _VX_GROUP6, _VX_LOCAL6, _VX_EXTERNAL, _VX_DF, _VX_LOCALBIND = 15, 16, 17, 25, 29, 34
_VX_PORT, _VX_GROUP6, _VX_LOCAL6, _VX_EXTERNAL = 15, 16, 17, 25
_PORT_MULTICAST, _PORT_VLAN_TUNNEL, _PORT_BROADCAST, _PORT_NEIGH_SUPPRESS, _PORT_LOCKED = 27, 29, 30, 32, 39
_USER_HZ = 100
_KINDS_READ = frozenset({"bridge", "vxlan", *TUNNEL_KINDS})


def decode_links(raw: bytes) -> Dump[Link]:
    """Decode a dump of RTM_GETLINK."""
    return decode_dump(raw, _RTM_NEWLINK, _link)


def _link(body: bytes) -> Link | None:
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(body)
    found = attributes(body, 16)
    info = attributes(found[_LINKINFO]) if _LINKINFO in found else {}
    kind = text(info.get(_KIND, b""))
    data = attributes(info[_DATA]) if _DATA in info and kind in _KINDS_READ else {}
    data = attributes(info[_DATA]) if _DATA in info else {}
    parts = stacked_parts(kind, data)
    vxlan = _vxlan(data) if kind == "vxlan" else None
    # A VXLAN device has no IFLA_LINK on most kernels; its own attribute names the underlay device.
    lower = vxlan.lower if vxlan else 0
    return Link(
        index,
        text(found.get(_IFNAME, b"")),
        kind,
        link_layer(found.get(_ADDRESS, b"")),
        number32(found, _MTU),
        up=bool(flags & _UP),
        carrier=bool(flags & _LOWER_UP),
        loopback=bool(flags & _LOOPBACK),
        noarp=bool(flags & _NOARP),
        promiscuous=bool(flags & _PROMISC or number32(found, _PROMISCUITY)),
        master=number32(found, _MASTER),
        peer=number32(found, _LINK) or lower,
        peer_nsid=s32.unpack_from(found[_LINK_NETNSID])[0] if _LINK_NETNSID in found else -1,
        bridge=_bridge(data) if kind == "bridge" else None,
        port=_port(info),
        vxlan=vxlan,
        tunnel=decode_tunnel(kind, data),
        xdp=_xdp(found.get(_XDP)),
        group=number32(found, _GROUP),
        vlan=parts.vlan,
        shared=parts.shared,
        ipvlan_flags=parts.ipvlan_flags,
        vrf_table=parts.vrf_table,
        bond=parts.bond,
    )


def _flag(found: dict[int, bytes], key: int, default: bool = False) -> bool:
    return bool(found[key][0]) if key in found else default


def _xdp(raw: bytes | None) -> bool:
    return raw is not None and _flag(attributes(raw), _XDP_ATTACHED)


def _bridge(data: dict[int, bytes]) -> Bridge:
    ageing = number32(data, _BR_AGEING_TIME, 300 * _USER_HZ)
    return Bridge(
        _flag(data, _BR_VLAN_FILTERING),
        _flag(data, _BR_CALL_IPTABLES),
        _flag(data, _BR_CALL_IP6TABLES),
        ageing / _USER_HZ,
        be16.unpack_from(data[_BR_VLAN_PROTOCOL])[0] if _BR_VLAN_PROTOCOL in data else ETH_P_8021Q,
    )


def _port(info: dict[int, bytes]) -> BridgePort | None:
    if text(info.get(_SLAVE_KIND, b"")) != "bridge" or _SLAVE_DATA not in info:
        return None
    data = attributes(info[_SLAVE_DATA])
    return BridgePort(
        PortState(data[_PORT_STATE][0]) if _PORT_STATE in data else PortState.FORWARDING,
        _flag(data, _PORT_HAIRPIN),
        _flag(data, _PORT_LEARNING, True),
        _flag(data, _PORT_FLOOD, True),
        _flag(data, _PORT_ISOLATED),
        _flag(data, _PORT_BROADCAST, True),
        _flag(data, _PORT_MULTICAST, True),
        _flag(data, _PORT_LOCKED),
        _flag(data, _PORT_NEIGH_SUPPRESS),
        _flag(data, _PORT_VLAN_TUNNEL),
    )


def _vxlan(data: dict[int, bytes]) -> Vxlan:
    ports = data.get(_VX_PORT_RANGE, bytes(4))
    return Vxlan(
        number32(data, _VX_ID),
        be16.unpack_from(data[_VX_PORT])[0] if _VX_PORT in data else 0,
        _ip(data.get(_VX_LOCAL, data.get(_VX_LOCAL6))),
        _ip(data.get(_VX_GROUP, data.get(_VX_GROUP6))),
        u32.unpack_from(data[_VX_LINK])[0] if _VX_LINK in data else 0,
        _flag(data, _VX_LEARNING, True),
        (be16.unpack_from(ports)[0], be16.unpack_from(ports, 2)[0]),
        _flag(data, _VX_EXTERNAL),
        df_of(data.get(_VX_DF)),
        _flag(data, _VX_LOCALBIND),
    )


def _ip(raw: bytes | None) -> str:
    if raw is None or not any(raw):
        return ""
    return str(address(raw))
