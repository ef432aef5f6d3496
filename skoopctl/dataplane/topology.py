"""All collected namespaces as one network: who owns an address, and what is at the other end of a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skoopctl.dataplane.routes.routing import Router
from skoopctl.kernel.address import IPAddress
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import Host, NetNamespace

NsKey = tuple[str, int]
"""A namespace: its host's name and its inode."""

TUNNEL_KINDS = frozenset(
    {"vxlan", "geneve", "wireguard", "ipip", "sit", "ip6tnl", "gre", "gretap", "ip6gre", "ip6gretap"}
    | {"xfrm", "vti", "vti6", "erspan", "ip6erspan", "bareudp", "gtp", "amt", "l2tpeth", "ovpn", "tun", "ppp"}
)
"""Kinds of device that wrap what they send: such a device itself leads nowhere."""

MACVLANS = frozenset({"macvlan", "macvtap"})
IPVLANS = frozenset({"ipvlan", "ipvtap"})
STACKED = frozenset({"vlan"}) | MACVLANS | IPVLANS
"""Kinds of device that send by a lower one (IFLA_LINK)."""


@dataclass(frozen=True, slots=True)
class Station:
    """A device in a namespace."""

    netns: NetNamespace
    link: Link

    @property
    def key(self) -> NsKey:
        """The namespace."""
        return self.netns.host, self.netns.inode


class Topology:
    """Indexes over all hosts' namespaces. Immutable after construction; caches are filled on demand."""

    def __init__(self, hosts: Mapping[str, Host], labels: Mapping[NsKey, str] | None = None) -> None:
        self.hosts = hosts
        self.labels = labels or {}
        self._routers: dict[NsKey, Router] = {}
        self._peers: dict[tuple[NsKey, int], Station | None] = {}
        self._owners: dict[int, list[Station]] = {}
        self._deviceless: dict[int, NetNamespace] = {}
        self.caches: dict[object, object] = {}
        for netns in self.namespaces():
            for address in netns.addresses:
                link = netns.links.get(address.index)
                if link is None:
                    self._deviceless.setdefault(int(address.ip), netns)
                elif not address.ip.is_loopback:
                    self._owners.setdefault(int(address.ip), []).append(Station(netns, link))

    def namespaces(self) -> Iterator[NetNamespace]:
        """Yield every namespace of every host."""
        for host in self.hosts.values():
            yield from host.namespaces.values()

    def netns(self, key: NsKey) -> NetNamespace:
        """Return a namespace by key."""
        return self.hosts[key[0]].namespaces[key[1]]

    def router(self, netns: NetNamespace) -> Router:
        """Return the routing view of a namespace."""
        key = netns.host, netns.inode
        if key not in self._routers:
            self._routers[key] = Router(netns)
        return self._routers[key]

    def label(self, netns: NetNamespace) -> str:
        """Name a namespace for people: ``host``, a pod, a name of ``ip netns``, or a process in it."""
        if netns.is_host:
            return "host"
        known = self.labels.get((netns.host, netns.inode))
        if known:
            return known
        if netns.names:
            return netns.names[0]
        return netns.processes[0] if netns.processes else f"netns {netns.inode}"

    def owners(self, ip: int) -> list[Station]:
        """Return every device that holds the address, in all namespaces."""
        return self._owners.get(ip, [])

    def deviceless_owner(self, ip: int) -> NetNamespace | None:
        """Return a namespace that has the address on a device which is not in the dump of its links."""
        return self._deviceless.get(ip)

    def owner_of(self, ip: IPAddress) -> NetNamespace | None:
        """Return the one namespace that owns an address, preferring pods' and hosts' real devices."""
        stations = self.owners(int(ip))
        return stations[0].netns if stations else None

    def peer(self, station: Station) -> Station | None:
        """Return the other end of a veth, or None when it is not in any collected namespace."""
        cache_key = (station.key, station.link.index)
        if cache_key not in self._peers:
            self._peers[cache_key] = self._find_peer(station)
        return self._peers[cache_key]

    def _find_peer(self, station: Station) -> Station | None:
        link, netns = station.link, station.netns
        if link.kind != "veth" or not link.peer:
            return None
        if link.peer_nsid < 0:
            candidates = [netns]
        elif link.peer_nsid in netns.nsids:
            other = self.hosts[netns.host].namespaces.get(netns.nsids[link.peer_nsid])
            candidates = [other] if other is not None else []
        else:
            candidates = [n for n in self.hosts[netns.host].namespaces.values() if n.inode != netns.inode]
        matches = [
            Station(other, end) for other in candidates if (end := _other_end(link, other)) is not None
        ]
        if len(matches) > 1:
            matches = [m for m in matches if netns.inode in m.netns.nsids.values()] or matches
        return matches[0] if len(matches) == 1 else None

    def lower(self, station: Station) -> Station | None:
        """Return the device below a VLAN, macvlan or ipvlan device, or None when it was not collected."""
        link, netns = station.link, station.netns
        if link.peer_nsid < 0:
            candidates: list[NetNamespace | None] = [netns]
        else:
            inode = netns.nsids.get(link.peer_nsid)
            host = self.hosts[netns.host]
            candidates = (
                [host.namespaces.get(inode)] if inode is not None else [host.namespaces.get(host.root)]
            )
        below = next((n.links[link.peer] for n in candidates if n is not None and link.peer in n.links), None)
        owner = next((n for n in candidates if n is not None), None)
        return Station(owner, below) if below is not None and owner is not None else None

    def is_outward(self, station: Station) -> bool:
        """Tell whether frames sent here leave what was collected: a NIC, or a veth whose peer is unseen."""
        link = station.link
        if link.loopback or link.kind in TUNNEL_KINDS or link.kind == "dummy":
            return False
        if link.kind in {"bridge", "bond", "team"}:
            return any(self.is_outward(port) for port in self.ports(station))
        if link.kind in {"vrf", "ifb", "netkit"}:
            return False
        if link.kind in STACKED:
            below = self.lower(station)
            return below is None or below.link.kind in STACKED or self.is_outward(below)
        return self.peer(station) is None

    def ports(self, bridge: Station) -> list[Station]:
        """Return the ports of a bridge."""
        return [
            Station(bridge.netns, link)
            for link in bridge.netns.links.values()
            if link.master == bridge.link.index
        ]

    def master(self, station: Station) -> Station | None:
        """Return the bridge that a device is a port of."""
        master = station.netns.links.get(station.link.master)
        return Station(station.netns, master) if master is not None and station.link.master else None

    def underlay_owners(self, ip: int, asking: NsKey) -> list[Station]:
        """Return the devices of other namespaces that face outward and own the address."""
        return [s for s in self.owners(ip) if s.key != asking and self.is_outward(s)]


def _other_end(link: Link, netns: NetNamespace) -> Link | None:
    """Return the veth in ``netns`` that pairs with ``link`` (each names the other's ifindex)."""
    end = netns.links.get(link.peer)
    if end is None or end.kind != "veth" or end.peer != link.index:
        return None
    return end
