"""Whether a namespace forwards: it is the device that a packet comes in on whose setting counts."""

from __future__ import annotations

from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


def forwarding_path(link: Link, family: int) -> str:
    """Return the sysctl that decides for packets from a device."""
    return f"net/ipv4/conf/{link.name}/forwarding" if family == 4 else "net/ipv6/conf/all/forwarding"


def forwards(netns: NetNamespace, link: Link, family: int) -> bool | None:
    """Tell whether packets from a device are forwarded; None when the sysctl was not read."""
    value = netns.sysctls.integer(forwarding_path(link, family))
    if value is None and family == 4:
        value = netns.sysctls.integer("net/ipv4/ip_forward")
    return None if value is None else bool(value)
