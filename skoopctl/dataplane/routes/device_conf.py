"""A device's IPv4 settings together with those for ``all`` (include/linux/inetdevice.h: IN_DEV_MAXCONF)."""

from __future__ import annotations

from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


def conf(netns: NetNamespace, name: str, link: Link) -> int:
    """Return the larger of a device's and ``all``'s setting, which is how the kernel reads most of them."""
    own = netns.sysctls.integer(f"net/ipv4/conf/{link.name}/{name}") or 0
    everywhere = netns.sysctls.integer(f"net/ipv4/conf/all/{name}") or 0
    return max(own, everywhere)


def conf_path(netns: NetNamespace, name: str, link: Link) -> str:
    """Return the path of the setting that decides."""
    own = netns.sysctls.integer(f"net/ipv4/conf/{link.name}/{name}") or 0
    everywhere = netns.sysctls.integer(f"net/ipv4/conf/all/{name}") or 0
    return f"net/ipv4/conf/{link.name if own >= everywhere else 'all'}/{name}"
