"""Devices on top of others: VLAN, macvlan, ipvlan, bond and team, and the ones below and above them.

Sources: net/8021q/vlan_core.c (vlan_do_receive), drivers/net/macvlan.c (macvlan_handle_frame,
macvlan_queue_xmit), drivers/net/ipvlan/ipvlan_core.c.
"""

from __future__ import annotations

from skoopctl.dataplane.topology import IPVLANS, MACVLANS, STACKED, Station, Topology
from skoopctl.kernel.link import SharedMode

UNITS = frozenset({"bond", "team"})
"""Kinds that make one device of several: which of them carries a frame does not matter to its way."""


def uppers(topology: Topology, station: Station) -> list[Station]:
    """Return the devices on top of one, in all namespaces of its host."""
    index = topology.caches.get("uppers")
    if not isinstance(index, dict):
        index = topology.caches["uppers"] = _index(topology)
    found: list[Station] = index.get((station.key, station.link.index), [])
    return found


def _index(topology: Topology) -> dict[object, list[Station]]:
    index: dict[object, list[Station]] = {}
    for netns in topology.namespaces():
        for link in netns.links.values():
            below = topology.lower(Station(netns, link)) if link.kind in STACKED else None
            if below is not None:
                index.setdefault((below.key, below.link.index), []).append(Station(netns, link))
    return index


def vlan_device(topology: Topology, station: Station, tag: int) -> Station | None:
    """Return the VLAN device that takes a device's frames with a tag."""
    above = uppers(topology, station)
    return next((u for u in above if u.link.vlan is not None and u.link.vlan.id == tag), None)


def macvlans(topology: Topology, station: Station) -> list[Station]:
    """Return the macvlan and macvtap devices on top of one."""
    return [u for u in uppers(topology, station) if u.link.kind in MACVLANS]


def ipvlans(topology: Topology, station: Station) -> list[Station]:
    """Return the ipvlan devices on top of one."""
    return [u for u in uppers(topology, station) if u.link.kind in IPVLANS]


def siblings(topology: Topology, station: Station) -> list[Station]:
    """Return the macvlans that a macvlan in bridge mode reaches without leaving the host."""
    below = topology.lower(station)
    if below is None or station.link.shared is not SharedMode.BRIDGE:
        return []
    return [
        other
        for other in macvlans(topology, below)
        if other.link.shared is SharedMode.BRIDGE and other != station
    ]


def bottom(topology: Topology, station: Station) -> tuple[Station, int]:
    """Return the device at the bottom of a stack, and the tag that frames have there."""
    tag = 0
    for _ in range(8):
        if station.link.kind not in STACKED:
            break
        tag = tag or (station.link.vlan.id if station.link.vlan is not None else 0)
        below = topology.lower(station)
        if below is None:
            break
        station = below
    return station, tag


def shares_wire(topology: Topology, one: Station, other: Station) -> bool:
    """Tell whether two devices leave their host by the same one, so that a switch does not join them."""
    first, second = bottom(topology, one), bottom(topology, other)
    return (first[0].key, first[0].link.index) == (second[0].key, second[0].link.index)
