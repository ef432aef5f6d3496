"""From an address to a MAC address: what the neighbour table says, else who would answer ARP.

Sources: net/core/neighbour.c, net/ipv4/arp.c (arp_process, arp_ignore).
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.routing import Query
from skoopctl.dataplane.topology import Station, Topology
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.tunnels import TUNNELS, is_ethernet
from skoopctl.dataplane.tunnels.far_ends import far_ends
from skoopctl.kernel.link import Link, PortState
from skoopctl.kernel.neighbour import Neighbour, NeighbourState
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType

_VALID = frozenset(
    {
        NeighbourState.PERMANENT,
        NeighbourState.NOARP,
        NeighbourState.REACHABLE,
        NeighbourState.STALE,
        NeighbourState.DELAY,
        NeighbourState.PROBE,
    }
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A MAC address ('' when nobody here can know it, such as a router outside), and how it was found.

    ``asked`` is true where the table has no valid entry, so that the kernel asks (ARP, neighbour discovery).
    """

    mac: str
    evidence: tuple[Evidence, ...] = ()
    asked: bool = False


def resolve(topology: Topology, station: Station, address: int, family: int) -> Resolution | None:
    """Return the MAC address of a next hop, or None when nobody answers for it."""
    netns, link = station.netns, station.link
    tunnel = TUNNELS.get(link.kind)
    if (link.noarp and link.kind != "veth" and tunnel is None) or (
        tunnel is not None and not tunnel.ethernet
    ):
        return Resolution("")
    entry = find_entry(netns, link, address)
    if entry is not None and entry.state in _VALID and entry.mac:
        return Resolution(entry.mac, neighbour_evidence(netns, link, address))
    mac = answer(topology, station, address, family)
    if mac is None and topology.is_outward(station) and entry is None:
        return Resolution("", asked=True)
    return None if mac is None else Resolution(mac, neighbour_evidence(netns, link, address), asked=True)


def find_entry(netns: NetNamespace, link: Link, address: int) -> Neighbour | None:
    """Return the neighbour entry of an address on a device."""
    for entry in netns.neighbours:
        if entry.index == link.index and int(entry.ip) == address and not entry.proxy:
            return entry
    return None


def neighbour_evidence(netns: NetNamespace, link: Link, address: int) -> tuple[Evidence, ...]:
    """Return the neighbour entry as evidence."""
    if "neigh" in netns.gaps:
        return (Evidence("gap", netns.gaps["neigh"], "neigh", node=netns.host, netns=netns.inode),)
    entry = find_entry(netns, link, address)
    if entry is None:
        return ()
    text = entry.text or f"{entry.ip} dev {link.name} lladdr {entry.mac} {entry.state.value}"
    return (Evidence("neighbour", text, link.name, node=netns.host, netns=netns.inode),)


def answer(topology: Topology, station: Station, address: int, family: int) -> str | None:
    """Return the MAC address of whoever would answer ARP for an address on this segment."""
    link = station.link
    if not link.up:
        return None
    if link.kind == "bridge":
        return _on_bridge(topology, station, address, family, without=0)
    if is_ethernet(link):
        return _over_tunnel(topology, station, address, family)
    peer = topology.peer(station)
    if peer is None:
        return _on_underlay(topology, station, address)
    return _far_end(topology, peer, address, family)


def _far_end(topology: Topology, peer: Station, address: int, family: int) -> str | None:
    """Ask what is behind the other end of a veth."""
    if not peer.link.up:
        return None
    bridge = topology.master(peer)
    if bridge is None:
        return peer.link.mac if _answers(topology, peer, address, family) else None
    if not bridge.link.up:
        return None
    if _answers(topology, bridge, address, family):
        return bridge.link.mac
    return _on_bridge(topology, bridge, address, family, without=peer.link.index)


def _on_bridge(topology: Topology, bridge: Station, address: int, family: int, without: int) -> str | None:
    for port in topology.ports(bridge):
        state = port.link.port.state if port.link.port else PortState.FORWARDING
        if port.link.index == without or not port.link.up or state is not PortState.FORWARDING:
            continue
        if is_ethernet(port.link):
            mac = _over_tunnel(topology, port, address, family)
            if mac is not None:
                return mac
            continue
        peer = topology.peer(port)
        mac = (
            _on_underlay(topology, port, address)
            if peer is None
            else _far_end(topology, peer, address, family)
        )
        if mac is not None:
            return mac
    return None


def _over_tunnel(topology: Topology, station: Station, address: int, family: int) -> str | None:
    """Ask whoever a broadcast on a tunnel's device reaches. Tunnels that lead in a ring are asked once."""
    asking = topology.caches.setdefault("arp over tunnels", set())
    assert isinstance(asking, set)  # noqa: S101 - this module's own entry
    place = station.key, station.link.index
    if place in asking:
        return None
    asking.add(place)
    try:
        for far in far_ends(topology, station, Packet(family, 0, address, 0)):
            mac = _far_end(topology, far, address, family)
            if mac is not None:
                return mac
        return None
    finally:
        asking.discard(place)


def _on_underlay(topology: Topology, station: Station, address: int) -> str | None:
    owners = [o for o in topology.underlay_owners(address, station.key) if o.link.up]
    return owners[0].link.mac if owners else None


def _answers(topology: Topology, station: Station, address: int, family: int) -> bool:
    """Tell whether a device answers ARP: for an address of its namespace, or as a proxy."""
    netns, link = station.netns, station.link
    if family == 6:
        return _answers_solicitation(netns, link, address)
    router = topology.router(netns)
    if router.is_local(address, family):
        ignore = max(
            netns.sysctls.integer(f"net/ipv4/conf/{name}/arp_ignore") or 0 for name in ("all", link.name)
        )
        on_device = any(a.index == link.index and int(a.ip) == address for a in netns.addresses)
        return on_device or ignore == 0
    if any(n.proxy and n.index == link.index and int(n.ip) == address for n in netns.neighbours):
        return True
    proxy = max(netns.sysctls.integer(f"net/ipv4/conf/{name}/proxy_arp") or 0 for name in ("all", link.name))
    if not proxy:
        return False
    back = router.lookup(Query(address, family, iif=link.name))
    return back.type is RouteType.UNICAST and all(hop.index != link.index for hop in back.hops)


def _answers_solicitation(netns: NetNamespace, link: Link, address: int) -> bool:
    """Tell whether a device answers neighbour solicitations (net/ipv6/ndisc.c: ndisc_recv_ns).

    Unlike ARP, only for an address of this very device, or as a proxy for an address that is listed.
    """
    if any(a.index == link.index and int(a.ip) == address for a in netns.addresses):
        return True
    sysctls = netns.sysctls
    proxy = any(sysctls.integer(f"net/ipv6/conf/{name}/proxy_ndp") for name in ("all", link.name))
    forwards = sysctls.integer(f"net/ipv6/conf/{link.name}/forwarding")
    if not proxy or not (sysctls.integer("net/ipv6/conf/all/forwarding") if forwards is None else forwards):
        return False
    return any(n.proxy and n.index == link.index and int(n.ip) == address for n in netns.neighbours)
