"""Where REDIRECT sends a packet: to the address of the device that it came in on, and to no other device's.

Source: net/netfilter/nf_nat_redirect.c (nf_nat_redirect_ipv4, nf_nat_redirect_ipv6).
"""

from __future__ import annotations

from skoopctl.dataplane.scene import Hook, Scene

_LOOPBACK = {4: 0x7F000001, 6: 1}


def redirect_address(scene: Scene) -> int | None:
    """Return the new destination, or None where the device has no address for it: the kernel drops then.

    A pod's device on its node often has none (Calico). IPv6 wants an address of the destination's scope.
    """
    packet, link = scene.packet, scene.in_link
    if scene.hook is Hook.OUTPUT or link is None:
        return _LOOPBACK[packet.family]
    link_local = packet.family == 6 and packet.destination >> 118 == 0xFE80 >> 6
    for address in scene.netns.addresses:
        if address.index != link.index or address.ip.version != packet.family:
            continue
        if packet.family == 4 or address.ip.is_link_local == link_local:
            return int(address.ip)
    return None
