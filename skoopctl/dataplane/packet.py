"""A packet on its way: addresses, ports (which may be ranges), TCP flags, mark, and its conntrack entry."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from skoopctl.dataplane.trace import PacketView

if TYPE_CHECKING:
    from skoopctl.dataplane.conntrack import Tracking

PROTOCOL_NUMBERS = {
    "icmp": 1,
    "igmp": 2,
    "ipencap": 4,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "ospf": 89,
    "sctp": 132,
    "udplite": 136,
}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()}


class Ports(NamedTuple):
    """An inclusive range of ports; a single port is a range of one."""

    low: int
    high: int

    @classmethod
    def of(cls, port: int) -> Ports:
        """Return the range that holds just one port."""
        return cls(port, port)

    @property
    def single(self) -> int | None:
        """The port, if there is only one."""
        return self.low if self.low == self.high else None

    @property
    def size(self) -> int:
        """How many ports."""
        return self.high - self.low + 1

    def within(self, other: Ports) -> bool:
        """Tell whether every port of this range is in the other."""
        return other.low <= self.low and self.high <= other.high

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


NO_PORTS = Ports(0, 0)


class Flags(StrEnum):
    """The TCP flags that a walk needs, by the segment's name, and SCTP's chunks."""

    NONE = ""
    SYN = "SYN"
    SYN_ACK = "SYN-ACK"
    ACK = "ACK"
    RST = "RST"
    INIT = "INIT"
    INIT_ACK = "INIT-ACK"
    COOKIE_ECHO = "COOKIE-ECHO"
    COOKIE_ACK = "COOKIE-ACK"
    ABORT = "ABORT"

    @property
    def names(self) -> frozenset[str]:
        """The flags as iptables names them (a RST that answers a SYN carries ACK too)."""
        return _FLAG_NAMES.get(self, frozenset())


_FLAG_NAMES: dict[Flags, frozenset[str]] = {
    Flags.SYN: frozenset({"SYN"}),
    Flags.SYN_ACK: frozenset({"SYN", "ACK"}),
    Flags.ACK: frozenset({"ACK"}),
    Flags.RST: frozenset({"RST", "ACK"}),
}


class ArpOperation(IntEnum):
    """What an ARP packet is (include/uapi/linux/if_arp.h); a packet of IP is none."""

    NONE = 0
    REQUEST = 1
    REPLY = 2


class Tuple5(NamedTuple):
    """What conntrack knows a packet by. Addresses are integers."""

    protocol: int
    source: int
    source_ports: Ports
    destination: int
    destination_ports: Ports

    def inverse(self) -> Tuple5:
        """Return the tuple of an answer."""
        return Tuple5(
            self.protocol,
            self.destination,
            self.destination_ports,
            self.source,
            self.source_ports,
        )

    def covers(self, other: Tuple5) -> bool:
        """Tell whether ``other`` is this tuple, or a narrower range of its ports."""
        return (
            self.protocol == other.protocol
            and self.source == other.source
            and self.destination == other.destination
            and other.source_ports.within(self.source_ports)
            and other.destination_ports.within(self.destination_ports)
        )


class Unreachable(StrEnum):
    """What an ICMP error says, in the words of ``--reject-with``; `icmp_number` gives its type and code.

    IPv6 has no PROTO but a parameter problem, and no NET_PROHIBITED and HOST_PROHIBITED; only IPv6 has the
    last three.
    """

    NET = "icmp-net-unreachable"
    HOST = "icmp-host-unreachable"
    PROTO = "icmp-proto-unreachable"
    PORT = "icmp-port-unreachable"
    NET_PROHIBITED = "icmp-net-prohibited"
    HOST_PROHIBITED = "icmp-host-prohibited"
    ADMIN_PROHIBITED = "icmp-admin-prohibited"
    BEYOND_SCOPE = "icmp6-beyond-scope"
    POLICY_FAIL = "icmp6-policy-fail"
    REJECT_ROUTE = "icmp6-reject-route"
    FRAGMENTATION_NEEDED = "icmp-frag-needed"
    TIME_EXCEEDED = "icmp-time-exceeded"


# include/uapi/linux/icmp.h and icmpv6.h: type and code.
_NUMBERS = {
    4: {
        Unreachable.NET: (3, 0),
        Unreachable.HOST: (3, 1),
        Unreachable.PROTO: (3, 2),
        Unreachable.PORT: (3, 3),
        Unreachable.NET_PROHIBITED: (3, 9),
        Unreachable.HOST_PROHIBITED: (3, 10),
        Unreachable.ADMIN_PROHIBITED: (3, 13),
        Unreachable.FRAGMENTATION_NEEDED: (3, 4),
        Unreachable.TIME_EXCEEDED: (11, 0),
    },
    6: {
        Unreachable.NET: (1, 0),
        Unreachable.ADMIN_PROHIBITED: (1, 1),
        Unreachable.BEYOND_SCOPE: (1, 2),
        Unreachable.HOST: (1, 3),
        Unreachable.PORT: (1, 4),
        Unreachable.POLICY_FAIL: (1, 5),
        Unreachable.REJECT_ROUTE: (1, 6),
        Unreachable.PROTO: (4, 1),
        Unreachable.FRAGMENTATION_NEEDED: (2, 0),
        Unreachable.TIME_EXCEEDED: (3, 0),
    },
}
_NAMES_V6 = {
    Unreachable.NET: "icmp6-no-route",
    Unreachable.ADMIN_PROHIBITED: "icmp6-adm-prohibited",
    Unreachable.HOST: "icmp6-addr-unreachable",
    Unreachable.PORT: "icmp6-port-unreachable",
    Unreachable.PROTO: "icmp6-unknown-header-type",
    Unreachable.FRAGMENTATION_NEEDED: "icmp6-packet-too-big",
    Unreachable.TIME_EXCEEDED: "icmp6-time-exceeded",
}


def icmp_number(error: Unreachable, family: int) -> tuple[int, int]:
    """Return the ICMP type and code of an error; one that the family lacks is its 'administratively'."""
    numbers = _NUMBERS[family]
    return numbers.get(error, numbers[Unreachable.ADMIN_PROHIBITED])


def icmp_name(error: Unreachable, family: int) -> str:
    """Name an error as ``--reject-with`` of its family does."""
    return _NAMES_V6.get(error, error.value) if family == 6 else error.value


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What an outer packet says about its cargo.

    ``tunnel`` is the tunnel's name, ``kind`` that of its device; ``number`` the VNI, or GRE's key (-1: none).
    ``mac`` and ``source_mac`` are the frame's addresses inside ('' where there are none, or they are not
    known). ``overhead`` is how many bytes the outer packet is larger; ``checked`` the GRE fields that it has;
    ``sender`` and ``receiver`` are WireGuard's public keys.
    """

    tunnel: str
    kind: str
    number: int = -1
    mac: str = ""
    source_mac: str = ""
    overhead: int = 0
    checked: int = 0
    sender: str = ""
    receiver: str = ""


