"""Network devices of one namespace (rtnetlink RTM_NEWLINK, ``ip -d link``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from skoopctl.kernel.tunnel import Df, Geneve, IpTunnel


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


@dataclass(frozen=True, slots=True)
class BridgePort:
    """What makes a link a port of a bridge (IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_*)."""

    state: PortState = PortState.FORWARDING
    hairpin: bool = False
    learning: bool = True
    flood: bool = True
    isolated: bool = False


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
