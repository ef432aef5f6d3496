"""One packet's way through the model: what it carries along, and how it ends.

The functions that move a packet live in `ip`, `link_layer`, `bridging`, `tunnel` and `delivery`; each takes
the journey and a move, does its part, and returns the next move or the `Ending`; `travel` calls them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skoopctl.dataplane.choice import Choices
from skoopctl.dataplane.conntrack import Table
from skoopctl.dataplane.packet import Packet, Tuple5, Unreachable
from skoopctl.dataplane.passage import Passage
from skoopctl.dataplane.topology import NsKey, Station, Topology
from skoopctl.dataplane.trace import Disposition, Evidence, PacketView, Step, StepKind, Walk
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.socket import Socket

MAX_HOPS = 64
"""So often a packet is received whose TTL is not known, before it is taken to go in circles."""
NO_END = 1024
"""So often one is received whose TTL is known: only a rule that raises it again and again gets here."""

Peer = tuple[NsKey, int, str]
"""A tunnel's peer as its device knows it: the device's namespace and ifindex, the peer's key."""


@dataclass(slots=True)
class World:
    """What all packets of one flow share: the network, the connections they made, the answers to branches.

    ``uncollected`` names the hosts that could not be asked, by their addresses. ``heard`` are the MAC addresses
    that have sent a frame for this flow, which the bridges on the way have learned; ``met`` the neighbours that
    a namespace's device knows because they have asked it for an address (neigh_event_ns). ``vrfs`` are the VRFs
    that connections of a namespace belong to (inet_request_bound_dev_if). ``endpoints`` are where a WireGuard
    peer's packets came from (family, address, port): it is answered there from then on.
    """

    topology: Topology
    choices: Choices
    uncollected: Mapping[int, str] = field(default_factory=dict)
    connections: dict[NsKey, Table] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    endpoints: dict[Peer, tuple[int, int, int]] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)
    met: dict[tuple[NsKey, int, int], str] = field(default_factory=dict)
    vrfs: dict[NsKey, int] = field(default_factory=dict)

    def table(self, netns: NetNamespace) -> Table:
        """Return the conntrack table of a namespace."""
        key = netns.host, netns.inode
        if key not in self.connections:
            loose = netns.sysctls.integer("net/netfilter/nf_conntrack_tcp_loose") != 0
            self.connections[key] = Table(loose=loose)
        return self.connections[key]

    def assume(self, text: str) -> None:
        """Note something that the verdict rests on and that was not seen."""
        if text not in self.assumptions:
            self.assumptions.append(text)


@dataclass(slots=True)
class Ending:
    """How a packet's way ended, where, and what the kernel there sends back.

    ``error`` is the ICMP error that goes back, ``reset`` a TCP reset; neither: silence. ``station`` is the
    device at hand, for a packet that left the cluster. ``reason`` says in words why; ``doubt`` what makes it
    uncertain that the packet got any further. ``rerouted`` is set where the second lookup, after OUTPUT had
    changed the packet, found no way.
    """

    disposition: Disposition
    netns: NetNamespace
    packet: Packet
    reason: str = ""
    error: Unreachable | None = None
    reset: bool = False
    station: Station | None = None
    socket: Socket | None = None
    doubt: str = ""
    rerouted: bool = False


@dataclass(slots=True)
class Journey:
    """One packet on its way, with the steps that it has made.

    ``origin`` is its tuple when it was born; ``request`` is true for the first packet of a flow, which needs
    a socket to be delivered to. ``depth`` counts the tunnels around it. ``passage`` is how large it may be.
    """

    world: World
    label: str
    request: bool = False
    depth: int = 0
    hops: int = 0
    origin: Tuple5 | None = None
    birthplace: NsKey | None = None
    steps: list[Step] = field(default_factory=list)
    passage: Passage = field(default_factory=Passage)
    topology: Topology = field(init=False)

    def __post_init__(self) -> None:
        self.topology = self.world.topology

    def step(
        self,
        kind: StepKind,
        netns: NetNamespace,
        link: Link | None,
        decision: str,
        packet: Packet | None = None,
        *,
        evidence: tuple[Evidence, ...] = (),
        hook: str = "",
        before: PacketView | None = None,
        unknown: str = "",
        ends: Disposition | None = None,
        cause: str = "",
    ) -> None:
        """Record a step. ``before`` is the header before a change; ``packet`` is as it is now."""
        after = packet.view() if packet is not None else None
        self.steps.append(
            Step(
                kind=kind,
                node=netns.host,
                namespace=self.topology.label(netns),
                netns=netns.inode,
                device=link.name if link else "",
                hook=hook,
                decision=decision,
                evidence=evidence,
                before=before if before is not None else after,
                after=after,
                depth=self.depth,
                unknown=unknown,
                ends=ends,
                cause=cause,
            )
        )

    def end(
        self,
        disposition: Disposition,
        netns: NetNamespace,
        packet: Packet,
        reason: str,
        *,
        link: Link | None = None,
        evidence: tuple[Evidence, ...] = (),
        hook: str = "",
        error: Unreachable | None = None,
        reset: bool = False,
        socket: Socket | None = None,
        kind: StepKind = StepKind.END,
        cause: str = "",
        unknown: str = "",
    ) -> Ending:
        """Record the last step and return the ending. A step that is a hook's stays a hook's."""
        if not unknown and disposition in {Disposition.UNKNOWN, Disposition.OPAQUE}:
            unknown = reason
        self.step(
            kind,
            netns,
            link,
            reason,
            packet,
            evidence=evidence,
            hook=hook,
            unknown=unknown,
            ends=disposition,
            cause=cause,
        )
        station = Station(netns, link) if link is not None else None
        return Ending(disposition, netns, packet, reason, error, reset, station, socket)

    def walk(self, disposition: Disposition) -> Walk:
        """Return what was recorded."""
        return Walk(self.label, tuple(self.steps), disposition)


def gap(netns: NetNamespace, part: str, text: str) -> Evidence:
    """Return the evidence that something could not be read."""
    return Evidence("gap", text, part, node=netns.host, netns=netns.inode)


def sysctl_evidence(netns: NetNamespace, path: str) -> Evidence:
    """Return a sysctl's value as evidence."""
    value = netns.sysctls.text(path)
    name = netns.sysctls.dotted(path)
    return Evidence(
        "sysctl",
        f"{name} = {'(not read)' if value is None else value}",
        name,
        node=netns.host,
        netns=netns.inode,
    )


def link_evidence(netns: NetNamespace, link: Link, text: str = "") -> Evidence:
    """Return a device's state as evidence."""
    flags = ",".join(name for name, on in (("UP", link.up), ("LOWER_UP", link.carrier)) if on) or "DOWN"
    line = text or f"{link.index}: {link.name}: <{flags}> mtu {link.mtu}"
    return Evidence("link", line, link.name, node=netns.host, netns=netns.inode)
