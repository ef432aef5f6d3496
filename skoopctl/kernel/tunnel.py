"""What makes a link a tunnel (IFLA_INFO_DATA of the tunnels' kinds; WireGuard's own netlink family).

Addresses are integers of ``family``; 0 stands for any.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from skoopctl.kernel.address import IPAddress, IPNetwork


class Df(IntEnum):
    """How a tunnel sets "don't fragment" on its outer packets (enum ifla_vxlan_df, ifla_geneve_df)."""

    UNSET = 0
    SET = 1
    INHERIT = 2


@dataclass(frozen=True, slots=True)
class IpTunnel:
    """A tunnel straight over IP: ipip, sit, ip6tnl, gre, gretap, ip6gre, ip6gretap.

    ``in_key`` and ``out_key`` are GRE's keys (None: no key in the header); ``in_checked`` and
    ``out_checked`` say whether GRE's checksum (1) and sequence numbers (2) are required and sent.
    ``protocol`` is the inner protocol that the device takes (0: any). ``wrapped`` tells of a UDP header in
    between (FOU, GUE), ``external`` of a remote that comes with each packet.
    """

    family: int = 4
    local: int = 0
    remote: int = 0
    lower: int = 0
    pmtudisc: bool = True
    ignore_df: bool = False
    in_key: int | None = None
    out_key: int | None = None
    in_checked: int = 0
    out_checked: int = 0
    protocol: int = 0
    wrapped: bool = False
    external: bool = False
    fwmark: int = 0


@dataclass(frozen=True, slots=True)
class Geneve:
    """A Geneve device: Ethernet over UDP with one remote, or with one that comes with each packet."""

    vni: int = 0
    port: int = 6081
    family: int = 4
    remote: int = 0
    df: Df = Df.UNSET
    external: bool = False
    without_ethernet: bool = False


@dataclass(frozen=True, slots=True)
class WireguardPeer:
    """One peer. ``endpoint`` is None until it is configured or has been heard of.

    ``handshake_s`` is when the last handshake was, in seconds since 1970 (0: never).
    """

    public_key: str
    endpoint: tuple[IPAddress, int] | None = None
    allowed_ips: tuple[IPNetwork, ...] = ()
    handshake_s: int = 0
    received: int = 0
    sent: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Wireguard:
    """A WireGuard device by its ifindex. Its private key is not here, and never left the node."""

    index: int
    public_key: str = ""
    listen_port: int = 0
    fwmark: int = 0
    peers: tuple[WireguardPeer, ...] = ()
