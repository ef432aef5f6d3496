"""VXLAN: Ethernet over UDP, its remotes in a forwarding database by MAC address.

Source: drivers/net/vxlan/vxlan_core.c (vxlan_xmit, vxlan_xmit_one, vxlan_rcv, vxlan_vs_find_vni,
vxlan_set_mac, vxlan_snoop).
"""

from __future__ import annotations

from ipaddress import ip_address

from skoopctl.dataplane.packet import Packet, Ports
from skoopctl.dataplane.passage import TooBig
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Disposition, Evidence
from skoopctl.dataplane.tunnels.registry import (
    Remote,
    Sending,
    Stop,
    Tunnel,
    register,
    source_ports,
)
from skoopctl.kernel.link import Link, Vxlan
from skoopctl.kernel.neighbour import FdbEntry
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.tunnel import Df

_ALL_ZERO = "00:00:00:00:00:00"
# Outer IP and UDP headers, VXLAN's own, and the inner Ethernet header.
_OVERHEAD = {4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14}


def remotes(sending: Sending) -> tuple[Remote, ...] | Stop:
    """Return the remotes for a MAC address: its own entry, else all of the all-zero entry (flooding)."""
    netns, link = sending.netns, sending.link
    vxlan = link.vxlan
    if vxlan is None or vxlan.external:
        reason = f"{link.name} takes its remote from metadata (external), which is not modelled"
        return Stop(Disposition.OPAQUE, reason, "opaque-program")
    entries = [e for e in netns.fdb if e.index == link.index and e.remote is not None]
    mine = [e for e in entries if e.mac == sending.mac and sending.mac]
    for chosen in (mine, [e for e in entries if e.mac == _ALL_ZERO]):
        if chosen:
            return _all(sending, vxlan, chosen)
    if vxlan.group:
        return (_remote(sending, vxlan, ip_address(vxlan.group).packed, None),)
    return Stop(
        Disposition.DROPPED,
        f"{link.name} has no forwarding entry for {sending.mac}: the kernel does not know which node to send to",
        "fdb-entry-missing",
        _fdb_evidence(netns, link),
    )


def _all(sending: Sending, vxlan: Vxlan, entries: list[FdbEntry]) -> tuple[Remote, ...] | Stop:
    found = [_remote(sending, vxlan, e.remote.packed, e) for e in entries if e.remote is not None]
    if any(e.remote is not None and e.remote.is_multicast for e in entries):
        group = next(str(e.remote) for e in entries if e.remote is not None and e.remote.is_multicast)
        reason = f"{sending.link.name} floods to the multicast group {group}, which the walk does not follow"
        return Stop(Disposition.UNKNOWN, reason, "not-decided", found[0].evidence)
    return tuple(found)


def _remote(sending: Sending, vxlan: Vxlan, packed: bytes, entry: FdbEntry | None) -> Remote:
    netns, link = sending.netns, sending.link
    family = 4 if len(packed) == 4 else 6
    port, vni = (entry.port or vxlan.port, entry.vni or vxlan.vni) if entry else (vxlan.port, vxlan.vni)
    evidence: tuple[Evidence, ...] = ()
    if entry is not None:
        evidence = (Evidence("fdb", entry.text, link.name, node=netns.host, netns=netns.inode),)
    local = ip_address(vxlan.local) if vxlan.local else None
    return Remote(
        int.from_bytes(packed, "big"),
        family,
        f"VXLAN {vni} to {ip_address(packed)} port {port}",
        _OVERHEAD[family],
        source=int(local) if local is not None and local.version == family else 0,
        source_ports=source_ports(netns, vxlan.port_range),
        destination_ports=Ports.of(port),
        number=vni,
        # An entry of its own goes by the route (rdst->remote_ifindex is 0); only the device's default
        # remote, and an entry made with `via`, are bound to a device.
        oif=entry.via if entry is not None else vxlan.lower,
        too_big=_too_big(family, vxlan.df),
        evidence=evidence,
    )


def _too_big(family: int, df: Df) -> TooBig:
    """Say what happens to a large outer packet: the walk's inner packets have DF set, so `inherit` is `set`.

    IPv6 has no DF, but ip6_fragment() cuts only what has ignore_df, and these packets have not.
    """
    return TooBig.SILENT if family == 6 or df is not Df.UNSET else TooBig.FRAGMENTS


def takes(station: Station, outer: Packet) -> int:
    """Tell whether a device takes an outer packet: family, port and VNI, and its address where it binds to it."""
    vxlan, wrapping = station.link.vxlan, outer.wrapping
    if vxlan is None or wrapping is None:
        return 0
    if not vxlan.external and (vxlan.family != outer.family or vxlan.vni != wrapping.number):
        return 0
    if vxlan.port != outer.destination_ports.low:
        return 0
    if vxlan.local_bind and vxlan.local and int(ip_address(vxlan.local)) != outer.destination:
        return 0
    return 1 if vxlan.external else 2


def admits(station: Station, outer: Packet, _inner: Packet) -> Stop | None:
    """A device that learns drops a frame whose sender's MAC has a static entry for another remote."""
    vxlan, wrapping = station.link.vxlan, outer.wrapping
    if vxlan is None or wrapping is None or vxlan.external or not vxlan.learning:
        return None
    for entry in station.netns.fdb:
        if entry.index != station.link.index or entry.mac != wrapping.source_mac or not wrapping.source_mac:
            continue
        if entry.permanent and entry.remote is not None and int(entry.remote) != outer.source:
            netns, link = station.netns, station.link
            evidence = (Evidence("fdb", entry.text, link.name, node=netns.host, netns=netns.inode),)
            reason = (
                f"{link.name} has a static entry for {entry.mac} at {entry.remote}, and drops its frames from "
                f"{outer.address(outer.source)}"
            )
            return Stop(Disposition.DROPPED, reason, "fdb-entry-wrong", evidence)
    return None


def _fdb_evidence(netns: NetNamespace, link: Link) -> tuple[Evidence, ...]:
    if "fdb" in netns.gaps:
        return (Evidence("gap", netns.gaps["fdb"], "fdb", node=netns.host, netns=netns.inode),)
    entries = [e.text for e in netns.fdb if e.index == link.index and e.remote is not None]
    text = "; ".join(entries) or "(no entries)"
    return (Evidence("fdb", text, link.name, node=netns.host, netns=netns.inode),)


VXLAN = register(Tunnel("VXLAN", frozenset({"vxlan"}), remotes, takes, ethernet=True, admits=admits))
