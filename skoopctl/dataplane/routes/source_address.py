"""Which of its own addresses a namespace sends from.

Sources: net/ipv4/devinet.c (inet_select_addr, in_dev_select_addr), fib_semantics.c (fib_result_prefsrc);
net/ipv6/addrconf.c (ipv6_dev_get_saddr, ipv6_get_saddr_eval: RFC 6724), addrlabel.c.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_network

from skoopctl.dataplane.routes.l3mdev import l3_master, l3_master_index
from skoopctl.kernel.address import Address
from skoopctl.kernel.netns import NetNamespace

SCOPE_UNIVERSE = 0
SCOPE_LINK = 253
SCOPE_HOST = 254

# The kernel's own labels; ``ip addrlabel`` may add others, which are not collected.
_LABELS = tuple(
    (int(network.network_address), int(network.netmask), label)
    for network, label in (
        (ip_network("::1/128"), 0),
        (ip_network("::ffff:0:0/96"), 4),
        (ip_network("::/96"), 3),
        (ip_network("2001::/32"), 6),
        (ip_network("2001:10::/28"), 7),
        (ip_network("2002::/16"), 2),
        (ip_network("fc00::/7"), 5),
        (ip_network("::/0"), 1),
    )
    if isinstance(network, IPv6Network)
)
_V6_LOOPBACK, _V6_LINK, _V6_SITE, _V6_GLOBAL = 1, 2, 5, 14


class Addresses:
    """The addresses of one namespace, by device, in the kernel's order."""

    def __init__(self, netns: NetNamespace) -> None:
        self.netns = netns
        self.by_index: dict[int, list[Address]] = {}
        self.local: dict[tuple[int, int], list[Address]] = {}
        for address in netns.addresses:
            self.by_index.setdefault(address.index, []).append(address)
            self.local.setdefault((address.ip.version, int(address.ip)), []).append(address)

    def holds(self, ip: int, family: int, index: int = 0) -> bool:
        """Tell whether a device (0: any) holds exactly this address."""
        return any(not index or a.index == index for a in self.local.get((family, ip), ()))

    def has_any(self, index: int, family: int) -> bool:
        """Tell whether a device has an address of the family."""
        return any(a.ip.version == family for a in self.by_index.get(index, ()))

    def select4(self, index: int, towards: int, scope: int) -> int | None:
        """Return the address to use from a device (inet_select_addr).

        The device's first primary address whose subnet holds ``towards`` wins (0: nobody in particular); else
        its first; else the first of its VRF, or of any device, that is not of link scope.
        """
        host = self._host_scope(index)
        first: int | None = None
        for address in self._primaries(index):
            if min(address.scope, host) > scope:
                continue
            if not towards or same_subnet(address, towards):
                return int(address.ip)
            first = int(address.ip) if first is None else first
        return first if first is not None else self._elsewhere(index, scope)

    def _host_scope(self, index: int) -> int:
        """With route_localnet an address of host scope counts as one of link scope."""
        link = self.netns.links.get(index)
        name = link.name if link is not None else "all"
        return (
            SCOPE_LINK if self.netns.sysctls.integer(f"net/ipv4/conf/{name}/route_localnet") else SCOPE_HOST
        )

    def _primaries(self, index: int) -> list[Address]:
        return [a for a in self.by_index.get(index, ()) if a.ip.version == 4 and not a.secondary]

    def _elsewhere(self, index: int, scope: int) -> int | None:
        vrf = l3_master(self.netns, index)
        master = vrf.index if vrf is not None else 0
        order = [master] if master else []
        order += sorted(i for i in self.netns.links if l3_master_index(self.netns, i) == master)
        for other in order:
            for address in self._primaries(other):
                if address.scope != SCOPE_LINK and address.scope <= scope:
                    return int(address.ip)
        return None

    def select6(self, index: int, destination: int) -> int | None:
        """Return the source for a destination by way of a device (ipv6_dev_get_saddr), or None."""
        master = l3_master_index(self.netns, index)
        near = _v6_scope(destination) <= _V6_LINK or destination >> 120 == 0xFF
        order = [index, *sorted(i for i in self.netns.links if i != index)]
        best: tuple[tuple[int, ...], int] | None = None
        for device in order[:1] if near else order:
            if not near and l3_master_index(self.netns, device) != master:
                continue
            for address in self.by_index.get(device, ()):
                if address.ip.version != 6 or address.tentative:
                    continue
                points = self._points6(address, index, destination)
                if best is None or points > best[0]:
                    best = points, int(address.ip)
        return best[1] if best is not None else None

    def _points6(self, address: Address, index: int, destination: int) -> tuple[int, ...]:
        """Return an address's merits in the order in which RFC 6724 compares them."""
        ip = int(address.ip)
        wanted, scope = _v6_scope(destination), _v6_scope(ip)
        return (
            ip == destination,
            -scope if scope >= wanted else scope - 128,
            not address.deprecated,
            not index or address.index == index,
            _label(ip) == _label(destination),
            address.temporary == self._prefers_temporary(address.index),
            min(128 - (ip ^ destination).bit_length(), address.prefixlen),
        )

    def _prefers_temporary(self, index: int) -> bool:
        link = self.netns.links.get(index)
        return link is not None and (
            (self.netns.sysctls.integer(f"net/ipv6/conf/{link.name}/use_tempaddr") or 0) >= 2
        )


def same_subnet(address: Address, ip: int) -> bool:
    """Tell whether an address is on-link for a device's address (inet_ifa_match: by its peer, if it has one)."""
    shift = address.ip.max_prefixlen - address.prefixlen
    base = int(address.peer if address.peer is not None else address.ip)
    return (base >> shift) == (ip >> shift)


def _v6_scope(ip: int) -> int:
    """Return the scope of an IPv6 address in RFC 4291's numbers (__ipv6_addr_src_scope)."""
    if ip >> 120 == 0xFF:
        return (ip >> 112) & 0xF
    address = IPv6Address(ip)
    if address.is_loopback:
        return _V6_LINK
    if ip >> 118 == 0xFE80 >> 6:
        return _V6_LINK
    return _V6_SITE if ip >> 118 == 0xFEC0 >> 6 else _V6_GLOBAL


def _label(ip: int) -> int:
    return next(label for network, mask, label in _LABELS if ip & mask == network)
