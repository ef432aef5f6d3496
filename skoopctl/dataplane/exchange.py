"""The packets of an exchange: what each protocol sends first, and the packet that answers another.

Sources: RFC 9260, 5.1; net/ipv4/icmp.c (icmp_send), net/netfilter/core.c (nf_ct_attach).
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.conntrack import CtState, Tracking
from skoopctl.dataplane.packet import Flags, Packet, Unreachable, icmp_number


@dataclass(frozen=True, slots=True)
class Exchange:
    """A protocol's first packets: their names for people, and their flags.

    ``more`` follow the answer, in turn from the client and from the server; ``connects_at_answer`` tells
    whether connect() returns before them.
    """

    request: str
    answer: str
    flags: Flags = Flags.NONE
    answer_flags: Flags = Flags.NONE
    refusal: Flags = Flags.RST
    more: tuple[Flags, ...] = ()
    connects_at_answer: bool = True


EXCHANGES = {
    "tcp": Exchange("SYN", "SYN-ACK", Flags.SYN, Flags.SYN_ACK, more=(Flags.ACK,)),
    "udp": Exchange("request", "answer"),
    "icmp": Exchange("echo request", "echo reply"),
    # RFC 9260, 5.1: connect() returns when the COOKIE-ACK has come.
    "sctp": Exchange(
        "INIT",
        "INIT-ACK",
        Flags.INIT,
        Flags.INIT_ACK,
        Flags.ABORT,
        (Flags.COOKIE_ECHO, Flags.COOKIE_ACK),
        connects_at_answer=False,
    ),
}


def inverse(packet: Packet, flags: Flags) -> Packet:
    """Return the packet that answers."""
    echo = {8: 0, 128: 129}
    return Packet(
        family=packet.family,
        source=packet.destination,
        destination=packet.source,
        protocol=packet.protocol,
        source_ports=packet.destination_ports,
        destination_ports=packet.source_ports,
        flags=flags,
        icmp_type=echo.get(packet.icmp_type, packet.icmp_type),
    )


def icmp_error(packet: Packet, error: Unreachable, *, from_destination: bool) -> Packet:
    """Return the ICMP error about a packet (icmp_send).

    A host that was the destination answers from that address; a router from one that routing chooses.

    It belongs to the packet's connection from the start (icmp_glue_bits: nf_ct_attach).
    """
    return Packet(
        family=packet.family,
        source=packet.destination if from_destination else 0,
        destination=packet.source,
        protocol=1 if packet.family == 4 else 58,
        error=error,
        about=packet.tuple5,
        icmp_type=icmp_number(error, packet.family)[0],
        tracking=answering(packet, CtState.RELATED),
    )


def answering(packet: Packet, state: CtState) -> Tracking | None:
    """Return the conntrack view of what answers a packet within its own connection (nf_ct_attach)."""
    tracking = packet.tracking
    if tracking is None or tracking.entry is None:
        return None
    return Tracking(state, tracking.entry, is_reply=not tracking.is_reply)
