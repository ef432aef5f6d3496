"""GRE: packets (gre, ip6gre) or Ethernet frames (gretap, ip6gretap) over IP, told apart by keys.

Sources: net/ipv4/ip_gre.c (ipgre_xmit, gre_tap_xmit, ipgre_rcv), net/ipv6/ip6_gre.c.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.tunnels.over_ip import describe, rank, refuses, remote_of
from skoopctl.dataplane.tunnels.registry import Remote, Sending, Stop, Tunnel, register
from skoopctl.kernel.tunnel import IpTunnel

_PROTOCOL = 47
_HEADER, _WORD_BYTES, _ETHERNET = 4, 4, 14
# IPv6 tunnels add a destination options header with the encapsulation limit unless told not to.
_OUTER = {4: 20, 6: 40 + 8}


def overhead(tunnel: IpTunnel, *, ethernet: bool) -> int:
    """Return how many bytes GRE adds: four each for the key, the checksum and the sequence number."""
    words = (tunnel.out_key is not None) + tunnel.out_checked.bit_count()
    return _OUTER[tunnel.family] + _HEADER + words * _WORD_BYTES + (_ETHERNET if ethernet else 0)


def remotes(sending: Sending) -> tuple[Remote, ...] | Stop:
    """Return the device's remote; a multipoint device's neighbours are entries with the remote as address."""
    tunnel = sending.link.tunnel
    ethernet = sending.link.kind.endswith("tap")
    size = overhead(tunnel, ethernet=ethernet) if isinstance(tunnel, IpTunnel) else 0
    return remote_of(sending, "GRE", _PROTOCOL, size, _by_neighbour)


def _by_neighbour(sending: Sending) -> tuple[int, tuple[Evidence, ...]]:
    tunnel = sending.link.tunnel
    assert isinstance(tunnel, IpTunnel)  # noqa: S101 - the caller looked
    for entry in sending.netns.neighbours:
        if entry.index == sending.link.index and int(entry.ip) == sending.next_hop and not entry.proxy:
            try:
                remote = int(IPv4Address(entry.mac))
            except AddressValueError:
                continue
            netns = sending.netns
            line = Evidence("neighbour", entry.text, sending.link.name, node=netns.host, netns=netns.inode)
            return remote, (line,)
    return 0, (describe(sending, tunnel),)


def takes(station: Station, outer: Packet) -> int:
    """Tell how well a device fits: packets and frames go to devices of their own kind."""
    return rank(station, outer)


GRE = register(Tunnel("GRE", frozenset({"gre", "ip6gre"}), remotes, takes, admits=refuses))
GRETAP = register(
    Tunnel("GRE", frozenset({"gretap", "ip6gretap"}), remotes, takes, ethernet=True, admits=refuses)
)
