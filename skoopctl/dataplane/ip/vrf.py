"""Packets of a VRF: seen on the enslaved device and on the VRF itself, delivered to few sockets.

Sources: drivers/net/vrf.c (vrf_ip_rcv, vrf_ip_out_direct), net/ipv4/inet_hashtables.c
(inet_sk_bound_dev_eq: tcp_l3mdev_accept).
"""

from __future__ import annotations

from skoopctl.dataplane.hooks import pass_hook
from skoopctl.dataplane.journey import Ending, Journey, sysctl_evidence
from skoopctl.dataplane.moves import Resend
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.routes.l3mdev import l3_master
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

_TCP = 6
_ACCEPTING = {_TCP: "net/ipv4/tcp_l3mdev_accept", 17: "net/ipv4/udp_l3mdev_accept"}


def into_vrf(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Link | Ending | Resend:
    """Return the device that routing takes the packet from: the VRF, after PREROUTING on it too."""
    vrf = l3_master(netns, link.index)
    if vrf is None or vrf is link:
        return link
    journey.step(StepKind.RECEIVE, netns, vrf, f"{link.name} belongs to the VRF {vrf.name}", packet)
    if journey.request:
        journey.world.vrfs[netns.host, netns.inode] = vrf.index
    ended = pass_hook(journey, netns, packet, Hook.PREROUTING, in_link=vrf)
    return vrf if ended is None else ended


def answering_vrf(journey: Journey, netns: NetNamespace, packet: Packet) -> int:
    """Return the VRF by whose table an answer goes: the one that the request came in by (0: none).

    So do segments of accepted connections, resets, echo replies and ICMP errors (inet_request_bound_dev_if,
    ip_send_unicast_reply, icmp_reply and icmp_send: l3mdev_master_ifindex); a UDP socket that is not bound does not.
    """
    by_itself = packet.error is None and packet.protocol not in {_TCP, 1, 58}
    return 0 if by_itself else journey.world.vrfs.get((netns.host, netns.inode), 0)


def out_of_vrf(
    journey: Journey, netns: NetNamespace, link: Link | None, packet: Packet
) -> Ending | Resend | None:
    """A packet born here meets OUTPUT and POSTROUTING on the VRF before it does on the enslaved device."""
    vrf = l3_master(netns, link.index) if link is not None else None
    if vrf is None or vrf is link:
        return None
    for hook in (Hook.OUTPUT, Hook.POSTROUTING):
        ended = pass_hook(journey, netns, packet, hook, out_link=vrf)
        if ended is not None:
            return ended
    return None


def refused_by_sockets(journey: Journey, netns: NetNamespace, link: Link, packet: Packet) -> Ending | None:
    """Only sockets bound to the VRF take its packets, unless ``l3mdev_accept``; who is bound is not read."""
    path = _ACCEPTING.get(packet.protocol)
    if link.kind != "vrf" or path is None or not journey.request:
        return None
    if netns.sysctls.integer(path) == 1:
        return None
    name = netns.sysctls.dotted(path)
    reason = f"whether a socket is bound to the VRF {link.name} was not read, and {name} is not 1"
    if journey.world.choices.unknown(reason, key=("vrf", netns.host, netns.inode, link.index)):
        return None
    return journey.end(
        Disposition.REFUSED,
        netns,
        packet,
        f"no socket takes packets of the VRF {link.name}",
        cause="no-listener",
        link=link,
        evidence=(sysctl_evidence(netns, path),),
        error=None if packet.protocol == 6 else Unreachable.PORT,
        reset=packet.protocol == 6,
        kind=StepKind.SOCKET,
    )
