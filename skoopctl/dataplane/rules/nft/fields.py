"""What nftables reads from a packet's headers (nftables' src/proto.c), for the packets of a walk.

Fields that a walk does not know (checksums, sequence numbers) are spans: a comparison with one is unknown,
never false.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.dataplane.packet import ArpOperation, Packet
from skoopctl.dataplane.rules.nft import types
from skoopctl.dataplane.rules.nft.compare import Bits, DestinationPorts, Scalar, SourcePorts, Span
from skoopctl.dataplane.rules.nft.types import Datatype
from skoopctl.dataplane.rules.scene import Scene

Reader = Callable[[Scene], Scalar]


class AbsentError(Exception):
    """The packet has no such field (``tcp dport`` of a UDP packet): the rule does not match."""


@dataclass(frozen=True)
class Field:
    """How a field is read, and what its values are."""

    read: Reader
    type: Datatype = types.INTEGER


_ICMP = (1, 58)
_PORTED = {"tcp": 6, "udp": 17, "udplite": 136, "sctp": 132, "dccp": 33}
_WITH_PORTS = frozenset(_PORTED.values())
_TCP_BITS = types.TCP_FLAGS.symbols
NO_PORT = -1
"""The ``th dport`` of an ICMP packet is its checksum: it is taken to be no port that a rule names."""


def unknown(what: str, high: int) -> Reader:
    """Return the reader of a field that a walk does not know."""
    span = Span(0, high, what)
    return lambda _scene: span


def fixed(value: int) -> Reader:
    """Return the reader of a field that is the same in all packets of a walk."""
    return lambda _scene: value


def icmp_of(packet: Packet) -> tuple[int, int]:
    """Return an ICMP packet's type and code; raises `AbsentError` for any other."""
    if packet.protocol not in _ICMP:
        raise AbsentError
    return packet.icmp


def flags_of(packet: Packet) -> Scalar:
    """Return the TCP flags; whether a data segment carries PSH depends on the sender's buffer."""
    value = sum(_TCP_BITS[name.lower()] for name in packet.flags.names)
    return Bits(value, 0xF7, "the PSH flag") if value == _TCP_BITS["ack"] else value


def source_port(packet: Packet) -> Scalar:
    """Return what stands where TCP and UDP have the source port."""
    if packet.arp:
        raise AbsentError
    if packet.protocol in _ICMP:
        kind, code = packet.icmp
        return kind << 8 | code
    if packet.protocol not in _WITH_PORTS:
        return Span(0, 0xFFFF, f"the header of protocol {packet.protocol}")
    return SourcePorts(*packet.source_ports)


def destination_port(packet: Packet) -> Scalar:
    """Return what stands where TCP and UDP have the destination port."""
    if packet.arp:
        raise AbsentError
    if packet.protocol in _ICMP:
        return NO_PORT
    if packet.protocol not in _WITH_PORTS:
        return Span(0, 0xFFFF, f"the header of protocol {packet.protocol}")
    return DestinationPorts(*packet.destination_ports)


def _of_family(family: int, fields: dict[str, Field]) -> dict[str, Field]:
    def guarded(read: Reader) -> Reader:
        def value(scene: Scene) -> Scalar:
            if scene.packet.family != family or scene.packet.arp:
                raise AbsentError
            return read(scene)

        return value

    return {name: Field(guarded(field.read), field.type) for name, field in fields.items()}


def _of_protocol(numbers: tuple[int, ...], fields: dict[str, Field]) -> dict[str, Field]:
    def guarded(read: Reader) -> Reader:
        def value(scene: Scene) -> Scalar:
            if scene.packet.protocol not in numbers:
                raise AbsentError
            return read(scene)

        return value

    return {name: Field(guarded(field.read), field.type) for name, field in fields.items()}


_PORT_FIELDS = {
    "sport": Field(lambda scene: source_port(scene.packet), types.PORT),
    "dport": Field(lambda scene: destination_port(scene.packet), types.PORT),
}
_DSCP = {
    "dscp": Field(lambda scene: scene.packet.tos >> 2, types.DSCP),
    "ecn": Field(lambda scene: scene.packet.tos & 3, types.ECN),
}


def _ttl(scene: Scene) -> Scalar:
    return scene.packet.ttl or Span(1, 255, "the TTL")


def _fragment(_scene: Scene) -> Scalar:
    # Linux sets DF on TCP and on UDP unless told not to (ip_no_pmtu_disc, IP_MTU_DISCOVER); no fragments.
    return Bits(0, 0xFFFFBFFF, "whether the packet may be fragmented")


