"""Who hears a broadcast: every device that a frame to all reaches, over veths, bridges, VLANs, macvlans and tunnels.

What a frame may pass is decided by the same rules as in `bridging` and `link_layer`; here there is no packet
yet, only the question "who has this address?" (ARP, neighbour discovery).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from skoopctl.dataplane.frames.stacking import UNITS, ipvlans, macvlans, siblings, vlan_device
from skoopctl.dataplane.frames.vlans import Passage, egress, ingress
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.topology import IPVLANS, MACVLANS, Station, Topology
from skoopctl.dataplane.tunnels import is_ethernet
from skoopctl.dataplane.tunnels.far_ends import far_ends
from skoopctl.kernel.link import PortState, SharedMode


@dataclass(frozen=True, slots=True)
class Block:
    """What stops a frame: the cause in a word, why in words, the device where, and the sysctl that decided."""

    cause: str
    reason: str
    station: Station
    sysctl: str = ""


Heard = tuple[Station, Block | None]
"""A device whose IP layer a broadcast reaches, or would reach but for a block."""


class Place(Enum):
    """Where on its way a frame meets rules."""

    OUT = "out of a device"
    IN = "into a device"
    PORT = "into a bridge by a port"
    UP = "out of a bridge to the bridge's own device"
    FORWARD = "from port to port"
    OUTPUT = "from the bridge's own device to a port"
    TUNNEL = "over a tunnel"


@dataclass(frozen=True, slots=True)
class Crossing:
    """One place on a frame's way: the device, its bridge, the port it came in by (or a tunnel's far end), the tag."""

    place: Place
    station: Station
    bridge: Station | None = None
    other: Station | None = None
    tag: int = 0


Way = tuple[Crossing, ...]


@dataclass(slots=True)
class Segment:
    """One broadcast on its way. ``outward`` are the devices by which it leaves the host, with its way there.

    ``multicast`` is set for neighbour discovery, which bridges flood by another switch than ARP; ``answer`` is the
    MAC address of one that has just asked, for a frame that is sent to it alone. With ``beyond`` the frame goes
    on past what stops it, and whoever it reaches then is told with that block.
    """

    topology: Topology
    multicast: bool = False
    beyond: bool = False
    answer: str = ""
    outward: list[tuple[Station, Way]] = field(default_factory=list)
    _seen: set[tuple[object, int, int, str]] = field(default_factory=set)
    _way: list[Crossing] = field(default_factory=list)

    @property
    def way(self) -> Way:
        """How the frame came to the device that was yielded just now."""
        return tuple(self._way)

    def _across(self, crossing: Crossing, onward: Iterator[Heard]) -> Iterator[Heard]:
        """Go on over a crossing."""
        self._way.append(crossing)
        yield from onward
        self._way.pop()

    def hears(self, station: Station) -> Iterator[Heard]:
        """Yield the devices whose IP layer gets a broadcast that ``station`` sends."""
        return self._leave(station, 0, None)

    def _first_time(self, station: Station, tag: int, way: str) -> bool:
        place = station.key, station.link.index, tag, way
        if place in self._seen:
            return False
        self._seen.add(place)
        return True

    # --- out of a device ---------------------------------------------------------------------------------

    def _leave(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        link = station.link
        if not link.up or not self._first_time(station, tag, "out"):
            return
        yield from self._across(Crossing(Place.OUT, station, tag=tag), self._sent(station, tag, block))

    def _sent(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        link = station.link
        if link.kind == "bridge":
            admitted = ingress(link, link, tag)
            block = block or _vlan_block(station, station, admitted, tag)
            if block is None or self.beyond:
                yield from self._flood(station, None, admitted.vlan, tag, block)
        elif link.vlan is not None:
            yield from self._below(station, link.vlan.id, block)
        elif link.kind in MACVLANS:
            for other in siblings(self.topology, station):
                yield from self._enter(other, tag, block)
            yield from self._below(station, tag, block)
        elif link.kind in IPVLANS:
            yield from self._leave_ipvlan(station, tag, block)
        elif link.kind in UNITS:
            yield from self._leave_unit(station, tag, block)
        elif is_ethernet(link):
            yield from self._over_tunnel(station, block)
        else:
            yield from self._far_end(station, tag, block)

    def _far_end(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        peer = self.topology.peer(station)
        if peer is not None:
            yield from self._enter(peer, tag, block)
        elif block is None and self.topology.is_outward(station):
            self.outward.append((station, self.way))

    def _over_tunnel(self, station: Station, block: Block | None) -> Iterator[Heard]:
        """A tunnel that carries frames sends a broadcast to every remote that it floods to."""
        asking = Packet(6 if self.multicast else 4, 0, 0, 0)
        for far in far_ends(self.topology, station, asking):
            crossing = Crossing(Place.TUNNEL, station, other=far)
            yield from self._across(crossing, self._enter(far, 0, block))

    def _below(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        below = self.topology.lower(station)
        if below is not None:
            yield from self._leave(below, tag, block)
        elif block is None:
            self.outward.append((station, self.way))

    def _leave_ipvlan(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        """In l2 mode the others on the same device hear it, and the wire; their host does not."""
        if station.link.shared is not SharedMode.L2:
            return
        below = self.topology.lower(station)
        for other in ipvlans(self.topology, below) if below is not None else ():
            if other != station and other.link.shared is SharedMode.L2:
                yield from self._enter(other, tag, block)
        yield from self._below(station, tag, block)

    def _leave_unit(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        """A bond sends a broadcast by one of its devices; where it leads does not depend on which."""
        members = self.topology.ports(station)
        active = station.link.bond.active if station.link.bond is not None else 0
        chosen = [m for m in members if m.link.index == active] or [m for m in members if m.link.up]
        if not chosen:
            self.outward.append((station, self.way))
        for member in chosen[:1]:
            yield from self._far_end(member, tag, block)

    # --- into a device -----------------------------------------------------------------------------------

    def _enter(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        """A VLAN device takes its own frames, macvlans take a copy, the rest goes on upwards."""
        if not station.link.up or not self._first_time(station, tag, "in"):
            return
        yield from self._across(Crossing(Place.IN, station, tag=tag), self._taken(station, tag, block))

    def _taken(self, station: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        above = vlan_device(self.topology, station, tag) if tag else None
        if above is not None:
            yield from self._enter(above, 0, block)
            return
        for upper in (*macvlans(self.topology, station), *ipvlans(self.topology, station)):
            if upper.link.shared in {SharedMode.BRIDGE, SharedMode.PRIVATE, SharedMode.VEPA, SharedMode.L2}:
                yield from self._enter(upper, tag, block)
        master = self.topology.master(station)
        if master is not None and master.link.kind == "bridge":
            crossing = Crossing(Place.PORT, station, master, tag=tag)
            yield from self._across(crossing, self._into_bridge(master, station, tag, block))
        elif master is not None and master.link.kind in UNITS:
            yield from self._enter(master, tag, block)
        elif not tag:
            yield station, block

    def _into_bridge(self, bridge: Station, port: Station, tag: int, block: Block | None) -> Iterator[Heard]:
        admitted = ingress(bridge.link, port.link, tag)
        block = block or _closed(bridge, port) or _vlan_block(bridge, port, admitted, tag)
        if block is not None and not self.beyond:
            return
        up = egress(bridge.link, bridge.link, admitted.vlan, tag)
        refused = block or _vlan_block(bridge, bridge, up, admitted.vlan)
        if refused is None or self.beyond:
            onward = self._enter(bridge, up.vlan if refused is None else 0, refused)
            yield from self._across(Crossing(Place.UP, port, bridge, tag=tag), onward)
        yield from self._flood(bridge, port, admitted.vlan, tag, block)

    def _flood(
        self, bridge: Station, port: Station | None, vlan: int, tag: int, block: Block | None
    ) -> Iterator[Heard]:
        for out in self.topology.ports(bridge):
            leaving = egress(bridge.link, out.link, vlan, tag)
            refused = block or self._holds_back(bridge, port, out)
            refused = refused or _vlan_block(bridge, out, leaving, vlan)
            if out.link.up and (refused is None or self.beyond):
                onward = self._leave(out, leaving.vlan if refused is None else 0, refused)
                place = Place.OUTPUT if port is None else Place.FORWARD
                yield from self._across(Crossing(place, out, bridge, port, tag), onward)

    def _holds_back(self, bridge: Station, port: Station | None, out: Station) -> Block | None:
        """Say why a bridge does not send a broadcast from one port out of another (br_flood, should_deliver)."""
        info = out.link.port
        closed = _closed(bridge, out)
        if closed is not None or info is None:
            return closed
        if self.answer and not _leads_to(bridge, out, self.answer):
            return Block("bridge-port-closed", f"{bridge.link.name} has {self.answer} elsewhere", out)
        if port is None:
            return None
        name = out.link.name
        floods = info.multicast_flood if self.multicast else info.broadcast_flood
        if not floods and not self.answer:
            kind = "multicast (neighbour discovery)" if self.multicast else "broadcasts (ARP)"
            return Block("bridge-port-closed", f"the bridge port {name} is not sent {kind}", out)
        if port.link.index == out.link.index and not info.hairpin:
            reason = f"it would leave by the port it came in on, and hairpin is off on {name}"
            return Block("hairpin-off", reason, out)
        if info.isolated and port.link.port is not None and port.link.port.isolated:
            reason = f"{port.link.name} and {name} are isolated from each other"
            return Block("bridge-port-closed", reason, out)
        return None


def _closed(bridge: Station, port: Station) -> Block | None:
    state = port.link.port.state if port.link.port is not None else PortState.FORWARDING
    if bridge.link.up and state is PortState.FORWARDING:
        return None
    reason = f"the bridge port {port.link.name} is {state.name.lower()}"
    return Block("bridge-port-closed", reason if bridge.link.up else f"{bridge.link.name} is down", port)


def _leads_to(bridge: Station, out: Station, mac: str) -> bool:
    """Tell whether a bridge sends a frame out of a port to one that has just sent its question by it.

    br_fdb_update moves even a static entry to that port; a port that does not learn leaves the entry where it is.
    """
    info = out.link.port
    if info is None or info.learning:
        return True
    entries = [e for e in bridge.netns.fdb if e.mac == mac and e.master == bridge.link.index]
    return any(e.index == out.link.index for e in entries) if entries else info.flood


def _vlan_block(bridge: Station, port: Station, passage: Passage, vlan: int) -> Block | None:
    if passage.allowed is not False:
        return None
    frames = f"VLAN {vlan}" if vlan > 0 else "untagged frames"
    reason = f"{port.link.name} of {bridge.link.name} is no member of {frames}"
    return Block("vlan-not-allowed", reason, port)
