"""``-m cluster``: which of several nodes takes a connection, by a hash of its source (xt_cluster.c)."""

from __future__ import annotations

from skoopctl.dataplane.rules.matches.registry import Predicate, whole
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown
from skoopctl.kernel.iptables import Match

_WORD = 0xFFFFFFFF
_JHASH_INITVAL = 0xDEADBEEF


def jhash_1word(value: int, seed: int) -> int:
    """Hash one word as the kernel does (include/linux/jhash.h: jhash_1word)."""
    start = (seed + _JHASH_INITVAL + (1 << 2)) & _WORD
    a, b, c = (value + start) & _WORD, start, start
    c = ((c ^ b) - _rotate(b, 14)) & _WORD
    a = ((a ^ c) - _rotate(c, 11)) & _WORD
    b = ((b ^ a) - _rotate(a, 25)) & _WORD
    c = ((c ^ b) - _rotate(b, 16)) & _WORD
    a = ((a ^ c) - _rotate(c, 4)) & _WORD
    b = ((b ^ a) - _rotate(a, 14)) & _WORD
    return ((c ^ b) - _rotate(b, 24)) & _WORD


def _rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _WORD


@whole(
    "cluster",
    "cluster-total-nodes",
    "cluster-local-node",
    "cluster-local-nodemask",
    "cluster-hash-seed",
)
def cluster(match: Match) -> Predicate:
    """``--cluster-total-nodes N [!] --cluster-local-node I --cluster-hash-seed S``.

    The address is hashed as it lies in the memory of a little-endian machine. IPv6 is not modelled.
    """
    options = {opt.name: opt for opt in match.options}
    total = int(options["cluster-total-nodes"].values[0], 0)
    seed = int(options["cluster-hash-seed"].values[0], 0) & _WORD
    local = options.get("cluster-local-node")
    told = local or options["cluster-local-nodemask"]
    mask = 1 << (int(local.values[0], 0) - 1) if local else int(told.values[0], 0)
    not_modelled = Unknown("-m cluster: the hash of an IPv6 address is not modelled")

    def predicate(scene: Scene) -> Truth:
        entry = scene.packet.tracking.entry if scene.packet.tracking else None
        if entry is None:
            return False
        if scene.packet.family != 4:
            return not_modelled
        address = int.from_bytes(entry.original.source.to_bytes(4, "big"), "little")
        node = (jhash_1word(address, seed) * total) >> 32
        return bool(mask >> node & 1) != told.inverted

    return predicate
