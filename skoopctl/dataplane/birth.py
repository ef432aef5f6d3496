"""What a namespace writes into the header of a packet that it sends: TTL and TOS."""

from __future__ import annotations

from skoopctl.dataplane.packet import Packet
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

_INTERNETWORK_CONTROL = 0xC0
_DEFAULT_TTL = 64


def give_birth(netns: NetNamespace, packet: Packet, out_link: Link | None) -> None:
    """Fill in what the sender's kernel decides, before OUTPUT sees the packet.

    ip4_dst_hoplimit and ip6_dst_hoplimit give the TTL; icmp_send marks IPv4's errors as network control. A SYN's
    segment size is that of its route: `mtu.at_birth`.
    """
    packet.birthplace = (netns.host, netns.inode)
    packet.source_mac = packet.destination_mac = ""
    packet.ttl = packet.ttl or _initial_ttl(netns, packet, out_link)
    if packet.error is not None and packet.family == 4:
        packet.tos |= _INTERNETWORK_CONTROL


def _initial_ttl(netns: NetNamespace, packet: Packet, out_link: Link | None) -> int:
    """Return the sysctl's value; 64 is what every namespace begins with (IPDEFTTL, IPV6_DEFAULT_HOPLIMIT)."""
    if packet.family == 4:
        found = netns.sysctls.integer("net/ipv4/ip_default_ttl")
    else:
        device = out_link.name if out_link is not None else "all"
        found = netns.sysctls.integer(f"net/ipv6/conf/{device}/hop_limit")
    return found or _DEFAULT_TTL
