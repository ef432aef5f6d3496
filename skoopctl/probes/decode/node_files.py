"""Files that a node has once: /proc/net/softnet_stat and ip_vs_stats, both of hexadecimal numbers."""

from __future__ import annotations

from collections.abc import Sequence

from skoopctl.probes.decode.rows import Decode, Rows, text_of

_SOFTNET = {"processed": 0, "dropped": 1, "squeezed": 2, "flowlimited": 10}
"""Columns of net/core/net-procfs.c: softnet_seq_show; the last is there from Linux 3.11 on."""

_IPVS = ("connections", "incomingpackets", "outgoingpackets", "incomingbytes", "outgoingbytes")
"""Columns of net/netfilter/ipvs/ip_vs_ctl.c: ip_vs_stats_show."""


def compile_softnet(fields: Sequence[str]) -> Decode:
    """Make a decoder that adds up the lines, one a CPU."""

    def decode(netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        rows = [_numbers(line) for line in text_of(items[0] or b"").split("\n") if line]
        width = min(map(len, rows), default=0)
        if not width:
            raise ValueError("no CPU")
        places = (_SOFTNET[field] for field in fields)
        return [(netns, tuple(sum(row[p] for row in rows) if p < width else None for p in places))]

    return decode


def compile_ipvs(fields: Sequence[str]) -> Decode:
    """Make a decoder of the totals; rates stand below them."""

    def decode(netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        lines = text_of(items[0] or b"").split("\n")
        totals = _numbers(lines[2]) if len(lines) > 2 else []
        if len(totals) != len(_IPVS):
            raise ValueError("five totals in the third line were expected")
        return [(netns, tuple(totals[_IPVS.index(field)] for field in fields))]

    return decode


def _numbers(line: str) -> list[int]:
    words = line.split()
    if any(len(word) > 16 for word in words):
        raise ValueError(f"no numbers in {line[:60]!r}")
    return [int(word, 16) for word in words]
