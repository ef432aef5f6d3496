"""VLAN filtering of a bridge: which frames a port takes in, lets out, and with which tag.

Source: net/bridge/br_vlan.c (__allowed_ingress, br_allowed_egress, br_handle_vlan).
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.kernel.link import Link, VlanEntry

UNREAD = -1


@dataclass(frozen=True, slots=True)
class Passage:
    """What becomes of a frame: ``allowed`` (None: not known), with the VLAN or tag that it has then.

    A VLAN of `UNREAD` is one that nobody knows, because a port's VLANs were not read.
    """

    allowed: bool | None
    vlan: int = 0


def filters(bridge: Link) -> bool:
    """Tell whether a bridge looks at VLANs at all; one that does not passes tags through as they are."""
    return bridge.bridge is not None and bridge.bridge.vlan_filtering


def ingress(bridge: Link, port: Link, tag: int) -> Passage:
    """Return the VLAN of a frame that comes in on a port, or that the host sends (``port`` is the bridge)."""
    if not filters(bridge):
        return Passage(True)
    if port.vlans is None:
        return Passage(None, UNREAD)
    if tag:
        return Passage(_member(port, tag) is not None, tag)
    pvid = next((entry.vid for entry in port.vlans if entry.pvid), 0)
    return Passage(bool(pvid), pvid)


def egress(bridge: Link, port: Link, vlan: int, tag: int) -> Passage:
    """Return the tag with which a frame of a VLAN leaves by a port, or goes up (``port`` is the bridge)."""
    if not filters(bridge):
        return Passage(True, tag)
    if port.vlans is None or vlan == UNREAD:
        return Passage(None, tag)
    entry = _member(port, vlan)
    if entry is None:
        # Frames for a promiscuous bridge go up whatever their VLAN, and keep its tag (br_pass_frame_up).
        return Passage(port.index == bridge.index and port.promiscuous, vlan)
    return Passage(True, 0 if entry.untagged else vlan)


def _member(port: Link, vlan: int) -> VlanEntry | None:
    return next((entry for entry in port.vlans or () if entry.vid == vlan), None)


def membership_text(port: Link) -> str:
    """Return a port's VLANs as ``bridge vlan show`` writes them, on one line."""
    if port.vlans is None:
        return f"{port.name}: VLANs (not read)"
    words = [
        f"{e.vid}{' PVID' if e.pvid else ''}{' Egress Untagged' if e.untagged else ''}" for e in port.vlans
    ]
    return f"{port.name}: VLANs {', '.join(words) or '(none)'}"
