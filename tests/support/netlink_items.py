"""Decode a namespace's dumps by the names of their items, as `skoopctl.kernel.build` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skoopctl.kernel import netlink


def decode(name: str, raw: Mapping[str, bytes]) -> netlink.Dump[Any]:
    """Decode the item ``name``; links and next hop objects come from the other items."""
    devices = {link.index: link.name for link in netlink.decode_links(raw["link"]).entries}
    objects = netlink.decode_nexthops(raw["nexthop"]).entries
    decoders: dict[str, Callable[[bytes], netlink.Dump[Any]]] = {
        "link": netlink.decode_links,
        "addr": netlink.decode_addresses,
        "route": lambda data: netlink.decode_routes(data, devices=devices, nexthops=objects),
        "rule": netlink.decode_rules,
        "neigh": lambda data: netlink.decode_neighbours(data, devices=devices),
        "neigh-proxy": lambda data: netlink.decode_neighbours(data, devices=devices),
        "fdb": lambda data: netlink.decode_fdb(data, devices=devices),
        "bridge-vlan": netlink.decode_bridge_vlans,
        "qdisc": netlink.decode_tc_devices,
        "nexthop": netlink.decode_nexthops,
        "conntrack": netlink.decode_conntrack,
    }
    return decoders[name](raw[name])
