"""The table of tunnels: for each kind of device, how it finds its remote and who takes its packets there.

A tunnel is a file beside this one that registers a `Tunnel`; `wrapping` makes and opens the outer packets by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skoopctl.dataplane.packet import NO_PORTS, Packet, Ports, Unreachable
from skoopctl.dataplane.passage import TooBig
from skoopctl.dataplane.topology import NsKey, Station, Topology
from skoopctl.dataplane.trace import Disposition, Evidence
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

DEFAULT_PORTS = Ports(32768, 60999)


@dataclass(frozen=True, slots=True)
class Sending:
    """A packet on a tunnel's device, about to be wrapped: where, for which MAC address or next hop.

    ``endpoints`` is where peers' packets came from in this very flow (`World.endpoints`).
    """

    topology: Topology
    netns: NetNamespace
    link: Link
    packet: Packet
    mac: str = ""
    next_hop: int = 0
    endpoints: Mapping[tuple[NsKey, int, str], tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remote:
    """One place that a tunnel's device sends to, and what the outer packet looks like.

    ``source`` 0 takes the route's. ``number`` is the VNI or GRE's key (-1: none); ``mark`` None keeps the inner
    packet's. ``sender`` and ``receiver`` are WireGuard's public keys. ``overhead`` is how many bytes the outer IP
    packet is larger than the inner one.
    """

    address: int
    family: int
    words: str
    overhead: int
    source: int = 0
    protocol: int = 17
    source_ports: Ports = NO_PORTS
    destination_ports: Ports = NO_PORTS
    number: int = -1
    checked: int = 0
    oif: int = 0
    mark: int | None = None
    too_big: TooBig = TooBig.FRAGMENTS
    sender: str = ""
    receiver: str = ""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a tunnel's device does not send, or does not take a packet."""

    disposition: Disposition
    reason: str
    cause: str
    evidence: tuple[Evidence, ...] = ()
    error: Unreachable | None = None


FindRemotes = Callable[[Sending], tuple[Remote, ...] | Stop]
Takes = Callable[[Station, Packet], int]
"""How well a device fits an outer packet that arrives in its underlay: 0 not at all, the largest wins."""
Admits = Callable[[Station, Packet, Packet], Stop | None]
"""What the device that took the outer packet refuses: it, the outer packet, the inner packet."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One kind of tunnel. ``ethernet`` tells that its cargo is frames, with MAC addresses, and not packets."""

    name: str
    kinds: frozenset[str]
    remotes: FindRemotes
    takes: Takes
    ethernet: bool = False
    admits: Admits = field(default=lambda _station, _outer, _inner: None)
    keeps_mark: bool = True


TUNNELS: dict[str, Tunnel] = {}
"""By IFLA_INFO_KIND."""


def register(tunnel: Tunnel) -> Tunnel:
    """Add a tunnel to the table."""
    for kind in tunnel.kinds:
        TUNNELS[kind] = tunnel
    return tunnel


def is_ethernet(link: Link) -> bool:
    """Tell whether a device is a tunnel with MAC addresses, over which ARP goes too."""
    tunnel = TUNNELS.get(link.kind)
    return tunnel is not None and tunnel.ethernet


def underlay(topology: Topology, station: Station) -> NetNamespace | None:
    """Return the namespace that a tunnel's outer packets live in: the one that the device was made in.

    A device that was moved tells it by IFLA_LINK_NETNSID; None when that namespace was not collected.
    """
    nsid = station.link.peer_nsid
    if nsid < 0:
        return station.netns
    inode = station.netns.nsids.get(nsid)
    return topology.hosts[station.netns.host].namespaces.get(inode) if inode is not None else None


def devices_over(topology: Topology, netns: NetNamespace) -> list[Station]:
    """Return the tunnels' devices whose outer packets arrive in a namespace."""
    key = "tunnels", netns.host
    if key not in topology.caches:
        topology.caches[key] = _by_underlay(topology, netns.host)
    known = topology.caches[key]
    assert isinstance(known, dict)  # noqa: S101 - this module's own entry
    found: list[Station] = known.get((netns.host, netns.inode), [])
    return found


def _by_underlay(topology: Topology, host: str) -> dict[NsKey, list[Station]]:
    found: dict[NsKey, list[Station]] = {}
    for netns in topology.hosts[host].namespaces.values():
        for link in netns.links.values():
            if link.kind in TUNNELS:
                station = Station(netns, link)
                below = underlay(topology, station)
                if below is not None:
                    found.setdefault((below.host, below.inode), []).append(station)
    return found


def taker(topology: Topology, netns: NetNamespace, tunnel: Tunnel, outer: Packet) -> Station | None:
    """Return the device that takes an outer packet which has arrived in a namespace."""
    ranked = [
        (tunnel.takes(station, outer), station)
        for station in devices_over(topology, netns)
        if station.link.kind in tunnel.kinds and station.link.up
    ]
    best = max(ranked, key=lambda pair: pair[0], default=None)
    return best[1] if best is not None and best[0] > 0 else None


def line(netns: NetNamespace, link: Link, text: str) -> Evidence:
    """Return what a tunnel's device is, as evidence."""
    return Evidence("link", f"{link.name}: {text}", link.name, node=netns.host, netns=netns.inode)


def source_ports(netns: NetNamespace, configured: tuple[int, int]) -> Ports:
    """Return the outer source ports: the flow's hash picks one (udp_flow_src_port)."""
    if configured != (0, 0):
        return Ports(*configured)
    words = (netns.sysctls.text("net/ipv4/ip_local_port_range") or "").split()
    if len(words) == 2 and all(word.isdecimal() for word in words):
        return Ports(int(words[0]), int(words[1]))
    return DEFAULT_PORTS
