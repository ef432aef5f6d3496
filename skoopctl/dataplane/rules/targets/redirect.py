"""Where REDIRECT sends a packet: to the address of the device that it came in on, and to no other device's.

Source: net/netfilter/nf_nat_redirect.c (nf_nat_redirect_ipv4, nf_nat_redirect_ipv6).
"""

from __future__ import annotations

from skoopctl.dataplane.packet import is_link_local
from skoopctl.dataplane.rules.scene import Hook, Scene

_LOOPBACK = {4: 0x7F000001, 6: 1}


def redirect_address(scene: Scene) -> int | None:
    """Return the new destination, or None where the device has no address for it: the kernel drops then.

    A pod's device on its node often has none (Calico). For an IPv6 destination of link scope only an
    address of that scope will do; for others the device's first one, which is of the widest scope
    (nf_nat_redirect_ipv6_usable; ipv6_link_dev_addr keeps them in that order).
    """
    packet, link = scene.packet, scene.in_link
    if scene.hook is Hook.OUTPUT or link is None:
        return _LOOPBACK[packet.family]
    own = [a for a in scene.netns.addresses if a.index == link.index and a.ip.version == packet.family]
    if packet.family == 6:
        near = is_link_local(packet.destination)
        usable = [a for a in own if not a.tentative and (a.ip.is_link_local or not near)]
        own = sorted(usable, key=lambda a: a.ip.is_link_local)
    return int(own[0].ip) if own else None
