"""Decode RTM_NEWQDISC: which devices have a hook for tc programs before or behind the stack."""

from __future__ import annotations

from struct import Struct

from skoopctl.kernel.netlink.dump import Dump, attributes, decode_dump, text

_TCMSG = Struct("=BxxxiIII")  # family, index, handle, parent, info
_RTM_NEWQDISC = 36
_KIND = 1


def decode_tc_devices(raw: bytes) -> Dump[int]:
    """Decode a dump of RTM_GETQDISC: the indexes of devices with a ``clsact`` or ``ingress`` qdisc."""
    return decode_dump(raw, _RTM_NEWQDISC, _qdisc)


def _qdisc(body: bytes) -> int | None:
    _, index, _, _, _ = _TCMSG.unpack_from(body)
    kind = text(attributes(body, 20).get(_KIND, b""))
    return index if kind in {"clsact", "ingress"} else None
