"""The model of ipset(8): named sets of one network namespace, and what their members are made of.

A member has one value for each dimension of its set's type: ``hash:ip,port,net`` has three. A rule says for each
dimension whether it means the packet's source or destination.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Dimension(StrEnum):
    """What one part of a member is."""

    IP = "ip"
    NET = "net"
    PORT = "port"
    MAC = "mac"
    IFACE = "iface"
    MARK = "mark"
    SET = "set"


class Net(NamedTuple):
    """An address or network: the address as an integer, without host bits, and its prefix length."""

    address: int
    length: int


class ProtocolPort(NamedTuple):
    """A port of a protocol (by number). For ICMP ``port`` is type << 8 | code, for others without ports 0.

    ``protocol`` is 0 in ``bitmap:port``, whose members are ports of TCP and UDP alike.
    """

    protocol: int
    port: int


class Interface(NamedTuple):
    """A device by its name. ``physdev`` means a bridge's port, ``wildcard`` every name that begins so."""

    name: str
    physdev: bool = False
    wildcard: bool = False


Value = Net | ProtocolPort | Interface | int | str | None
"""One dimension of a member: an int is a MAC address or a mark, a str a set's name, None "any" (a MAC)."""


class Member(NamedTuple):
    """One member of a set. ``nomatch`` makes it an exception. ``timeout_s`` is None for one that stays.

    ``skbmark`` is (value, mask), ``skbprio`` a tc handle, ``skbqueue`` a queue; they serve ``-j SET --map-set``.
    """

    values: tuple[Value, ...]
    nomatch: bool = False
    timeout_s: int | None = None
    packets: int | None = None
    octets: int | None = None
    comment: str = ""
    skbmark: tuple[int, int] | None = None
    skbprio: int | None = None
    skbqueue: int | None = None


@dataclass(frozen=True, slots=True)
class IpSet:
    """One set. ``family`` is 4 or 6, or 0 for types that hold no address (``bitmap:port``, ``list:set``).

    ``first`` and ``last`` bound a bitmap (addresses or ports). ``mask`` is what the packet's address is masked
    with before it is looked up (``netmask``, ``bitmask``; 0: nothing), ``mark_mask`` the same for marks.
    ``problem`` is set when members may be missing or could not be read: the set is then unknown.
    """

    name: str
    type: str
    family: int = 0
    members: tuple[Member, ...] = ()
    first: int = 0
    last: int = 0
    mask: int = 0
    mark_mask: int = 0xFFFFFFFF
    timeout_s: int | None = None
    counters: bool = False
    comments: bool = False
    skbinfo: bool = False
    problem: str = ""

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What the parts of a member are, in order; empty for a type that is not known here."""
        return TYPES.get(self.type, ())


_TYPE_NAMES = [
    "bitmap:ip",
    "bitmap:ip,mac",
    "bitmap:port",
    "hash:ip",
    "hash:mac",
    "hash:net",
    "hash:net,net",
    "hash:ip,port",
    "hash:ip,port,ip",
    "hash:ip,port,net",
    "hash:net,port",
    "hash:net,port,net",
    "hash:net,iface",
    "hash:ip,mark",
    "hash:ip,mac",
    "list:set",
]
TYPES: dict[str, tuple[Dimension, ...]] = {
    name: tuple(Dimension(part) for part in name.partition(":")[2].split(",")) for name in _TYPE_NAMES
}
"""Every set type of ipset(8) with its dimensions."""


@dataclass(frozen=True, slots=True)
class IpSets:
    """All sets of a dump by name, and what in the dump could not be read."""

    sets: dict[str, IpSet]
    problem: str = ""
