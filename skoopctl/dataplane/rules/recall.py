"""Connections that a node had already: an old entry takes a new packet before any rule is asked.

nf_conntrack_core.c (resolve_normal_ct) finds an entry by the packet's tuple; NAT's rules are for the first packet
of a connection only (nf_nat_inet_fn). So a client that uses a port again goes where that port went before: to an
endpoint that is gone, or to a service's address that nobody translates, because the entry is older than the rule.

Only entries that can make a difference are followed: those that translate to an address which no collected
namespace has, and those that nobody has answered. A live connection's port is taken, and another one would end as
it did. The client's port is a range, so the entry gets its share of it; a port that is known makes it certain.
"""

from __future__ import annotations

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.conntrack import CtState, Entry, Manip, Tracking
from skoopctl.dataplane.packet import Flags, Packet, Ports, Tuple5
from skoopctl.dataplane.rules.ruling import Action, Ruling
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Evidence
from skoopctl.kernel.address import IPAddress
from skoopctl.kernel.conntrack import Connection, Direction
from skoopctl.kernel.sysctl import Sysctls

_PORTED = frozenset({6, 17, 132})
# tcp_conntracks[]: a SYN opens these anew, and the old entry is deleted (nf_conntrack_tcp_packet: NF_REPEAT).
_REOPENED = frozenset({"TIME_WAIT", "CLOSE"})
_GROUPS = 8
"""More old destinations than this share their weight with the last of them."""


def recall(scene: Scene) -> Tracking | None:
    """Return the old entry that takes the packet, or None for a packet that is new to this namespace."""
    packet, table = scene.packet, scene.netns.conntrack
    if table is None or not _is_first(packet):
        return None
    found = [
        entry
        for entry in table.between(packet.protocol, packet.source, packet.destination)
        if _takes(entry, packet) and _matters(entry, scene.topology)
    ]
    if not found or scene.connections.find(packet.tuple5, packet.zone, packet.zone_reply):
        return None
    entry = _pick(scene, found)
    if entry is None:
        return None
    packet.source_ports = Ports.of(entry.original.source_port)
    where = scene.netns
    scene.evidence.append(Evidence("conntrack", entry.text, "conntrack", node=where.host, netns=where.inode))
    known = entry_of(entry)
    scene.connections.entries.append(known)
    state = CtState.ESTABLISHED if known.seen_reply else CtState.NEW
    return Tracking(state, known)


def _is_first(packet: Packet) -> bool:
    """Tell whether a packet may begin a flow: answers and errors are found among the walk's own connections."""
    return (
        packet.error is None
        and not packet.untracked
        and packet.protocol in _PORTED
        and packet.flags in {Flags.NONE, Flags.SYN, Flags.ACK}
        and packet.inner is None
    )


def _takes(entry: Connection, packet: Packet) -> bool:
    way = entry.original
    return (
        packet.source_ports.low <= way.source_port <= packet.source_ports.high
        and packet.destination_ports.single == way.destination_port
        and way.zone == packet.zone
        and entry.tcp_state not in _REOPENED
    )


def _matters(entry: Connection, topology: Topology) -> bool:
    """Tell whether an entry may lead elsewhere than a new one would."""
    goal = entry.reply.source
    translated = (goal, entry.reply.source_port) != (
        entry.original.destination,
        entry.original.destination_port,
    )
    if translated and not entry.destination_nat:
        return False  # IPVS's: its own table of connections decides
    gone = not topology.owners(int(goal))
    return (gone or not entry.seen_reply) if translated else (gone and not entry.seen_reply)


def _pick(scene: Scene, found: list[Connection]) -> Connection | None:
    """Choose between a new connection and the old ones, which are grouped by where they lead."""
    packet = scene.packet
    if packet.source_ports.single is not None:
        return found[0]
    groups: dict[tuple[IPAddress, int], list[Connection]] = {}
    for entry in found:
        goal = entry.reply.source, entry.reply.source_port
        if goal not in groups and len(groups) == _GROUPS:
            goal = next(reversed(groups))
        groups.setdefault(goal, []).append(entry)
    fresh = max(packet.source_ports.size - len(found), 1)
    options = [("a new connection", float(fresh))]
    for same in groups.values():
        first = same[0]
        more = f" and {len(same) - 1} others" if len(same) > 1 else ""
        label = f"the old connection from port {first.original.source_port}{more} to {first.reply.source}"
        options.append((label, float(len(same))))
    where = f"{scene.netns.host} ({scene.topology.label(scene.netns)})"
    reason = f"{where} has old connections from {packet.address(packet.source)} to this destination"
    key = ("recall", scene.netns.host, scene.netns.inode, packet.source, packet.destination, packet.zone)
    picked = scene.choices.pick(ChoiceKind.CHANCE, reason, tuple(options), key=key)
    return [*groups.values()][picked - 1][0] if picked else None


def entry_of(entry: Connection) -> Entry:
    """Return a connection that a node had as one of a walk's own."""
    return Entry(
        original=_tuple(entry.protocol, entry.original),
        reply=_tuple(entry.protocol, entry.reply),
        zone=entry.original.zone,
        zone_reply=entry.reply.zone,
        confirmed=True,
        seen_reply=entry.seen_reply,
        source_nat=entry.source_nat,
        destination_nat=entry.destination_nat,
        initialised={Manip.SOURCE, Manip.DESTINATION},
        mark=entry.mark,
    )


def _tuple(protocol: int, way: Direction) -> Tuple5:
    source, destination = Ports.of(way.source_port), Ports.of(way.destination_port)
    return Tuple5(protocol, int(way.source), source, int(way.destination), destination)


def room_for(scene: Scene) -> Ruling | None:
    """Return the DROP of a new connection that finds the table full, or None where there is room.

    __nf_conntrack_alloc drops an older entry that is not ASSURED if there is one in the buckets nearby
    (early_drop), and the packet if not: which of the two is not known.
    """
    taken = occupied(scene.netns.sysctls)
    if taken is None:
        return None
    count, most = taken
    reason = f"conntrack's table on {scene.netns.host} is full ({count} of {most} entries)"
    scene.unknowns.append(reason)
    if scene.choices.unknown(reason, key=("conntrack-full", scene.netns.host, scene.netns.inode)):
        return None
    text = f"net.netfilter.nf_conntrack_count = {count}, net.netfilter.nf_conntrack_max = {most}"
    name = "net.netfilter.nf_conntrack_max"
    scene.evidence.append(Evidence("sysctl", text, name, node=scene.netns.host, netns=scene.netns.inode))
    return Ruling(Action.DROP, cause="conntrack-table-full", reason=f"{reason}: a new connection is dropped")


def occupied(sysctls: Sysctls) -> tuple[int, int] | None:
    """Return how many entries a full table has and may have, or None where there is room or it was not read."""
    most = sysctls.integer("net/netfilter/nf_conntrack_max")
    count = sysctls.integer("net/netfilter/nf_conntrack_count") if most else None
    return (count, most) if most and count is not None and count >= most else None
