"""The outer packet of a tunnel, and who would take it: also for ARP, which asks everybody at the far ends."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.dataplane.moves import Send
from skoopctl.dataplane.packet import Packet, Wrapping
from skoopctl.dataplane.routes.routing import Answer, Query
from skoopctl.dataplane.topology import Station, Topology
from skoopctl.dataplane.tunnels import TUNNELS
from skoopctl.dataplane.tunnels.registry import Remote, Sending, Stop, taker, underlay
from skoopctl.kernel.netns import NetNamespace


def make_outer(
    topology: Topology, station: Station, below: NetNamespace, remote: Remote, packet: Packet, mac: str
) -> tuple[Packet, Answer]:
    """Make the outer packet, with the route that tells its source when the device does not."""
    mark = packet.mark if remote.mark is None else remote.mark
    if below.inode != station.netns.inode:
        mark = remote.mark or 0
    router = topology.router(below)
    query = Query(
        remote.address,
        remote.family,
        remote.source,
        oif=remote.oif,
        mark=mark,
        protocol=remote.protocol,
        destination_ports=remote.destination_ports,
    )
    answer = router.lookup(query)
    source = remote.source
    if not source and answer.hops:
        source = router.source_for(answer, answer.hops[0], query) or 0
    # A frame that a bridge sends has its own sender's address; a routed packet has the device's.
    bridged = bool(station.link.master)
    outer = Packet(
        family=remote.family,
        source=source,
        destination=remote.address,
        protocol=remote.protocol,
        source_ports=remote.source_ports,
        destination_ports=remote.destination_ports,
        mark=mark,
        ipvs=packet.ipvs
        and below.inode == station.netns.inode,  # skb_scrub_packet keeps it within a namespace
        inner=packet,
        wrapping=Wrapping(
            TUNNELS[station.link.kind].name,
            station.link.kind,
            remote.number,
            mac,
            "" if bridged else station.link.mac,
            remote.overhead,
            remote.checked,
            remote.sender,
            remote.receiver,
        ),
    )
    return outer, answer


def holder(
    topology: Topology,
    station: Station,
    below: NetNamespace,
    found: tuple[Remote, ...],
    packet: Packet,
    mac: str,
) -> Remote:
    """Of several remotes that a frame is flooded to, return the one where its MAC address is, else the first."""
    for remote in found:
        outer, _ = make_outer(topology, station, below, remote, packet, mac)
        for far in _takers(topology, station, outer):
            if mac in _addresses(topology, far):
                return remote
    return found[0]


def _addresses(topology: Topology, far: Station) -> set[str]:
    """Return the MAC addresses behind a tunnel's device: its own, or all on its bridge."""
    bridge = topology.master(far)
    if bridge is None:
        return {far.link.mac}
    behind = {peer.link.mac for port in topology.ports(bridge) if (peer := topology.peer(port)) is not None}
    return (
        behind
        | {bridge.link.mac}
        | {e.mac for e in far.netns.fdb if e.local and e.master == bridge.link.index}
    )


def far_ends(topology: Topology, station: Station, asking: Packet) -> Iterator[Station]:
    """Yield the devices that a broadcast on a tunnel's device reaches."""
    tunnel = TUNNELS[station.link.kind]
    below = underlay(topology, station)
    found = tunnel.remotes(Sending(topology, station.netns, station.link, asking))
    if isinstance(found, Stop) or below is None:
        return
    for remote in found:
        outer, _ = make_outer(topology, station, below, remote, asking, "")
        yield from _takers(topology, station, outer)


def outer_to(topology: Topology, station: Station, far: Station, packet: Packet, mac: str) -> Send | None:
    """Return the outer packet that takes a frame to one far end, ready to be sent; None where it is not known."""
    below = underlay(topology, station)
    found = TUNNELS[station.link.kind].remotes(Sending(topology, station.netns, station.link, packet, mac))
    if isinstance(found, Stop) or below is None:
        return None
    for remote in found:
        outer, _ = make_outer(topology, station, below, remote, packet, mac)
        if far in _takers(topology, station, outer):
            return Send(below, outer, remote.oif)
    return None


def _takers(topology: Topology, station: Station, outer: Packet) -> Iterator[Station]:
    """Yield the devices that would take an outer packet, wherever its destination is an address."""
    for owner in topology.owners(outer.destination):
        device = taker(topology, owner.netns, TUNNELS[station.link.kind], outer)
        if device is not None and (device.key, device.link.index) != (station.key, station.link.index):
            yield device
