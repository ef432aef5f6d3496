"""The realms that a route gives to a packet: what ``-m realm`` and ``meta rtclassid`` read (dst_entry's tclassid).

Sources: net/ipv4/route.c (rt_set_nexthop, set_class_tag, __mkroute_input), include/net/ip_fib.h (fib_combine_itag).
Realms are IPv4's. The lower half is the realm that a packet goes to, the upper half the one that it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from skoopctl.dataplane.routes.query import Answer
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import NextHop, PolicyRule, Route, RuleAction

UNKNOWN_REALMS = (
    "two policy rules with other realms share the next hop, and the first to use it gives its own"
)
_LOW, _HIGH = 0xFFFF, 0xFFFF0000


@dataclass(slots=True)
class Realms:
    """The realms of one namespace's routes and rules."""

    netns: NetNamespace
    rules: tuple[PolicyRule, ...]
    used: bool = field(init=False)
    """Whether anything has realms (fib_num_tclassid_users)."""
    _of_rules: dict[int, tuple[Route, frozenset[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        routes = self.netns.routes
        self.used = any(rule.realms for rule in self.rules) or any(
            hop.realms for route in routes for hop in route.next_hops
        )

    def going(self, answer: Answer, hop: NextHop, sender: int = 0) -> int | None:
        """Return the realms of a packet that leaves by a hop; ``sender`` is `coming` for one that is forwarded.

        None: the kernel keeps the route that it made for the hop (rt_cache_route), with the realms of the rule that
        led there first, and more than one can.
        """
        if not self.used:
            return 0
        complete = hop.realms & _LOW and hop.realms & _HIGH
        if not complete and not sender and answer.route is not None and len(self._rules_to(answer.route)) > 1:
            return None
        return _add(_add(hop.realms, answer.rule.realms if answer.rule is not None else 0), sender)

    def coming(self, back: Answer) -> int:
        """Return what the way back to its sender gives to a packet that comes in (fib_combine_itag)."""
        if back.route is None:
            return 0
        hops = back.hops or back.route.next_hops
        rule = back.rule.realms if back.rule is not None else 0
        towards = (hops[0].realms if hops else 0) & _LOW or rule & _LOW
        return towards << 16 | rule >> 16

    def _rules_to(self, route: Route) -> frozenset[int]:
        """Return the realms of all rules that can lead to a route's next hop."""
        known = self._of_rules.get(id(route))
        if known is None:
            tables = {other.table for other in self.netns.routes if _shares(route, other)}
            found = (
                rule.realms
                for rule in self.rules
                if rule.action is RuleAction.TABLE and (rule.l3mdev or rule.table in tables)
            )
            known = self._of_rules[id(route)] = route, frozenset(found)
        return known[1]


def _add(realms: int, more: int) -> int:
    """Fill the halves that are still empty (set_class_tag)."""
    realms |= 0 if realms & _LOW else more & _LOW
    return realms | (0 if realms & _HIGH else more & _HIGH)


def _shares(route: Route, other: Route) -> bool:
    """Tell whether two routes have one fib_info or one next hop object, and so what is kept there."""
    if route.nexthop_id or other.nexthop_id:
        return route.nexthop_id == other.nexthop_id
    return _info(route) == _info(other)


def _info(route: Route) -> tuple[object, ...]:
    return (route.type, route.next_hops, route.prefsrc, route.scope, route.metric, route.protocol, route.mtu)
