"""A device in the words of ip-link(8), field by field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from skoopctl.changes.entries import Entry
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

_DETAILS = ("bridge", "port", "vxlan", "vlan", "tunnel", "bond")
_DEVICES = frozenset({"lower", "active"})
"""Fields of details that hold an ifindex: the device's name is what lasts."""


def links(netns: NetNamespace) -> Iterator[Entry]:
    """Yield an entry for each device, with the fields in which it may differ."""
    names = {index: link.name for index, link in netns.links.items()}
    for link in netns.links.values():
        found = tuple(_fields(link, names))
        words = " ".join(
            f"{name} {value}" for name, value in found if value and "." not in name and value != "yes"
        )
        yield Entry(link.name, f"{link.name}: {words}", found)


def _fields(link: Link, names: dict[int, str]) -> Iterator[tuple[str, str]]:
    yield "state", "down" if not link.up else "up" if link.carrier else "up without carrier"
    yield "mtu", str(link.mtu)
    yield "type", link.kind
    yield "master", names.get(link.master, "")
    # A veth's other end has a number of another namespace.
    yield "lower", names.get(link.peer, "") if link.peer_nsid < 0 and link.kind != "veth" else ""
    yield "address", link.mac
    yield "promisc", "on" if link.promiscuous else ""
    yield "arp", "off" if link.noarp and link.kind else ""
    yield "xdp", "attached" if link.xdp else ""
    yield "group", str(link.group) if link.group else ""
    yield "mode", link.shared.value if link.shared else ""
    yield "table", str(link.vrf_table) if link.vrf_table else ""
    if link.vlans is not None:
        shown = (f"{v.vid}{' pvid' if v.pvid else ''}{' untagged' if v.untagged else ''}" for v in link.vlans)
        yield "vlans", ", ".join(shown)
    for name in _DETAILS:
        detail = getattr(link, name)
        if detail is not None:
            yield from _details(name, detail, names)


def _details(kind: str, detail: Any, names: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Yield the fields of what makes a link a bridge, a port, a tunnel and so on."""
    family = getattr(detail, "family", 4)
    for each in fields(detail):
        value = getattr(detail, each.name)
        if each.name in _DEVICES:
            value = names.get(value, "")
        elif each.name in {"local", "remote"} and isinstance(value, int):
            value = _ip(family, value)
        yield f"{kind}.{each.name}", str(value)


def _ip(family: int, value: int) -> str:
    return str(IPv6Address(value) if family == 6 else IPv4Address(value)) if value else ""
