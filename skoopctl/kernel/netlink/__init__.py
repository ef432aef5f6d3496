"""Decoders of raw rtnetlink dumps, from the kernel's reply datagrams to the models beside this package."""

from skoopctl.kernel.netlink.address import decode_addresses
from skoopctl.kernel.netlink.bridge_vlan import decode_bridge_vlans
from skoopctl.kernel.netlink.dump import Dump
from skoopctl.kernel.netlink.link import decode_links
from skoopctl.kernel.netlink.neighbour import decode_fdb, decode_neighbours
from skoopctl.kernel.netlink.nexthop import decode_nexthops
from skoopctl.kernel.netlink.qdisc import decode_tc_devices
from skoopctl.kernel.netlink.route import decode_routes
from skoopctl.kernel.netlink.rule import decode_rules

__all__ = [
    "Dump",
    "decode_addresses",
    "decode_bridge_vlans",
    "decode_fdb",
    "decode_links",
    "decode_neighbours",
    "decode_nexthops",
    "decode_routes",
    "decode_rules",
    "decode_tc_devices",
]
