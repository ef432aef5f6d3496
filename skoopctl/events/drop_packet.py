"""The packet of a drop, as the rules saw it, and what about it no event tells.

An event has addresses, ports, flags and one device. A rule may also ask for the packet's mark, the state of its
connection, its ICMP type. Each of these is *supposed* in every way that it can be; what all suppositions agree on is
certain, and nothing else is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import product
from typing import NamedTuple

from skoopctl.dataplane.conntrack import CtState, Entry, Manip, Tracking
from skoopctl.dataplane.packet import NO_PORTS, PROTOCOL_NUMBERS, Flags, Packet, Ports
from skoopctl.dataplane.rules.recall import entry_of
from skoopctl.dataplane.topology import Topology
from skoopctl.events.asked_for import AskedFor
from skoopctl.events.event import Event
from skoopctl.events.reasons import RULES_DROPPED, told_reason
from skoopctl.kernel.conntrack import Connection
from skoopctl.kernel.netns import NetNamespace

_NUMBERS = {**PROTOCOL_NUMBERS, "icmpv6": 58, "icmp6": 58, "ipip": 4, "ipv6": 41}
_PORTED = frozenset({6, 17, 132, 136})
_ICMP = frozenset({1, 58})
_ICMPV6 = 58
_ANY_PORT = Ports(0, 65535)
_TYPES = {
    1: ((8, "an echo request"), (0, "an echo reply"), (3, "an error")),
    58: (
        (128, "an echo request"),
        (129, "an echo reply"),
        (1, "an error"),
        (135, "a neighbour solicitation"),
        (136, "a neighbour advertisement"),
        (133, "a router solicitation"),
        (134, "a router advertisement"),
        (143, "an MLD report"),
    ),
}
"""ICMP types to try: iana.org/assignments/icmp-parameters, icmpv6-parameters."""


Connections = Mapping[tuple[int, int, int], Sequence[tuple[Connection, bool]]]
"""Connections by protocol, source and destination of their packets, with whether those are answers."""


class DropKey(NamedTuple):
    """Packets that no rule tells apart: what of an event decides which rule drops it."""

    node: str
    netns: int
    hook: str
    ifindex: int
    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    tcp_flags: str
    fragment: bool
    bridged: bool
    owner: str
    """Whose namespace it was then: another's may have its inode now."""


@dataclass(frozen=True, slots=True)
class Supposed:
    """What is supposed of a packet beyond its event. ``words`` say what of it is not a matter of course."""

    mark: int
    state: CtState
    entry: Connection | None
    is_reply: bool
    translated: bool
    icmp_type: int
    after_nat: bool
    words: tuple[str, ...]


def key_of(event: Event) -> DropKey | None:
    """Return the key of an event's answer; None for an event that no rule has to answer for."""
    if event.kind != "packet-loss" or told_reason(event.reason, event.function, event.hook) != RULES_DROPPED:
        return None
    source, destination = event.source, event.destination
    return DropKey(
        event.node,
        event.netns,
        event.hook,
        event.ifindex,
        event.protocol,
        source.address if source else "",
        source.port if source else 0,
        destination.address if destination else "",
        destination.port if destination else 0,
        event.tcp_flags,
        event.fragment,
        any(call.startswith("br_nf_") for call in event.calls),
        event.owner if event.namespace != "unknown" else "",
    )


def packet_of(key: DropKey) -> Packet | str:
    """Return the packet as the event tells it, or why there is none."""
    if not key.source or not key.destination:
        return "the event does not tell the packet's addresses"
    protocol = _protocol(key.protocol)
    if protocol is None:
        return f"the packet's protocol {key.protocol or '(none)'} is not known"
    source, destination = ip_address(key.source), ip_address(key.destination)
    ports = NO_PORTS, NO_PORTS
    if protocol in _PORTED:
        known = Ports.of(key.source_port), Ports.of(key.destination_port)
        ports = (_ANY_PORT, _ANY_PORT) if key.fragment else known
    return Packet(
        source.version, int(source), int(destination), protocol, *ports, flags_of(protocol, key.tcp_flags)
    )


def _protocol(word: str) -> int | None:
    return int(word) if word.isdecimal() else _NUMBERS.get(word.lower())


def flags_of(protocol: int, text: str) -> Flags:
    """Return the model's word for TCP flags: those that rules and conntrack go by."""
    names = set(text.split(","))
    if protocol != 6:
        return Flags.NONE
    if "RST" in names:
        return Flags.RST
    if "SYN" in names:
        return Flags.SYN_ACK if "ACK" in names else Flags.SYN
    return Flags.ACK


