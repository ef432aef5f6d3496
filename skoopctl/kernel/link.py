"""Network devices of one namespace (rtnetlink RTM_NEWLINK, ``ip -d link``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from skoopctl.kernel.tunnel import Df, Geneve, IpTunnel

ETH_P_8021Q = 0x8100


class PortState(IntEnum):
    """The STP state of a bridge port (include/uapi/linux/if_bridge.h: BR_STATE_*)."""

    DISABLED = 0
    LISTENING = 1
    LEARNING = 2
    FORWARDING = 3
    BLOCKING = 4


@dataclass(frozen=True, slots=True)
class Bridge:
    """What makes a link a bridge (IFLA_INFO_DATA of kind ``bridge``)."""

    vlan_filtering: bool = False
    nf_call_iptables: bool = False
    nf_call_ip6tables: bool = False
    ageing_time_s: float = 300.0
    vlan_protocol: int = ETH_P_8021Q


@dataclass(frozen=True, slots=True)
class BridgePort:
    """What makes a link a port of a bridge (IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_*).

    ``flood`` is for unicast to addresses that the bridge has not learned, the next two for broadcast (ARP) and
    multicast (neighbour discovery). A ``locked`` port takes frames only from addresses that its own entries
    know. ``neigh_suppress`` lets the bridge answer for neighbours; ``vlan_tunnel`` maps VLANs to tunnel ids.
    """

    state: PortState = PortState.FORWARDING
    hairpin: bool = False
    learning: bool = True
    flood: bool = True
    isolated: bool = False
    broadcast_flood: bool = True
    multicast_flood: bool = True
    locked: bool = False
    neigh_suppress: bool = False
    vlan_tunnel: bool = False


@dataclass(frozen=True, slots=True)
class VlanEntry:
    """One VLAN that a bridge port, or the bridge itself, is a member of (BRIDGE_VLAN_INFO_*)."""

    vid: int
    pvid: bool = False
    untagged: bool = False


@dataclass(frozen=True, slots=True)
class Vlan:
    """What makes a link an 802.1Q device: frames of its lower device with this tag are its own."""

    id: int
    protocol: int = ETH_P_8021Q


class SharedMode(StrEnum):
    """How devices share a lower one, in the words of ip-link(8): the modes of macvlan, then of ipvlan."""

    PRIVATE = "private"
    VEPA = "vepa"
    BRIDGE = "bridge"
    PASSTHRU = "passthru"
    SOURCE = "source"
    L2 = "l2"
    L3 = "l3"
    L3S = "l3s"


@dataclass(frozen=True, slots=True)
class Bond:
    """What makes a link a bond. ``active`` is the ifindex of the active slave (0: none, or the mode has none)."""

    mode: int = 0
    active: int = 0


@dataclass(frozen=True, slots=True)
class Vxlan:
    """What makes a link a VXLAN device (IFLA_VXLAN_*).

    ``group`` is the default remote or multicast group, ``lower`` the ifindex of the underlay device
    (0: any). ``port_range`` is (0, 0) when the kernel picks the outer source port from the local range.
    ``family`` is the underlay's. ``local_bind`` restricts what is received to packets for ``local``.
    """

    vni: int
    port: int
    local: str = ""
    group: str = ""
    lower: int = 0
    learning: bool = True
    port_range: tuple[int, int] = (0, 0)
    external: bool = False
    df: Df = Df.UNSET
    local_bind: bool = False

    @property
    def family(self) -> int:
        """The IP version of the outer packets: 6 where an address of the device is of IPv6 (VXLAN_F_IPV6)."""
        return 6 if ":" in self.local or ":" in self.group else 4


@dataclass(frozen=True, slots=True)
class Link:
    """One device. ``peer`` and ``peer_nsid`` are IFLA_LINK and IFLA_LINK_NETNSID.

    ``peer`` is the other end's ifindex for a veth, the lower device for a VXLAN or VLAN device, else 0.
    ``peer_nsid`` is -1 when the other end is in the same namespace. ``kind`` is IFLA_INFO_KIND, empty for
    a physical device or loopback. ``tunnel`` is what makes it a tunnel other than VXLAN. ``xdp`` tells whether an
    XDP program is attached. ``group`` is IFLA_GROUP.
    ``peer`` is the other end's ifindex for a veth, the lower device for a VXLAN, VLAN, macvlan or ipvlan
    device, else 0. ``peer_nsid`` is -1 when the other end is in the same namespace. ``kind`` is IFLA_INFO_KIND,
    empty for a physical device or loopback. ``xdp`` tells whether an XDP program is attached. ``group`` is
    ``ip link``'s; ``vlans`` are what a bridge or its port filters by, None when that was not read or there is
    nothing to read. ``shared`` is the mode of a macvlan, macvtap or ipvlan; ``vrf_table`` a VRF's table.
    """

    index: int
    name: str
    kind: str = ""
    mac: str = ""
    mtu: int = 1500
    up: bool = True
    carrier: bool = True
    loopback: bool = False
    noarp: bool = False
    promiscuous: bool = False
    master: int = 0
    peer: int = 0
    peer_nsid: int = -1
    bridge: Bridge | None = None
    port: BridgePort | None = None
    vxlan: Vxlan | None = None
    tunnel: IpTunnel | Geneve | None = None
    xdp: bool = False
    group: int = 0
    vlan: Vlan | None = None
    vlans: tuple[VlanEntry, ...] | None = None
    shared: SharedMode | None = None
    ipvlan_flags: int = 0
    vrf_table: int = 0
    bond: Bond | None = None
