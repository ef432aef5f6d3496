"""conntrack's counters: nfnetlink's per-CPU statistics, or /proc/net/stat/nf_conntrack where there is no netlink.

The numbers of attributes are those of include/uapi/linux/netfilter/nfnetlink_conntrack.h. Kernels stopped counting
some of them; the file in /proc keeps their columns, as zeros: what is not counted any more is not known.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import Struct
from sys import byteorder

from skoopctl.kernel.netlink.dump import attributes, decode_dump
from skoopctl.probes.decode.rows import Decode, Rows, text_of, whole

_STATS_CPU, _STATS = 1 << 8 | 4, 1 << 8 | 5
_ENTRIES, _MAX_ENTRIES = 1, 2
_U32 = Struct(">I")
_GENERIC_HEADER = 4  # struct nfgenmsg
_FIRST_ATTRIBUTE = 20  # struct nlmsghdr, struct nfgenmsg
_MESSAGE = Struct("=IHH")  # length, type, flags
_ATTRIBUTE = Struct("=HH")  # length, type
_DUMP_INTR = 0x10

ATTRIBUTES = {
    "found": 2,
    "invalid": 4,
    "ignore": 5,
    "insert": 8,
    "insertfailed": 9,
    "drop": 10,
    "earlydrop": 11,
    "error": 12,
    "searchrestart": 13,
    "clash": 14,
    "chaintoolong": 15,
}
"""CTA_STATS_* by the names of fields."""

_COLUMNS = {
    "found": "found",
    "invalid": "invalid",
    "ignore": "ignore",
    "insert": "insert",
    "insertfailed": "insert_failed",
    "drop": "drop",
    "earlydrop": "early_drop",
    "error": "icmp_error",
    "searchrestart": "search_restart",
    "clash": "clashres",
    "chaintoolong": "chainlength",
}

_Counted = dict[str, int]


def compile_conntrack(fields: Sequence[str]) -> Decode:
    """Make a decoder out of ``conntrack-stats``, ``conntrack-proc`` and ``conntrack-count``."""

    def decode(netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        netlink, proc, count = items
        found: _Counted = {}
        if netlink:
            found = _of_netlink(netlink)
        elif proc:
            found = _of_proc(text_of(proc))
        if count:
            found |= _of_sysctls(text_of(count))
        if not found:
            return []
        return [(netns, tuple(map(found.get, fields)))]

    return decode


def _of_netlink(raw: bytes) -> _Counted:
    """Add up what each CPU counted, and take the table's size from the answer behind it."""
    sums, end = _alike(raw)
    rest = raw[end:]
    dump = decode_dump(rest, _STATS_CPU, _numbers)
    if dump.problem:
        raise ValueError(dump.problem)
    for cpu in dump.entries:
        for kind, number in cpu.items():
            sums[kind] = sums.get(kind, 0) + number
    found = {name: sums[kind] for name, kind in ATTRIBUTES.items() if kind in sums}
    for table in decode_dump(rest, _STATS, _numbers).entries:
        found |= {
            name: table[kind]
            for name, kind in (("entries", _ENTRIES), ("maxentries", _MAX_ENTRIES))
            if kind in table
        }
    return found


def _alike(raw: bytes) -> tuple[dict[int, int], int]:
    """Add up messages at the beginning that are laid out alike, column by column; return where they end.

    A node with 64 CPUs sends 64 such messages for each namespace: one by one they take six times as long. Whatever is
    not as a kernel lays it out is left to who reads message by message.
    """
    if len(raw) < _FIRST_ATTRIBUTE:
        return {}, 0
    size, kind, flags = _MESSAGE.unpack_from(raw)
    if (
        kind != _STATS_CPU
        or flags & _DUMP_INTR
        or size < _FIRST_ATTRIBUTE
        or size % 8 != _FIRST_ATTRIBUTE % 8
    ):
        return {}, 0
    head, count = raw[: _MESSAGE.size], 0
    while raw.startswith(head, count * size) and (count + 1) * size <= len(raw):
        count += 1
    words, stride = array("I", raw[: count * size]), size // 4
    numbers = array("I", words)
    if byteorder == "little":
        numbers.byteswap()
    sums: dict[int, int] = {}
    for place in range(_FIRST_ATTRIBUTE // 4, stride, 2):
        length, attribute = _ATTRIBUTE.unpack_from(raw, place * 4)
        if length != 8 or words[place::stride].count(words[place]) != count:
            return {}, 0
        sums[attribute] = sum(numbers[place + 1 :: stride])
    return sums, count * size


def _numbers(body: bytes) -> dict[int, int]:
    return {
        kind: _U32.unpack(raw)[0] for kind, raw in attributes(body, _GENERIC_HEADER).items() if len(raw) == 4
    }


def _of_proc(text: str) -> _Counted:
    """Add up the lines, one a CPU, of hexadecimal numbers below their names."""
    head, *lines = text.split("\n")
    names = head.split()
    rows = [[_hexadecimal(word) for word in line.split()] for line in lines if line]
    if not rows or any(len(row) != len(names) for row in rows):
        raise ValueError("values do not stand below their names")
    sums = {name: sum(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    if "clashres" in sums:
        sums.pop("ignore", None)  # from Linux 5.10 on the column is there, and nothing is counted
    found = {field: sums[name] for field, name in _COLUMNS.items() if name in sums}
    if "entries" in names:
        found["entries"] = rows[0][names.index("entries")]  # the table's, on each line
    return found


def _of_sysctls(text: str) -> _Counted:
    """Read ``count N`` and ``max N``."""
    words = [line.split() for line in text.split("\n") if line]
    if any(len(pair) != 2 for pair in words):
        raise ValueError("lines of a name and a number were expected")
    told = {name: whole(number) for name, number in words}
    return {
        field: told[name] for field, name in (("entries", "count"), ("maxentries", "max")) if name in told
    }


def _hexadecimal(word: str) -> int:
    if len(word) > 16:
        raise ValueError(f"{word[:30]!r} is not a number")
    return int(word, 16)
