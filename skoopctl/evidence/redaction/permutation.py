"""A keyed permutation of fixed-size numbers that keeps prefixes: two that share n bits share n bits afterwards.

The construction is that of Crypto-PAn (Xu, Fan, Ammar, Moon: "Prefix-Preserving IP Address Anonymization", 2002):
bit i is flipped or not by a keyed function of the i bits before it. Here the function is BLAKE2b with a key. Some
nodes of the tree of prefixes never flip: then a prefix stays where it is, and so does what must keep its order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Node = tuple[int, int]
"""A place in the tree of prefixes: how many bits were seen, and their value."""

Prefix = tuple[int, int]
"""The value of a prefix, all its bits written out, and its length."""


def never(_depth: int, _prefix: int) -> bool:
    """Pin no node."""
    return False


def path_to(bits: int, value: int, length: int) -> Iterable[Node]:
    """Yield the nodes that a value of ``bits`` bits passes until ``length`` bits of it are seen."""
    return ((depth, value >> (bits - depth)) for depth in range(length))


@dataclass(slots=True)
class PrefixPermutation:
    """A permutation of the numbers of ``bits`` bits.

    ``kept`` prefixes are mapped number by number to themselves, ``anchored`` ones as a whole to themselves.
    ``pinned`` tells of further nodes that never flip. ``pins`` are more of them, and from the bit ``plain_from`` on
    none flips: both may be set before the first use.
    """

    key: bytes
    bits: int
    domain: bytes
    kept: tuple[Prefix, ...] = ()
    anchored: tuple[Prefix, ...] = ()
    pinned: Callable[[int, int], bool] = never
    pins: set[Node] = field(default_factory=set)
    plain_from: int = 128
    _flips: dict[Node, int] = field(default_factory=dict)
    _known: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value, length in (*self.kept, *self.anchored):
            self.pins.update(path_to(self.bits, value, length))

    def keeps(self, value: int) -> bool:
        """Tell whether a number is in a prefix that stays as it is."""
        return any((value ^ prefix) >> (self.bits - length) == 0 for prefix, length in self.kept)

    def __call__(self, value: int) -> int:
        """Return the number that stands for ``value``."""
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = value if self.keeps(value) else self._mapped(value)
        return known

    def _mapped(self, value: int) -> int:
        mapped = 0
        for depth in range(self.bits):
            bit = value >> (self.bits - 1 - depth) & 1
            mapped = mapped << 1 | (bit ^ self._flip(depth, value >> (self.bits - depth)))
        return mapped

    def network(self, value: int, length: int) -> int:
        """Return the network that stands for one of ``length`` bits, without host bits."""
        host = self.bits - length
        return self(value) >> host << host

    def flips(self, node: Node) -> bool:
        """Tell whether the bit after a prefix is flipped."""
        return bool(self._flip(*node))

    def _flip(self, depth: int, prefix: int) -> int:
        node = depth, prefix
        known = self._flips.get(node)
        if known is None:
            still = depth >= self.plain_from or node in self.pins or self.pinned(depth, prefix)
            known = 0 if still else self._drawn(depth, prefix)
            self._flips[node] = known
        return known

    def _drawn(self, depth: int, prefix: int) -> int:
        data = self.domain + depth.to_bytes(1, "big") + prefix.to_bytes(16, "big")
        return hashlib.blake2b(data, key=self.key, digest_size=1).digest()[0] & 1
