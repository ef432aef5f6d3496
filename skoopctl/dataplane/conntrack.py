"""Connection tracking and NAT bindings, one table for each network namespace.

The states and their transitions are those of net/netfilter/nf_conntrack_core.c (resolve_normal_ct) and
nf_conntrack_proto_tcp.c for the packets that a walk sends; NAT follows nf_nat_core.c: a binding is made
once, for the first packet of a flow, and applied to every later one, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from skoopctl.dataplane.packet import Flags, Packet, Ports, Tuple5
from skoopctl.kernel.ipset import Member, Value

# Echo requests and replies (nf_conntrack_proto_icmp.c: invmap), and whether each answers.
_ECHOES = {8: False, 0: True, 128: False, 129: True}
# nf_conntrack_icmpv6_error: router and neighbour discovery is no connection.
_DISCOVERY = frozenset(range(133, 138))


class CtState(StrEnum):
    """``--ctstate`` of iptables-extensions(8)."""

    NEW = "NEW"
    ESTABLISHED = "ESTABLISHED"
    RELATED = "RELATED"
    INVALID = "INVALID"
    UNTRACKED = "UNTRACKED"


class Manip(StrEnum):
    """Which half of a tuple NAT rewrites."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(slots=True)
class Entry:
    """One connection: the tuple as first seen, and the tuple that an answer will have (NAT included)."""

    original: Tuple5
    reply: Tuple5
    zone: int = 0
    zone_reply: int = 0
    confirmed: bool = False
    seen_reply: bool = False
    source_nat: bool = False
    destination_nat: bool = False
    initialised: set[Manip] = field(default_factory=set)
    mark: int = 0

    @property
    def translates(self) -> bool:
        """Whether the connection has a binding of NAT."""
        return self.source_nat or self.destination_nat

    def copy(self) -> Entry:
        """Return a copy that can change on its own."""
        return Entry(
            self.original,
            self.reply,
            self.zone,
            self.zone_reply,
            self.confirmed,
            self.seen_reply,
            self.source_nat,
            self.destination_nat,
            set(self.initialised),
            self.mark,
        )


@dataclass(frozen=True, slots=True)
class Balanced:
    """A connection of IPVS (struct ip_vs_conn): a client's tuple towards a service, and the server it goes to.

    ``method`` is how it gets there (``Masq``, ``Route`` …); ``ports`` are the server's.
    """

    client: Tuple5
    server: int
    ports: Ports
    method: str

    @property
    def answer(self) -> Tuple5:
        """The tuple of the server's packets to the client."""
        client = self.client
        return Tuple5(client.protocol, self.server, self.ports, client.source, client.source_ports)


@dataclass(slots=True)
class Tracking:
    """What a packet carries after conntrack: its state, its entry (None: INVALID), its direction."""

    state: CtState
    entry: Entry | None = None
    is_reply: bool = False


