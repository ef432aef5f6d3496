"""Read a real namespace into the model: the same dumps that the node program takes, and its sysctls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from skoopctl.kernel import netlink
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.sysctl import Sysctls
from tests.support.kernel_dump import REQUESTS, dump, inside
from tests.support.netlink_items import decode

_SYSCTLS = [
    "ipv4/ip_forward",
    "ipv4/fib_multipath_hash_policy",
    "ipv4/fib_multipath_use_neigh",
    "ipv6/fib_multipath_hash_policy",
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
]
_DEVICE = {
    4: [
        "forwarding",
        "rp_filter",
        "accept_local",
        "route_localnet",
        "proxy_arp",
        "proxy_arp_pvlan",
        "arp_ignore",
        "arp_announce",
        "src_valid_mark",
        "arp_filter",
        "ignore_routes_with_linkdown",
        "send_redirects",
    ],
    6: ["forwarding", "disable_ipv6", "proxy_ndp", "use_tempaddr", "ignore_routes_with_linkdown"],
}
_NET = Path("/proc/sys/net")


def read_namespace(
    name: str, inode: int, *, host: str = "n1", is_host: bool = True, **more: Any
) -> NetNamespace:
    """Return the model of a named namespace. ``inode`` is what it is called in the model; ``more`` are fields."""
    with inside(name):
        raw = {item: dump(item) for item in REQUESTS}
        sysctls = dict(_sysctls())
    found = {
        item: _entries(item, raw) for item in ("link", "addr", "route", "rule", "neigh", "neigh-proxy", "fdb")
    }
    links = {link.index: link for link in found["link"]}
    if any(link.bridge is not None and link.bridge.vlan_filtering for link in links.values()):
        for index, vlans in netlink.decode_bridge_vlans(raw["bridge-vlan"]).entries:
            links[index] = replace(links[index], vlans=vlans)
    return NetNamespace(
        host,
        inode,
        is_host=is_host,
        names=(name,),
        links=links,
        addresses=found["addr"],
        routes=found["route"],
        rules=found["rule"],
        neighbours=found["neigh"] + found["neigh-proxy"],
        fdb=found["fdb"],
        sysctls=Sysctls(sysctls),
        **more,
    )


def _entries(item: str, raw: dict[str, bytes]) -> tuple[Any, ...]:
    dumped = decode(item, raw)
    assert not dumped.problem, (item, dumped.problem)
    return dumped.entries


def _sysctls() -> list[tuple[str, str]]:
    paths = [_NET / path for path in _SYSCTLS]
    for family, keys in _DEVICE.items():
        folder = _NET / f"ipv{family}/conf"
        paths += [device / key for device in folder.iterdir() for key in keys]
    root = _NET.parent
    return [(str(p.relative_to(root)), p.read_text().strip()) for p in paths if p.exists()]
