"""Connection tracking and NAT bindings follow nf_conntrack_core.c and nf_nat_core.c."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.dataplane.conntrack import (
    CtState,
    Entry,
    Manip,
    Table,
    apply_nat,
    bind_destination,
    bind_source,
)
from skoopctl.dataplane.packet import Flags, Packet, Ports, Unreachable
from tests.support.worlds import packet

address = st.integers(1, 2**32 - 1)
single = st.integers(1, 65535).map(Ports.of)


def answer(item: Packet, flags: Flags = Flags.SYN_ACK) -> Packet:
    """Return the packet that answers."""
    key = item.tuple5.inverse()
    return Packet(
        4, key.source, key.destination, key.protocol, key.source_ports, key.destination_ports, flags
    )


def established(item: Packet) -> tuple[Table, Entry]:
    """Track and confirm the first packet of a flow."""
    table = Table()
    tracking = table.track(item)
    assert tracking.entry is not None
    table.confirm(tracking)
    return table, tracking.entry


def test_states_of_a_handshake() -> None:
    """SYN is NEW, SYN-ACK and the ACK after it are ESTABLISHED, each in its direction."""
    syn = packet()
    table, _ = established(syn)
    reply = table.track(answer(syn))
    assert (reply.state, reply.is_reply) == (CtState.ESTABLISHED, True)
    ack = table.track(packet(flags=Flags.ACK))
    assert (ack.state, ack.is_reply) == (CtState.ESTABLISHED, False)


def test_an_unanswered_flow_stays_new() -> None:
    """A second packet of the same direction is NEW until a reply was seen."""
    table, _ = established(packet())
    assert table.track(packet()).state is CtState.NEW


def test_an_unconfirmed_entry_is_forgotten() -> None:
    """A packet that was dropped on its way leaves no entry: its answer is INVALID."""
    table = Table()
    table.track(packet())
    assert table.track(answer(packet())).state is CtState.INVALID


@pytest.mark.parametrize(
    "stray",
    [
        packet(flags=Flags.SYN_ACK),
        packet(flags=Flags.RST),
        packet(protocol=1, icmp_type=0),
        packet(protocol=1, error=Unreachable.HOST),
    ],
)
def test_what_cannot_begin_a_flow_is_invalid(stray: Packet) -> None:
    """A SYN-ACK, a reset, an echo reply and an ICMP error about nothing known are INVALID, without an entry."""
    tracking = Table().track(stray)
    assert (tracking.state, tracking.entry) == (CtState.INVALID, None)


def test_an_ack_out_of_nowhere_begins_a_flow() -> None:
    """nf_conntrack_tcp_loose: an ACK of an unknown connection is NEW."""
    assert Table().track(packet(flags=Flags.ACK)).state is CtState.NEW


def test_untracked_packets_have_no_entry() -> None:
    """After NOTRACK the state is UNTRACKED and no entry is made."""
    tracking = Table().track(packet(untracked=True))
    assert (tracking.state, tracking.entry) == (CtState.UNTRACKED, None)


def test_zones_keep_equal_tuples_apart() -> None:
    """The same tuple in another zone is another connection."""
    table, entry = established(packet())
    other = table.track(packet(zone=7))
    assert other.entry is not entry
    assert other.state is CtState.NEW


@pytest.mark.parametrize(("protocol", "request_type", "reply_type"), [(1, 8, 0), (58, 128, 129)])
def test_a_ping_to_oneself_has_two_directions(protocol: int, request_type: int, reply_type: int) -> None:
    """Where both ends of an echo are one address, its type tells the reply: ESTABLISHED, not NEW."""
    me = "10.0.0.1" if protocol == 1 else "fd00::1"
    asked = packet(me, me, protocol=protocol, icmp_type=request_type)
    table, _ = established(asked)
    assert table.track(asked).state is CtState.NEW
    reply = table.track(packet(me, me, protocol=protocol, icmp_type=reply_type))
    assert (reply.state, reply.is_reply) == (CtState.ESTABLISHED, True)


def test_an_icmp_error_is_related_to_what_it_is_about() -> None:
    """An error about a packet of a known connection is RELATED, in the direction of the answer."""
    syn = packet()
    table, entry = established(syn)
    error = packet("10.0.0.9", "10.0.0.1", protocol=1, error=Unreachable.HOST, about=syn.tuple5)
    tracking = table.track(error)
    assert (tracking.state, tracking.entry, tracking.is_reply) == (CtState.RELATED, entry, True)


@given(address, single, st.booleans(), st.booleans())
def test_nat_is_undone_on_the_way_back(new: int, ports: Ports, source: bool, destination: bool) -> None:
    """The answer to a translated packet, translated back, is the answer to the packet that was sent."""
    syn = packet(sport=40000)
    sent = syn.tuple5
    table, entry = established(syn)
    table.entries.clear()
    tracking = table.track(syn)
    assert tracking.entry is not None
    entry = tracking.entry
    if destination:
        bind_destination(entry, new, ports)
        apply_nat(syn, tracking, Manip.DESTINATION)
    if source:
        bind_source(entry, new ^ 1, ports)
        apply_nat(syn, tracking, Manip.SOURCE)
    table.confirm(tracking)
    assert (syn.destination == new) or not destination
    assert (syn.source == new ^ 1) or not source
    back = answer(syn)
    seen = table.track(back)
    assert seen.is_reply
    apply_nat(back, seen, Manip.DESTINATION)
    apply_nat(back, seen, Manip.SOURCE)
    assert back.tuple5 == sent.inverse()


def test_only_the_bound_half_is_rewritten() -> None:
    """A flow with DNAT only keeps its source at the source hook."""
    syn = packet()
    table = Table()
    tracking = table.track(syn)
    assert tracking.entry is not None
    bind_destination(tracking.entry, 7, Ports.of(8080))
    assert apply_nat(syn, tracking, Manip.SOURCE) is False
    assert apply_nat(syn, tracking, Manip.DESTINATION) is True
    assert (syn.destination, syn.destination_ports) == (7, Ports.of(8080))


def test_an_icmp_error_is_translated_with_what_it_is_about() -> None:
    """The error about a translated packet reaches the client with its own header inside, as it sent it."""
    syn = packet(sport=40000)
    sent = syn.tuple5
    table = Table()
    tracking = table.track(syn)
    assert tracking.entry is not None
    bind_destination(tracking.entry, 7, Ports.of(8080))
    apply_nat(syn, tracking, Manip.DESTINATION)
    bind_source(tracking.entry, 9, Ports.of(1234))
    apply_nat(syn, tracking, Manip.SOURCE)
    table.confirm(tracking)
    error = Packet(4, 99, 9, 1, error=Unreachable.PORT, about=syn.tuple5, icmp_type=3)
    seen = table.track(error)
    apply_nat(error, seen, Manip.DESTINATION)
    apply_nat(error, seen, Manip.SOURCE)
    assert error.destination == sent.source
    assert error.about == sent


def test_random_ports_replace_the_range() -> None:
    """A binding to any port at all widens the packet's range, and the answer gets the client's own back."""
    syn = packet()
    table = Table()
    tracking = table.track(syn)
    assert tracking.entry is not None
    bind_source(tracking.entry, 9, Ports(1024, 65535))
    apply_nat(syn, tracking, Manip.SOURCE)
    table.confirm(tracking)
    assert syn.source_ports == Ports(1024, 65535)
    back = answer(syn)
    apply_nat(back, table.track(back), Manip.DESTINATION)
    assert back.destination_ports == Ports(32768, 60999)


def test_a_narrowed_range_is_the_same_flow() -> None:
    """A packet whose ports are part of an entry's range belongs to it, and NAT keeps them narrow."""
    syn = packet()
    table = Table()
    tracking = table.track(syn)
    assert tracking.entry is not None
    bind_destination(tracking.entry, 7, Ports.of(80))
    table.confirm(tracking)
    tracking.entry.seen_reply = True
    later = packet(sport=40000, flags=Flags.ACK)
    seen = table.track(later)
    apply_nat(later, seen, Manip.DESTINATION)
    assert seen.entry is tracking.entry
    assert (later.destination, later.source_ports) == (7, Ports.of(40000))
