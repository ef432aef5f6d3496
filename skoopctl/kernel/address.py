"""Addresses of one namespace (rtnetlink RTM_NEWADDR, ``ip addr``)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """One address on one device.

    ``scope`` is RT_SCOPE_* (0 universe, 253 link, 254 host). ``peer`` is set on point-to-point devices.
    The order in a namespace is the kernel's: the first address of a subnet is its primary. The last three are
    IPv6's: ``tentative`` until duplicate address detection has passed (or because it has failed).
    """

    index: int
    ip: IPAddress
    prefixlen: int
    scope: int = 0
    secondary: bool = False
    peer: IPAddress | None = None
    deprecated: bool = False
    temporary: bool = False
    tentative: bool = False
