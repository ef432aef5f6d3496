"""Routes, next hops and policy rules of one namespace (``ip route show table all``, ``ip rule``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from skoopctl.kernel.address import IPAddress, IPNetwork

TABLE_LOCAL = 255
TABLE_MAIN = 254
TABLE_DEFAULT = 253


class RouteType(StrEnum):
    """RTN_* of include/uapi/linux/rtnetlink.h, in the words of ip-route(8)."""

    UNICAST = "unicast"
    LOCAL = "local"
    BROADCAST = "broadcast"
    ANYCAST = "anycast"
    MULTICAST = "multicast"
    BLACKHOLE = "blackhole"
    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"
    THROW = "throw"
    NAT = "nat"


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a route sends: a device, a gateway on it, or both. ``weight`` is 1 or more.

    ``realms`` is RTA_FLOW: the realm of what comes from there in the upper half, of what goes there in the lower.
    """

    index: int
    gateway: IPAddress | None = None
    onlink: bool = False
    weight: int = 1
    dead: bool = False
    linkdown: bool = False
    realms: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``next_hops`` is empty for blackhole, unreachable, prohibit and throw.

    ``scope`` is RT_SCOPE_*; ``metric`` is RTA_PRIORITY (0 when absent); ``mtu`` is the route's own (0: the
    device's), ``mtu_locked`` forbids path MTU discovery to lower it, ``advmss`` is what its TCP announces.
    ``source`` restricts an IPv6 route to packets from there (CONFIG_IPV6_SUBTREES). ``preference`` is that of
    a router's announcement, -1, 0 or 1 (RTA_PREF). ``nexthop_id`` is the next hop object that it uses (0: none
    of its own). ``text`` is the line as ``ip route show table all`` prints it, for people.
    """

    table: int
    destination: IPNetwork
    type: RouteType = RouteType.UNICAST
    next_hops: tuple[NextHop, ...] = ()
    prefsrc: IPAddress | None = None
    scope: int = 0
    metric: int = 0
    tos: int = 0
    protocol: int = 0
    mtu: int = 0
    text: str = ""
    mtu_locked: bool = False
    advmss: int = 0
    source: IPNetwork | None = None
    preference: int = 0
    nexthop_id: int = 0


class RuleAction(StrEnum):
    """FR_ACT_* of include/uapi/linux/fib_rules.h."""

    TABLE = "lookup"
    GOTO = "goto"
    NOP = "nop"
    BLACKHOLE = "blackhole"
    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One ``ip rule``. ``undecoded`` names attributes that the model does not know: the rule may match.

    ``tos`` is FRA's tos byte; ``dscp`` the whole field with its mask, from ``ip rule … dscp`` (None: not asked
    for). ``tun_id`` is 0 and ``uids`` None where the rule does not select by them. ``realms`` is FRA_FLOW.
    """

    family: int
    priority: int
    action: RuleAction = RuleAction.TABLE
    table: int = 0
    goto: int = 0
    invert: bool = False
    source: IPNetwork | None = None
    destination: IPNetwork | None = None
    iif: str = ""
    oif: str = ""
    fwmark: int = 0
    fwmask: int = 0
    tos: int = 0
    ip_protocol: int = 0
    source_ports: tuple[int, int] | None = None
    destination_ports: tuple[int, int] | None = None
    suppress_prefixlength: int = -1
    l3mdev: bool = False
    undecoded: tuple[str, ...] = ()
    text: str = ""
    suppress_ifgroup: int = -1
    tun_id: int = 0
    uids: tuple[int, int] | None = None
    dscp: tuple[int, int] | None = None
    realms: int = 0
