"""VRF: devices that share a routing table of their own (net/l3mdev/l3mdev.c)."""

from __future__ import annotations

from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


def l3_master(netns: NetNamespace, index: int) -> Link | None:
    """Return the VRF that a device is, or is enslaved to (l3mdev_master_ifindex_rcu)."""
    link = netns.links.get(index)
    if link is None or link.kind == "vrf":
        return link
    master = netns.links.get(link.master)
    return master if master is not None and master.kind == "vrf" else None


def l3_master_index(netns: NetNamespace, index: int) -> int:
    """Return the ifindex of a device's VRF, or 0."""
    master = l3_master(netns, index)
    return master.index if master is not None else 0