_IP = {
    "version": Field(fixed(4)),
    "hdrlength": Field(fixed(5)),
    **_DSCP,
    "length": Field(lambda scene: _length(scene, 0)),
    "id": Field(unknown("the IP identification", 0xFFFF)),
    "frag-off": Field(_fragment),
    "ttl": Field(_ttl),
    "protocol": Field(lambda scene: scene.packet.protocol, types.PROTOCOL),
    "checksum": Field(unknown("the checksum", 0xFFFF)),
    "saddr": Field(lambda scene: scene.packet.source, types.ADDRESS),
    "daddr": Field(lambda scene: scene.packet.destination, types.ADDRESS),
}
_IP6 = {
    "version": Field(fixed(6)),
    **_DSCP,
    "flowlabel": Field(unknown("the flow label", 0xFFFFF)),
    "length": Field(lambda scene: _length(scene, -40)),
    "nexthdr": Field(lambda scene: scene.packet.protocol, types.PROTOCOL),
    "hoplimit": Field(_ttl),
    "saddr": Field(lambda scene: scene.packet.source, types.ADDRESS),
    "daddr": Field(lambda scene: scene.packet.destination, types.ADDRESS),
}


def _length(_scene: Scene, header: int) -> Scalar:
    return Span(20, 0xFFFF + header, "the packet's length")


_TCP = {
    **_PORT_FIELDS,
    "flags": Field(lambda scene: flags_of(scene.packet), types.TCP_FLAGS),
    "sequence": Field(unknown("the sequence number", 0xFFFFFFFF)),
    "ackseq": Field(unknown("the acknowledgement number", 0xFFFFFFFF)),
    "doff": Field(lambda _scene: Span(5, 15, "the length of the TCP options")),
    "reserved": Field(fixed(0)),
    "window": Field(unknown("the TCP window", 0xFFFF)),
    "checksum": Field(unknown("the checksum", 0xFFFF)),
    "urgptr": Field(fixed(0)),
}
_SUMMED = {**_PORT_FIELDS, "checksum": Field(unknown("the checksum", 0xFFFFFFFF))}
_ICMP_REST = {
    name: Field(unknown(f"the ICMP {name}", 0xFFFFFFFF))
    for name in (
        "id",
        "sequence",
        "mtu",
        "gateway",
        "checksum",
        "parameter-problem",
        "packet-too-big",
        "max-delay",
    )
}


def _icmp_fields(kind: Datatype, code: Datatype) -> dict[str, Field]:
    return {
        "type": Field(lambda scene: icmp_of(scene.packet)[0], kind),
        "code": Field(lambda scene: icmp_of(scene.packet)[1], code),
        **_ICMP_REST,
    }


# --- the link layer -----------------------------------------------------------------------------------------


def _mac(which: str) -> Reader:
    def read(scene: Scene) -> Scalar:
        known = scene.packet.source_mac if which == "saddr" else scene.packet.destination_mac
        number = types.number_of(known) if known else None
        return Span(0, (1 << 48) - 1, f"the frame's {which}") if number is None else number

    return read


def ether_type(scene: Scene) -> Scalar:
    """Return what the frame says it carries: ARP, IPv4 or IPv6."""
    if scene.packet.arp:
        return 0x0806
    return 0x0800 if scene.packet.family == 4 else 0x86DD


def _tag(scene: Scene) -> Scalar:
    if any(link.kind == "vlan" for link in scene.netns.links.values()):
        return Span(0, 0xFFFF, "whether the frame has a VLAN tag")
    raise AbsentError


def _never(_scene: Scene) -> Scalar:
    raise AbsentError


_ETHER = {
    "saddr": Field(_mac("saddr"), types.MAC),
    "daddr": Field(_mac("daddr"), types.MAC),
    "type": Field(ether_type, types.ETHER_TYPE),
}


def _of_arp(fields: dict[str, Field]) -> dict[str, Field]:
    def guarded(read: Reader) -> Reader:
        def value(scene: Scene) -> Scalar:
            if not scene.packet.arp:
                raise AbsentError
            return read(scene)

        return value

    return {name: Field(guarded(field.read), field.type) for name, field in fields.items()}


def _target_mac(scene: Scene) -> Scalar:
    return 0 if scene.packet.arp is ArpOperation.REQUEST else Span(0, (1 << 48) - 1, "who asked")


