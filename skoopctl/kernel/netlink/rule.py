"""Decode RTM_NEWRULE (include/uapi/linux/fib_rules.h)."""

from __future__ import annotations

from dataclasses import replace
from struct import Struct

from skoopctl.kernel.netlink.dump import (
    AF_INET,
    AF_INET6,
    Dump,
    attributes,
    decode_dump,
    network,
    number32,
    s32,
    text,
)
from skoopctl.kernel.route import PolicyRule, RuleAction
from skoopctl.kernel.rule_text import render_rule

_FIB_RULE_HDR = Struct("=BBBBBxxBI")  # family, dst_len, src_len, tos, table, action, flags
_PORT_RANGE = Struct("=HH")
_RTM_NEWRULE = 32
_INVERT, _IIF_DETACHED, _OIF_DETACHED = 0x2, 0x8, 0x10
_DST, _SRC, _IIFNAME, _GOTO, _PRIORITY, _FWMARK, _FLOW, _SUPPRESS_IFGROUP = 1, 2, 3, 4, 6, 10, 11, 13
_SUPPRESS_PREFIXLEN, _TABLE, _FWMASK, _OIFNAME, _L3MDEV, _PROTOCOL = 14, 15, 16, 17, 19, 21
_IP_PROTO, _SPORT_RANGE, _DPORT_RANGE = 22, 23, 24
_TUN_ID, _UID_RANGE, _DSCP, _DSCP_MASK = 12, 20, 25, 30
_UIDS = Struct("=II")
_TUN = Struct(">Q")
_ACTIONS = {
    1: RuleAction.TABLE,
    2: RuleAction.GOTO,
    3: RuleAction.NOP,
    6: RuleAction.BLACKHOLE,
    7: RuleAction.UNREACHABLE,
    8: RuleAction.PROHIBIT,
}
# They select nothing: who added the rule, padding.
_WITHOUT_EFFECT = frozenset({0, 18, _PROTOCOL})
_NAMES = {5: "unused2", 26: "flowlabel", 27: "flowlabel mask", 28: "sport mask", 29: "dport mask"}
_PORT_MASKS = (28, 29)
_DECODED = frozenset(
    {
        _DST,
        _SRC,
        _IIFNAME,
        _GOTO,
        _PRIORITY,
        _FWMARK,
        _FLOW,
        _SUPPRESS_IFGROUP,
        _SUPPRESS_PREFIXLEN,
        _TABLE,
        _FWMASK,
        _OIFNAME,
        _L3MDEV,
        _IP_PROTO,
        _SPORT_RANGE,
        _DPORT_RANGE,
        _TUN_ID,
        _UID_RANGE,
        _DSCP,
        _DSCP_MASK,
    }
)


def decode_rules(raw: bytes) -> Dump[PolicyRule]:
    """Decode a dump of RTM_GETRULE, IPv4 and IPv6, in the kernel's order (by priority)."""
    return decode_dump(raw, _RTM_NEWRULE, _rule)


def _rule(body: bytes) -> PolicyRule | None:
    family, dst_len, src_len, tos, table, action, flags = _FIB_RULE_HDR.unpack_from(body)
    if family not in {AF_INET, AF_INET6}:  # 128 and 129 are multicast routing's
        return None
    found = attributes(body, 12)
    if action not in _ACTIONS:
        raise ValueError(f"rule action {action}")
    mark = number32(found, _FWMARK)
    rule = PolicyRule(
        4 if family == AF_INET else 6,
        number32(found, _PRIORITY),
        _ACTIONS[action],
        number32(found, _TABLE, table),
        number32(found, _GOTO),
        bool(flags & _INVERT),
        network(found[_SRC], src_len, family) if _SRC in found else None,
        network(found[_DST], dst_len, family) if _DST in found else None,
        text(found.get(_IIFNAME, b"")),
        text(found.get(_OIFNAME, b"")),
        mark,
        number32(found, _FWMASK, 0xFFFFFFFF if mark else 0),
        tos,
        found[_IP_PROTO][0] if _IP_PROTO in found else 0,
        _ports(found.get(_SPORT_RANGE)),
        _ports(found.get(_DPORT_RANGE)),
        s32.unpack_from(found[_SUPPRESS_PREFIXLEN])[0] if _SUPPRESS_PREFIXLEN in found else -1,
        bool(found[_L3MDEV][0]) if _L3MDEV in found else False,
        _undecoded(found),
        suppress_ifgroup=s32.unpack_from(found[_SUPPRESS_IFGROUP])[0] if _SUPPRESS_IFGROUP in found else -1,
        tun_id=_TUN.unpack_from(found[_TUN_ID])[0] if _TUN_ID in found else 0,
        uids=_uids(found.get(_UID_RANGE)),
        dscp=_dscp(found),
        realms=number32(found, _FLOW),
    )
    protocol = found[_PROTOCOL][0] if _PROTOCOL in found else 0
    detached = (bool(flags & _IIF_DETACHED), bool(flags & _OIF_DETACHED))
    return replace(rule, text=render_rule(rule, protocol, detached))


def _ports(raw: bytes | None) -> tuple[int, int] | None:
    if raw is None:
        return None
    low, high = _PORT_RANGE.unpack_from(raw)
    return low, high


def _uids(raw: bytes | None) -> tuple[int, int] | None:
    if raw is None:
        return None
    low, high = _UIDS.unpack_from(raw)
    return low, high


def _dscp(found: dict[int, bytes]) -> tuple[int, int] | None:
    """Return the DSCP that a rule wants and its mask; without one all six bits count (fib4_nl2rule_dscp)."""
    if _DSCP not in found:
        return None
    return found[_DSCP][0], found[_DSCP_MASK][0] if _DSCP_MASK in found else 0x3F


def _undecoded(found: dict[int, bytes]) -> tuple[str, ...]:
    # Linux 6.15 and newer send a mask with every port; all ones is what ports always meant.
    harmless = _WITHOUT_EFFECT | {key for key in _PORT_MASKS if found.get(key) == b"\xff\xff"}
    return tuple(_NAMES.get(key, f"attribute {key}") for key in found if key not in _DECODED | harmless)