def suppositions(
    known: Connections, packet: Packet, asked: AskedFor, *, unlikely: bool = False
) -> Iterator[Supposed]:
    """Yield every way that the packet can have been, as far as rules at the hook ask for it.

    ``known`` are the collected connections of the namespace.
    ``unlikely`` ones are worth a try where no other finds a rule: a first packet that conntrack cannot read.
    """
    states = tuple(_states(known, packet, asked)) if asked.state else (_plain(packet),)
    if unlikely:
        first = asked.state and packet.flags in {Flags.SYN, Flags.NONE}
        words = ("conntrack took it for INVALID",)
        states = (replace(_plain(packet), state=CtState.INVALID, words=words),) if first else ()
    types = _TYPES.get(packet.protocol, ((0, ""),)) if asked.icmp else ((0, ""),)
    natted = (False, True) if asked.late_after_nat else (False,)
    for after_nat, mark, state, (kind, kind_words) in product(natted, asked.marks, states, types):
        words = (
            *(("NAT had changed its addresses",) if after_nat else ()),
            *((f"its mark was {mark:#x}",) if mark else ()),
            *((f"it was {kind_words}",) if kind_words else ()),
            *state.words,
        )
        yield replace(state, mark=mark, icmp_type=kind, after_nat=after_nat, words=words)


def _plain(packet: Packet) -> Supposed:
    state = CtState.NEW if packet.flags in {Flags.SYN, Flags.NONE} else CtState.ESTABLISHED
    return Supposed(0, state, None, packet.flags is Flags.SYN_ACK, False, 0, False, ())


_STATES = {
    Flags.SYN: (CtState.NEW,),
    Flags.SYN_ACK: (CtState.ESTABLISHED, CtState.INVALID),
    Flags.RST: (CtState.ESTABLISHED, CtState.INVALID),
    Flags.ACK: (CtState.ESTABLISHED, CtState.INVALID, CtState.NEW),
    Flags.NONE: (CtState.NEW, CtState.ESTABLISHED),
}
"""What conntrack can take a packet for (nf_conntrack_proto_tcp.c: tcp_conntracks[])."""


def _states(connections: Connections, packet: Packet, asked: AskedFor) -> Iterator[Supposed]:
    """Yield the states that conntrack can have seen, those of the collected table first."""
    plain, possible = _plain(packet), _STATES[packet.flags]
    if packet.protocol in _ICMP:
        possible = (CtState.NEW, CtState.ESTABLISHED, CtState.RELATED, CtState.INVALID)
    if packet.protocol == _ICMPV6:
        possible = (*possible, CtState.UNTRACKED)  # nf_conntrack_icmpv6_error: neighbour discovery
    known = _known(connections, packet) if packet.flags is not Flags.SYN else None
    if known is not None:
        entry, is_reply = known
        state = CtState.ESTABLISHED if is_reply or entry.seen_reply else CtState.NEW
        said = f"conntrack took it for {state}, as its table says"
        yield replace(plain, state=state, entry=entry, is_reply=is_reply, words=(said,))
    certain = len(possible) == 1 and not asked.untracked and not asked.translated
    for state in possible:
        words = () if certain else (f"conntrack took it for {state}",)
        yield replace(plain, state=state, words=words)
        if asked.translated and state in {CtState.NEW, CtState.ESTABLISHED}:
            yield replace(
                plain, state=state, translated=True, words=(*words, "it was for another address before")
            )
    if asked.untracked:
        yield replace(plain, state=CtState.UNTRACKED, words=("conntrack was told to leave it alone",))


def connections_of(topology: Topology, netns: NetNamespace) -> Connections:
    """Return a namespace's collected connections by the addresses of their packets, both ways (once a topology)."""
    key = ("connections both ways", netns.host, netns.inode)
    cached = topology.caches.get(key)
    if cached is None:
        found: defaultdict[tuple[int, int, int], list[tuple[Connection, bool]]] = defaultdict(list)
        for entry in netns.conntrack.entries if netns.conntrack else ():
            for way, is_reply in ((entry.original, False), (entry.reply, True)):
                found[entry.protocol, int(way.source), int(way.destination)].append((entry, is_reply))
        cached = topology.caches[key] = found
    return cached  # type: ignore[return-value]


def _known(connections: Connections, packet: Packet) -> tuple[Connection, bool] | None:
    """Return the collected connection that a packet belongs to, and whether it is an answer."""
    for entry, is_reply in connections.get((packet.protocol, packet.source, packet.destination), ()):
        way = entry.reply if is_reply else entry.original
        ports = way.source_port, way.destination_port
        if packet.protocol in _ICMP or ports == (packet.source_ports.low, packet.destination_ports.low):
            return entry, is_reply
    return None


def tracking_of(packet: Packet, supposed: Supposed) -> Tracking:
    """Return what conntrack has attached to the packet, by what is supposed."""
    if supposed.state in {CtState.INVALID, CtState.UNTRACKED}:
        return Tracking(supposed.state)
    if supposed.entry is not None:
        return Tracking(supposed.state, entry_of(supposed.entry), supposed.is_reply)
    original = packet.tuple5.inverse() if supposed.is_reply else packet.tuple5
    old = supposed.state is not CtState.NEW
    entry = Entry(
        original,
        original.inverse(),
        confirmed=old,
        seen_reply=old,
        destination_nat=supposed.translated,
        initialised={Manip.SOURCE, Manip.DESTINATION} if old else set(),
    )
    return Tracking(supposed.state, entry, supposed.is_reply)