@dataclass(slots=True)
class Packet:
    """A packet at one moment; the walk changes it as the kernel would.

    ``family`` is 4 or 6; addresses are integers; ``protocol`` is the IP protocol number. ``error`` and
    ``about`` are set for an ICMP error: its type, and the tuple of the packet that caused it. ``inner`` is
    the packet inside a tunnel's outer packet, and ``wrapping`` what the tunnel's header says. ``mss`` is the
    option of a SYN (0: none).
    ``tracking`` is the conntrack entry attached in the current namespace; ``untracked`` is set by NOTRACK.
    ``ipvs`` is set once IPVS has dealt with it (skb->ipvs_property): it looks at no packet twice.
    ``bridge_port`` is the port's ifindex while netfilter remembers that the packet came in by a bridge.
    ``tos`` is the TOS or traffic class octet; ``ttl`` the TTL or hop limit (0: not known); ``mss`` the segment
    size that a SYN announces (0: none, or not known). ``source_mac`` and ``destination_mac`` are the frame's ('' : not
    known).
    ``birthplace`` is the namespace (host, inode) that sent it. ``zone`` and ``zone_reply`` are conntrack's, for
    the connection's original direction and for its answers.
    ``tos`` is the TOS byte or traffic class, ``vlan`` the 802.1Q tag of the frame around it (0: untagged).
    ``realms`` is the class that the last route lookup of its namespace gave it (dst_entry's tclassid), None where that
    is not known. ``arp`` is set for an ARP packet, whose addresses are those of its sender and its target.
    """

    family: int
    source: int
    destination: int
    protocol: int
    source_ports: Ports = NO_PORTS
    destination_ports: Ports = NO_PORTS
    flags: Flags = Flags.NONE
    mark: int = 0
    error: Unreachable | None = None
    about: Tuple5 | None = None
    inner: Packet | None = None
    wrapping: Wrapping | None = None
    icmp_type: int = 0
    tracking: Tracking | None = None
    untracked: bool = False
    zone: int = 0
    ipvs: bool = False
    zone_reply: int = 0
    bridge_port: int = 0
    length: int = field(default=60)
    tos: int = 0
    ttl: int = 0
    mss: int = 0
    source_mac: str = ""
    destination_mac: str = ""
    birthplace: tuple[str, int] | None = None
    vlan: int = 0
    arp: ArpOperation = ArpOperation.NONE
    realms: int | None = 0
    _written: tuple[tuple[object, ...], PacketView] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    """The header as it was last written out, and of what."""

    @property
    def tuple5(self) -> Tuple5:
        """The packet's five-tuple."""
        return Tuple5(self.protocol, self.source, self.source_ports, self.destination, self.destination_ports)

    @property
    def icmp(self) -> tuple[int, int]:
        """The packet's ICMP type and code (0, 0 when it is not ICMP)."""
        return icmp_number(self.error, self.family) if self.error is not None else (self.icmp_type, 0)

    def copy(self) -> Packet:
        """Return a copy that can change on its own."""
        return Packet(*values_of(self))

    def put_back(self, values: tuple[Any, ...]) -> None:
        """Make the packet again what it was when `values_of` was asked."""
        for name, value in zip(_FIELDS, values, strict=True):
            setattr(self, name, value)

    def address(self, value: int) -> str:
        """Write one of this packet's addresses for people."""
        return _address_text(self.family, value)

    def view(self) -> PacketView:
        """Return the header for people and JSON; the same object while nothing of it changes."""
        tracked = self.tracking
        state = "UNTRACKED" if self.untracked else tracked.state if tracked is not None else ""
        inner = self.inner.view() if self.inner is not None else None
        looks = (
            self.source,
            self.destination,
            self.source_ports,
            self.destination_ports,
            self.protocol,
            self.flags,
            self.error,
            self.mark,
            state,
            inner,
        )
        written = self._written
        if written is not None and written[0] == looks:
            return written[1]
        said = icmp_name(self.error, self.family) if self.error is not None else self.flags
        view = _view(self.family, self.tuple5, said, self.mark, state, _line(inner) if inner else "")
        self._written = looks, view
        return view


