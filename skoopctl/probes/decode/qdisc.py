"""Root qdiscs' statistics out of a dump of RTM_GETQDISC (include/uapi/linux/gen_stats.h).

A classful or multiqueue root counts what its children do, so roots are added and children are not. lo is device 1
in every namespace (include/net/flow.h: LOOPBACK_IFINDEX).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from struct import Struct

from skoopctl.kernel.netlink.dump import attributes, decode_dump
from skoopctl.probes.decode.rows import Decode, Rows

_FIELDS = ("bytes", "packets", "qlen", "backlog", "drops", "overlimits")
_RTM_NEWQDISC = 36
_TCMSG = Struct("=BxxxiIII")  # family, index, handle, parent, info
_ROOT = 0xFFFFFFFF
_LOOPBACK = 1
_STATS2 = 7
_BASIC, _QUEUE, _PACKETS64 = 1, 3, 8
_BASIC_BODY = Struct("=QI")  # bytes, packets
_QUEUE_BODY = Struct("=5I")  # qlen, backlog, drops, requeues, overlimits
_U64 = Struct("=Q")

_Sums = tuple[int, int, int, int, int, int]


def compile_qdisc(fields: Sequence[str]) -> Decode:
    """Make a decoder of some of `_FIELDS`."""
    places = [_FIELDS.index(field) for field in fields]
    get = itemgetter(*places) if len(places) > 1 else lambda sums: (sums[places[0]],)

    def decode(netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
        dump = decode_dump(items[0] or b"", _RTM_NEWQDISC, _root_statistics)
        if dump.problem:
            raise ValueError(dump.problem)
        sums = tuple(map(sum, zip(*dump.entries, strict=True))) or (0,) * len(_FIELDS)
        return [(netns, get(sums))]

    return decode


def _root_statistics(body: bytes) -> _Sums | None:
    _, index, _, parent, _ = _TCMSG.unpack_from(body)
    if parent != _ROOT or index == _LOOPBACK:
        return None
    found = attributes(attributes(body, 20)[_STATS2]) if _STATS2 in attributes(body, 20) else {}
    if _BASIC not in found or _QUEUE not in found:
        raise ValueError("a qdisc without statistics")
    octets, packets = _BASIC_BODY.unpack_from(found[_BASIC])
    if _PACKETS64 in found:  # from Linux 5.5 on, where 32 bits are not enough
        (packets,) = _U64.unpack_from(found[_PACKETS64])
    qlen, backlog, drops, _, overlimits = _QUEUE_BODY.unpack_from(found[_QUEUE])
    return octets, packets, qlen, backlog, drops, overlimits
