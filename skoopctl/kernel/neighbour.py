"""Neighbours and the forwarding database (``ip neigh``, ``bridge fdb``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from skoopctl.kernel.address import IPAddress


class NeighbourState(StrEnum):
    """NUD_* of include/uapi/linux/neighbour.h, in the words of ip-neighbour(8)."""

    INCOMPLETE = "INCOMPLETE"
    REACHABLE = "REACHABLE"
    STALE = "STALE"
    DELAY = "DELAY"
    PROBE = "PROBE"
    FAILED = "FAILED"
    NOARP = "NOARP"
    PERMANENT = "PERMANENT"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One entry of the ARP or ND table. ``proxy`` entries answer for others (``ip neigh show proxy``)."""

    index: int
    ip: IPAddress
    mac: str
    state: NeighbourState
    proxy: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """One forwarding entry: a bridge port (``master``), or a VXLAN remote (``self`` with ``remote``).

    ``index`` is the port, or the VXLAN device. ``local`` marks the port's own address (NUD_PERMANENT on a
    bridge port without NTF_EXT_LEARNED). ``port``, ``vni`` and ``via`` (an ifindex) are a remote's own; 0 stands
    for the device's port and VNI, and for whatever device the route to the remote takes.
    """

    index: int
    mac: str
    master: int = 0
    is_self: bool = False
    permanent: bool = False
    local: bool = False
    vlan: int = 0
    remote: IPAddress | None = None
    port: int = 0
    vni: int = 0
    text: str = ""
    via: int = 0
