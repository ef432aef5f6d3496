"""Decoders of raw netlink dumps, from the kernel's reply datagrams to the models beside this package."""

from skoopctl.kernel.netlink.address import decode_addresses
from skoopctl.kernel.netlink.bridge_vlan import decode_bridge_vlans
from skoopctl.kernel.netlink.conntrack import decode_conntrack
from skoopctl.kernel.netlink.dump import Dump
from skoopctl.kernel.netlink.ipset import decode_ipset_dump
from skoopctl.kernel.netlink.ipvs import decode_ipvs
from skoopctl.kernel.netlink.link import decode_links
from skoopctl.kernel.netlink.neighbour import decode_fdb, decode_neighbours
from skoopctl.kernel.netlink.nexthop import decode_nexthops
from skoopctl.kernel.netlink.qdisc import decode_tc_devices
from skoopctl.kernel.netlink.route import decode_routes
from skoopctl.kernel.netlink.rule import decode_rules
from skoopctl.kernel.netlink.wireguard import decode_wireguard

__all__ = [
    "Dump",
    "decode_addresses",
    "decode_bridge_vlans",
    "decode_conntrack",
    "decode_fdb",
    "decode_ipset_dump",
    "decode_ipvs",
    "decode_links",
    "decode_neighbours",
    "decode_nexthops",
    "decode_routes",
    "decode_rules",
    "decode_tc_devices",
    "decode_wireguard",
]
