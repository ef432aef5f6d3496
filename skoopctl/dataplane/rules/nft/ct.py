"""``ct``: what nftables reads of a packet's connection (net/netfilter/nft_ct.c: nft_ct_get_eval)."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.conntrack import CtState, Entry, Tracking
from skoopctl.dataplane.packet import Tuple5
from skoopctl.dataplane.rules.nft import types
from skoopctl.dataplane.rules.nft.compare import WORD, Bits, Scalar, Span
from skoopctl.dataplane.rules.nft.fields import AbsentError, Field
from skoopctl.dataplane.rules.nft.types import UnclearError
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.kernel.nft import Ct

_STATES = types.CT_STATE.symbols
_STATE_BITS = {state: _STATES[state.value.lower()] for state in CtState}
_STATUS = types.CT_STATUS.symbols
# The bits that a walk does not follow: ASSURED, SEQ_ADJUST, SRC_NAT_DONE, DST_NAT_DONE, FIXED_TIMEOUT, HELPER,
# OFFLOAD, HW_OFFLOAD (include/uapi/linux/netfilter/nf_conntrack_common.h).
_STATUS_KNOWN = WORD & ~(4 | 0x40 | 0x80 | 0x100 | 0x400 | 0x2000 | 0x4000 | 0x8000)


def _state(scene: Scene) -> Scalar:
    tracking = scene.packet.tracking
    if tracking is None:
        return _STATES["untracked" if scene.packet.untracked else "invalid"]
    return _STATE_BITS[tracking.state]


def _tracking(scene: Scene) -> tuple[Tracking, Entry]:
    tracking = scene.packet.tracking
    if tracking is None or tracking.entry is None:
        raise AbsentError
    return tracking, tracking.entry


def _status(scene: Scene) -> Scalar:
    _, entry = _tracking(scene)
    value = 0
    for name, is_set in (
        ("seen-reply", entry.seen_reply),
        ("confirmed", entry.confirmed),
        ("snat", entry.source_nat),
        ("dnat", entry.destination_nat),
    ):
        value |= _STATUS[name] if is_set else 0
    known = _STATUS_KNOWN if entry.seen_reply else _STATUS_KNOWN | _STATUS["assured"]
    return Bits(value, known, "the rest of the connection's status")


def _of_entry(read: Callable[[Entry], Scalar]) -> Callable[[Scene], Scalar]:
    return lambda scene: read(_tracking(scene)[1])


def _with_entry(what: str, high: int = WORD) -> Callable[[Scene], Scalar]:
    def read(scene: Scene) -> Scalar:
        _tracking(scene)
        return Span(0, high, what)

    return read


def _family(scene: Scene) -> Scalar:
    _tracking(scene)
    return 2 if scene.packet.family == 4 else 10


def _zone(direction: str) -> Callable[[Scene], Scalar]:
    """Without a direction, a zone that is for one of them only is told all the same."""
    if direction == "reply":
        return _of_entry(lambda entry: entry.zone_reply)
    if direction == "original":
        return _of_entry(lambda entry: entry.zone)
    return _of_entry(lambda entry: entry.zone or entry.zone_reply)


_OF_TUPLE: dict[str, tuple[Callable[[Tuple5], Scalar], types.Datatype]] = {
    "saddr": (lambda key: key.source, types.ADDRESS),
    "daddr": (lambda key: key.destination, types.ADDRESS),
    "proto-src": (lambda key: key.source_ports, types.PORT),
    "proto-dst": (lambda key: key.destination_ports, types.PORT),
}
_LABEL = types.Datatype("connection label", flags=True)
_CT: dict[str, Field] = {
    "state": Field(_state, types.CT_STATE),
    "status": Field(_status, types.CT_STATUS),
    "mark": Field(_of_entry(lambda entry: entry.mark), types.MARK),
    "direction": Field(lambda scene: int(_tracking(scene)[0].is_reply), types.CT_DIRECTION),
    "protocol": Field(_of_entry(lambda entry: entry.original.protocol), types.PROTOCOL),
    "l3proto": Field(_family, types.NFPROTO),
    "id": Field(_with_entry("the connection's id")),
    "label": Field(_with_entry("the connection's labels"), _LABEL),
    "expiration": Field(_with_entry("when the connection expires")),
    "helper": Field(_with_entry("the connection's helper")),
    "secmark": Field(_with_entry("the connection's security mark")),
    "bytes": Field(_with_entry("how many bytes the connection has carried", WORD << 32)),
    "packets": Field(_with_entry("how many packets the connection has carried", WORD << 32)),
    "avgpkt": Field(_with_entry("how large the connection's packets are", WORD << 32)),
}


def ct_field(expression: Ct) -> Field:
    """Return how to read a key of the connection; raises `UnclearError` for one that is not known."""
    key = expression.key
    family = {"ip": 4, "ip6": 6}.get(key.split(" ")[0], 0)
    name = key.split(" ")[-1]
    if name in _OF_TUPLE:
        of_tuple, datatype = _OF_TUPLE[name]
        reply = expression.direction == "reply"

        def read(scene: Scene) -> Scalar:
            entry = _tracking(scene)[1]
            if family not in {0, scene.packet.family}:
                raise AbsentError
            return of_tuple(entry.reply if reply else entry.original)

        return Field(read, datatype)
    if key == "zone":
        return Field(_zone(expression.direction))
    known = _CT.get(key)
    if known is None:
        raise UnclearError(f"ct {key} is not modelled")
    return known