_FIELDS = tuple(each.name for each in fields(Packet) if each.init)
_LINK_LOCAL = 0xFE80 << 112
_LINK_LOCAL_MASK = 0xFFC0 << 112
_fields = attrgetter(*_FIELDS)


def values_of(packet: Packet) -> tuple[Any, ...]:
    """Return a packet's fields in their order: a copy of it costs a tenth of what `dataclasses.replace` does."""
    found: tuple[Any, ...] = _fields(packet)
    return found


@lru_cache(maxsize=1 << 14)
def _address_text(family: int, value: int) -> str:
    return str(IPv4Address(value) if family == 4 else IPv6Address(value))


@lru_cache(maxsize=1 << 12)
def _view(family: int, header: Tuple5, flags: str, mark: int, state: str, inner: str) -> PacketView:
    """Write a header out; kept, because a packet looks the same at most of the steps of its way."""
    ported = header.protocol in {6, 17, 132, 136}
    return PacketView(
        source=_address_text(family, header.source),
        destination=_address_text(family, header.destination),
        protocol=PROTOCOL_NAMES.get(header.protocol, str(header.protocol)),
        source_port=str(header.source_ports) if ported else "",
        destination_port=str(header.destination_ports) if ported else "",
        flags=str(flags),
        mark=mark,
        state=str(state),
        encapsulates=inner,
    )


def is_link_local(address: int) -> bool:
    """Tell whether an IPv6 address is of link scope (fe80::/10)."""
    return (address & _LINK_LOCAL_MASK) == _LINK_LOCAL


def describe(packet: Packet) -> str:
    """Return the packet in one line: ``tcp 10.244.3.70:32768-60999 > 10.244.2.201:8080 SYN``."""
    return _line(packet.view())


def _line(view: PacketView) -> str:
    source = f"{view.source}:{view.source_port}" if view.source_port else view.source
    destination = f"{view.destination}:{view.destination_port}" if view.destination_port else view.destination
    return f"{view.protocol} {source} > {destination} {view.flags}".rstrip()
