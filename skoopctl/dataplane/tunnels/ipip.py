"""IP in IP: ipip (IPv4 in IPv4), sit (IPv6 in IPv4) and ip6tnl (either in IPv6).

Sources: net/ipv4/ipip.c (ipip_tunnel_xmit, ipip_rcv), net/ipv6/sit.c (ipip6_tunnel_xmit, try_6rd,
ipip6_tunnel_lookup), net/ipv6/ip6_tunnel.c (ip6_tnl_start_xmit, ip6_tnl_lookup).
"""

from __future__ import annotations

from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.tunnels.over_ip import describe, gateway, rank, remote_of
from skoopctl.dataplane.tunnels.registry import Remote, Sending, Stop, Tunnel, register
from skoopctl.kernel.tunnel import IpTunnel

_IPV4, _IPV6 = 4, 41  # the protocol numbers of what is inside
_WORD = 0xFFFFFFFF
_SIX_TO_FOUR = 0x2002
# ip6tnl adds a destination options header with the encapsulation limit unless told not to (encaplimit 4).
_OVERHEAD = {4: 20, 6: 40 + 8}


def _inside(packet: Packet) -> int:
    return _IPV4 if packet.family == 4 else _IPV6


def remotes(sending: Sending) -> tuple[Remote, ...] | Stop:
    """Return where ipip and ip6tnl send: the device's remote, else (ipip) the route's next hop."""
    family = sending.link.tunnel.family if isinstance(sending.link.tunnel, IpTunnel) else 4
    name = "IPIP" if family == 4 else "ip6tnl"
    return remote_of(sending, name, _inside(sending.packet), _OVERHEAD[family], gateway)


def sit_remotes(sending: Sending) -> tuple[Remote, ...] | Stop:
    """Return where sit sends: its remote, else the IPv4 address inside the IPv6 one."""
    return remote_of(sending, "SIT", _inside(sending.packet), _OVERHEAD[4], _embedded)


def _embedded(sending: Sending) -> tuple[int, tuple[Evidence, ...]]:
    """6to4 (2002::/16) by the destination, ::a.b.c.d by the next hop."""
    tunnel = sending.link.tunnel
    assert isinstance(tunnel, IpTunnel)  # noqa: S101 - the caller looked
    evidence = (describe(sending, tunnel),)
    destination = sending.packet.destination
    if sending.packet.family == 6 and destination >> 112 == _SIX_TO_FOUR:
        return (destination >> 80) & _WORD, evidence
    for address in (sending.next_hop, destination):
        if address and address >> 32 == 0:
            return address, evidence
    return 0, evidence


def takes(station: Station, outer: Packet) -> int:
    """Tell how well an ipip or ip6tnl device fits an outer packet."""
    return rank(station, outer, frozenset({_IPV4, _IPV6}))


IPIP = register(Tunnel("IPIP", frozenset({"ipip"}), remotes, takes))
SIT = register(Tunnel("SIT", frozenset({"sit"}), sit_remotes, takes))
IP6TNL = register(Tunnel("ip6tnl", frozenset({"ip6tnl"}), remotes, takes))