_ARP = {
    "htype": Field(fixed(1)),
    "ptype": Field(fixed(0x0800), types.ETHER_TYPE),
    "hlen": Field(fixed(6)),
    "plen": Field(fixed(4)),
    "operation": Field(lambda scene: int(scene.packet.arp), types.ARP_OPERATION),
    "saddr ether": Field(_mac("saddr"), types.MAC),
    "saddr ip": Field(lambda scene: scene.packet.source, types.ADDRESS),
    "daddr ether": Field(_target_mac, types.MAC),
    "daddr ip": Field(lambda scene: scene.packet.destination, types.ADDRESS),
}
_VLAN = {name: Field(_tag) for name in ("id", "pcp", "dei", "cfi")} | {"type": Field(_tag, types.ETHER_TYPE)}
_NEVER = Field(_never)

FIELDS: dict[str, dict[str, Field]] = {
    "ip": _of_family(4, _IP),
    "ip6": _of_family(6, _IP6),
    "tcp": _of_protocol((6,), _TCP),
    "udp": _of_protocol((17,), _SUMMED | {"length": Field(unknown("the UDP length", 0xFFFF))}),
    "udplite": _of_protocol((136,), _SUMMED | {"csumcov": Field(unknown("the coverage", 0xFFFF))}),
    "sctp": _of_protocol((132,), _SUMMED | {"vtag": Field(unknown("the verification tag", 0xFFFFFFFF))}),
    "dccp": _of_protocol((33,), _PORT_FIELDS | {"type": _NEVER}),
    "th": _PORT_FIELDS,
    "icmp": _of_protocol((1,), _icmp_fields(types.ICMP_TYPE, types.ICMP_CODE)),
    "icmpv6": _of_protocol((58,), _icmp_fields(types.ICMPV6_TYPE, types.ICMPV6_CODE)),
    "ether": _ETHER,
    "vlan": _VLAN,
    "arp": _of_arp(_ARP),
}
NEVER_SENT = frozenset({"ah", "esp", "comp", "igmp", "gre", "geneve", "gretap", "vxlan"})
"""Headers that no packet of a walk has where a rule looks for them: a tunnel's outer packet is UDP or IP."""


def field_of(protocol: str, name: str, family: str) -> Field | None:
    """Return how a table of a family reads a header field, or None when that is not known.

    In a table of IP, nft asks for an Ethernet device that the packet came in by before it looks at the frame
    (nftables' src/proto.c: proto_inet's dependency); a packet that is born here has no frame yet.
    """
    if protocol in NEVER_SENT:
        return _NEVER
    field = FIELDS.get(protocol, {}).get(name)
    if field is None or protocol not in {"ether", "vlan"} or family in {"bridge", "netdev"}:
        return field
    read = field.read

    def received(scene: Scene) -> Scalar:
        if scene.in_link is None or scene.in_link.loopback:
            raise AbsentError
        return read(scene)

    return Field(received, field.type)


# --- raw payload ---------------------------------------------------------------------------------------------


def raw_bits(packet: Packet, base: str, offset: int, length: int) -> Scalar:
    """Return bits of a header, as far as they are known."""
    layout = _layout(packet, base)
    value = known = 0
    for start, size, field in layout:
        for bit in range(size):
            place = start + bit - offset
            if field is not None and 0 <= place < length:
                known |= 1 << (length - 1 - place)
                value |= (field >> (size - 1 - bit) & 1) << (length - 1 - place)
    everything = (1 << length) - 1
    what = f"@{base},{offset},{length}"
    if known == everything:
        return value
    return Bits(value, known | ~everything, what) if length <= 32 else Span(0, everything, what)


def _layout(packet: Packet, base: str) -> list[tuple[int, int, int | None]]:
    """Return (offset, length, value) in bits of what is known of a header."""
    if packet.arp:
        return []
    if base == "nh" and packet.family == 4:
        return [
            (0, 8, 0x45),
            (8, 8, packet.tos),
            (51, 13, 0),
            (64, 8, packet.ttl or None),
            (72, 8, packet.protocol),
            (96, 32, packet.source),
            (128, 32, packet.destination),
        ]
    if base == "nh":
        return [
            (0, 4, 6),
            (4, 8, packet.tos),
            (48, 8, packet.protocol),
            (56, 8, packet.ttl or None),
            (64, 128, packet.source),
            (192, 128, packet.destination),
        ]
    if base == "th" and packet.protocol in _ICMP:
        kind, code = packet.icmp
        return [(0, 8, kind), (8, 8, code)]
    if base == "th" and packet.protocol in _PORTED.values():
        return [(0, 16, packet.source_ports.single), (16, 16, packet.destination_ports.single)]
    return []