class Table:
    """The connections of one namespace that this walk has made.

    ``set_changes`` are what ``-j SET`` has done to the namespace's ipsets on this walk: by set, the members
    added (or None: deleted) by key; None in place of all that when it cannot be told. ``balanced`` are IPVS's
    connections. ``loose`` is nf_conntrack_tcp_loose: a segment in the middle may begin a connection.
    """

    __slots__ = ("balanced", "entries", "loose", "recent_stamps", "set_changes")

    def __init__(self, *, loose: bool = True) -> None:
        self.entries: list[Entry] = []
        self.balanced: list[Balanced] = []
        self.loose = loose
        self.set_changes: dict[str, dict[tuple[Value, ...], Member | None] | None] = {}
        self.recent_stamps: dict[tuple[str, int], int] = {}

    def find(
        self, key: Tuple5, zone: int, zone_reply: int | None = None, *, is_reply: bool | None = None
    ) -> tuple[Entry, bool] | None:
        """Return the entry of a tuple and whether the tuple is its reply direction.

        Each direction of an entry is in a zone of its own (nf_conntrack.h: nf_ct_key_equal); ``zone_reply`` is
        ``zone`` when it is not given. ``is_reply`` looks for one direction only.
        """
        reply = zone if zone_reply is None else zone_reply
        for entry in self.entries:
            if is_reply is not True and entry.zone == zone and entry.original.covers(key):
                return entry, False
            if is_reply is not False and entry.zone_reply == reply and entry.reply.covers(key):
                return entry, True
        return None

    def _find(self, packet: Packet) -> tuple[Entry, bool] | None:
        """Find a packet's entry. ICMP's type is part of its tuple: an echo's says which direction it has."""
        is_reply = None
        if packet.protocol in {1, 58} and packet.icmp_type in _ECHOES:
            is_reply = _ECHOES[packet.icmp_type]
        return self.find(packet.tuple5, packet.zone, packet.zone_reply, is_reply=is_reply)

    def track(self, packet: Packet) -> Tracking:
        """Attach conntrack's view to a packet that enters this namespace, or is born in it."""
        if packet.protocol == 58 and packet.icmp_type in _DISCOVERY:
            packet.untracked = True
        if packet.untracked:
            return Tracking(CtState.UNTRACKED)
        if packet.error is not None:
            return self._track_error(packet)
        found = self._find(packet)
        if found is None:
            return self._first_packet(packet)
        entry, is_reply = found
        if is_reply:
            entry.seen_reply = True
            return Tracking(CtState.ESTABLISHED, entry, is_reply=True)
        if packet.flags is Flags.ACK and not entry.seen_reply:
            # tcp_conntracks: an ACK of the client while the answer was not seen (it was NOTRACK's).
            return Tracking(CtState.INVALID)
        state = CtState.ESTABLISHED if entry.seen_reply else CtState.NEW
        return Tracking(state, entry)

    def _first_packet(self, packet: Packet) -> Tracking:
        """Make an entry for an unknown tuple, or call it INVALID (tcp_new: only SYN and ACK start one)."""
        if packet.flags in {Flags.SYN_ACK, Flags.RST}:
            return Tracking(CtState.INVALID)
        if packet.flags is Flags.ACK and not self.loose:
            return Tracking(CtState.INVALID)
        if packet.protocol in {1, 58} and _ECHOES.get(packet.icmp_type):
            return Tracking(CtState.INVALID)
        key = packet.tuple5
        return Tracking(CtState.NEW, Entry(key, key.inverse(), packet.zone, packet.zone_reply))

    def _track_error(self, packet: Packet) -> Tracking:
        """Relate an ICMP error to the connection of the packet that it is about (nf_conntrack_inet_error)."""
        about = packet.about
        if about is None:
            return Tracking(CtState.INVALID)
        found = self.find(about.inverse(), packet.zone, packet.zone_reply)
        if found is None:
            return Tracking(CtState.INVALID)
        entry, is_reply = found
        return Tracking(CtState.RELATED, entry, is_reply=is_reply)

    def confirm(self, tracking: Tracking | None) -> None:
        """Keep the entry of a packet that made it through (nf_conntrack_confirm)."""
        entry = tracking.entry if tracking else None
        if entry is not None and not entry.confirmed:
            entry.confirmed = True
            self.entries.append(entry)


def bind_source(entry: Entry, address: int, ports: Ports) -> None:
    """Make a source NAT binding: answers will come to ``address``:``ports``."""
    reply = entry.reply
    entry.reply = Tuple5(reply.protocol, reply.source, reply.source_ports, address, ports)
    entry.source_nat = True


def bind_destination(entry: Entry, address: int, ports: Ports) -> None:
    """Make a destination NAT binding: answers will come from ``address``:``ports``."""
    reply = entry.reply
    entry.reply = Tuple5(reply.protocol, address, ports, reply.destination, reply.destination_ports)
    entry.destination_nat = True


def apply_nat(packet: Packet, tracking: Tracking, manip: Manip) -> bool:
    """Rewrite one half of the packet as its entry's binding says; return whether anything changed.

    nf_nat_packet(): source NAT of the original direction is destination NAT of the reply direction.
    """
    entry = tracking.entry
    if entry is None:
        return False
    source_side = (manip is Manip.SOURCE) != tracking.is_reply
    if not (entry.source_nat if source_side else entry.destination_nat):
        return False
    wanted = (entry.original if tracking.is_reply else entry.reply).inverse()
    before = packet.tuple5
    if packet.error is not None:
        _translate_error(packet, wanted, manip)
    elif manip is Manip.DESTINATION:
        packet.destination = wanted.destination
        kept = entry.reply.source_ports.within(entry.original.destination_ports)
        packet.destination_ports = _narrow(packet.destination_ports, wanted.destination_ports, kept=kept)
    else:
        packet.source = wanted.source
        kept = entry.reply.destination_ports.within(entry.original.source_ports)
        packet.source_ports = _narrow(packet.source_ports, wanted.source_ports, kept=kept)
    return packet.tuple5 != before


def _narrow(current: Ports, wanted: Ports, *, kept: bool) -> Ports:
    """Keep a range that has become narrower on the way, where the binding keeps ports as they are."""
    return current if kept and current.within(wanted) else wanted


def _translate_error(packet: Packet, wanted: Tuple5, manip: Manip) -> None:
    """Rewrite an ICMP error and the header inside it (nf_nat_icmp_reply_translation).

    ``wanted`` is the tuple of a packet of the error's own direction; the header inside has the other one.
    """
    about = packet.about
    if about is None:
        return
    inside = wanted.inverse()
    if manip is Manip.DESTINATION:
        packet.destination = wanted.destination
        packet.about = about._replace(source=inside.source, source_ports=inside.source_ports)
    else:
        packet.source = wanted.source
        packet.about = about._replace(
            destination=inside.destination, destination_ports=inside.destination_ports
        )
