"""Which numbers stand for which addresses: IPv4, IPv6 and MAC, with what must stay what it is.

Special addresses stay (loopback, IPv4's link-local, multicast, broadcast), private ranges are mapped within
themselves, and public addresses to public ones. In the last octet of IPv4, 0, 1, 254 and 255 stay, and so
do the leading zeros of IPv6's interface identifiers: networks, gateways and broadcasts can be told at sight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network

from skoopctl.evidence.redaction.permutation import Node, Prefix, PrefixPermutation, path_to

_KEPT4 = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
_ANCHORED4 = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")
_KEPT6 = ("::/96", "ff00::/8")
_ANCHORED6 = ("fc00::/8", "fd00::/8", "fe80::/64", "2000::/3")
_WITH_IPV4 = tuple(int(IPv6Address(text)) >> 32 for text in ("::ffff:0:0", "64:ff9b::"))
"""IPv6 prefixes of 96 bits with an IPv4 address behind them: RFC 4291 2.5.5.2, RFC 6052."""
_SOLICITED = int(IPv6Address("ff02::1:ff00:0")) >> 24
"""Solicited-node groups, which end like the address that is asked for (RFC 4291 2.7.1); so do their MACs."""
_SOLICITED_MAC = 0x3333FF
_KEPT_MACS = ("00:00:00:00:00:00", "ee:ee:ee:ee:ee:ee")
"""No address; and Calico's, which all its devices have."""
_MULTICAST_BIT, _LOCAL_BIT = 7, 6
"""Of a MAC's first octet, counted from the left: which kind of address it is."""


def _prefixes(texts: tuple[str, ...]) -> tuple[Prefix, ...]:
    networks = (ip_network(text) for text in texts)
    return tuple((int(network.network_address), network.prefixlen) for network in networks)


def _plain_octet(depth: int, prefix: int) -> bool:
    """Tell whether the last octet has been all zeros or all ones so far."""
    seen = depth - 24
    return seen >= 0 and prefix & ((1 << seen) - 1) in {0, (1 << seen) - 1}


def _leading_zeros(depth: int, prefix: int) -> bool:
    """Tell whether the interface identifier has been all zeros so far."""
    return depth >= 64 and not prefix & ((1 << (depth - 64)) - 1)


def _kind_of_mac(depth: int, _prefix: int) -> bool:
    return depth in {_MULTICAST_BIT, _LOCAL_BIT}


@dataclass(slots=True)
class AddressMap:
    """The three permutations of one key. They are bijections: distinct addresses stay distinct."""

    key: bytes
    ipv4: PrefixPermutation = field(init=False)
    ipv6: PrefixPermutation = field(init=False)
    macs: PrefixPermutation = field(init=False)
    _solicited: PrefixPermutation = field(init=False)

    def __post_init__(self) -> None:
        kept_macs = tuple((int(text.replace(":", ""), 16), 48) for text in _KEPT_MACS)
        anchored6 = (*_prefixes(_ANCHORED6), *((prefix << 32, 96) for prefix in _WITH_IPV4))
        self.ipv4 = PrefixPermutation(
            self.key, 32, b"ipv4", _prefixes(_KEPT4), _prefixes(_ANCHORED4), _plain_octet
        )
        self.ipv6 = PrefixPermutation(self.key, 128, b"ipv6", _prefixes(_KEPT6), anchored6, _leading_zeros)
        self.macs = PrefixPermutation(self.key, 48, b"mac", kept_macs, pinned=_kind_of_mac)
        self._solicited = PrefixPermutation(self.key, 24, b"solicited-node")

    def pin(self, version: int, first: int, last: int) -> None:
        """Make the permutation keep the range from ``first`` to ``last`` together and in order at its ends.

        Below the prefix that both share, no node on the way to either end may flip. Then the range's image is
        a range again, from the image of its first address to that of its last.
        """
        self._tree(version).pins.update(range_nodes(self._tree(version).bits, first, last))

    def keep_hosts(self, version: int, length: int) -> None:
        """Keep the bits behind a prefix of ``length`` bits, for rules that carry them to another prefix (NETMAP)."""
        tree = self._tree(version)
        tree.plain_from = min(tree.plain_from, length)

    def keeps_hosts(self, version: int, length: int) -> bool:
        """Tell whether what is behind a prefix stays as it is."""
        tree = self._tree(version)
        return length >= min(tree.plain_from, tree.bits)

    def spans(self, version: int, first: int, last: int) -> bool:
        """Tell whether a range is mapped to a range: it was pinned, or happens to be."""
        tree = self._tree(version)
        if tree.keeps(first) and tree.keeps(last):
            return True
        return not any(tree.flips(node) for node in range_nodes(tree.bits, first, last))

    def address(self, version: int, value: int) -> int:
        """Return the address that stands for one of IPv4 or IPv6."""
        if version == 4:
            return self.ipv4(value)
        if value >> 32 in _WITH_IPV4:
            return value >> 32 << 32 | self.ipv4(value & 0xFFFFFFFF)
        if value >> 24 == _SOLICITED:
            return value >> 24 << 24 | self._solicited(value & 0xFFFFFF)
        return self.ipv6(value)

    def network(self, version: int, value: int, length: int) -> int:
        """Return the network that stands for one, without host bits."""
        bits = 32 if version == 4 else 128
        host = max(bits - length, 0)
        return self.address(version, value) >> host << host

    def mac(self, value: int) -> int:
        """Return the MAC address that stands for one; groups stay, but those that end like an address."""
        if value >> 24 == _SOLICITED_MAC:
            return _SOLICITED_MAC << 24 | self._solicited(value & 0xFFFFFF)
        if value >> 40 & 1:
            return value
        return self.macs(value)

    def _tree(self, version: int) -> PrefixPermutation:
        return self.ipv4 if version == 4 else self.ipv6


def range_nodes(bits: int, first: int, last: int) -> set[Node]:
    """Return the nodes between the prefix that both ends share and each of the ends."""
    shared = bits - (first ^ last).bit_length()
    whole = (1 << (bits - shared)) - 1
    if first & whole == 0 and last & whole == whole:
        return set()  # a prefix, which needs nothing
    return {node for end in (first, last) for node in path_to(bits, end, bits) if node[0] >= shared}


def address_text(version: int, value: int) -> str:
    """Write an address."""
    return str(IPv4Address(value) if version == 4 else IPv6Address(value))
