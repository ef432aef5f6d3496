"""Routing in one namespace: policy rules, tables, source selection, address types.

Sources: net/core/fib_rules.c (fib_rules_lookup), net/ipv4/fib_rules.c (fib4_rule_action, fib4_rule_suppress),
net/ipv6/fib6_rules.c, net/ipv4/fib_frontend.c (inet_addr_type), route.c (ip_route_output_key_hash_rcu).
"""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.routes.fib import REFUSING, Fib, Found, Liveness, lookup4, lookup6
from skoopctl.dataplane.routes.l3mdev import l3_master_index
from skoopctl.dataplane.routes.policy import Decide, RuleList, has_custom_rules, rules_of
from skoopctl.dataplane.routes.query import Answer, Query
from skoopctl.dataplane.routes.realms import Realms
from skoopctl.dataplane.routes.source_address import SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, Addresses
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.truth import Undecided
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import TABLE_LOCAL, TABLE_MAIN, NextHop, PolicyRule, Route, RouteType, RuleAction

__all__ = ["SCOPE_HOST", "SCOPE_LINK", "SCOPE_UNIVERSE", "Answer", "Query", "Router"]

_REFUSALS = {
    RuleAction.BLACKHOLE: RouteType.BLACKHOLE,
    RuleAction.UNREACHABLE: RouteType.UNREACHABLE,
    RuleAction.PROHIBIT: RouteType.PROHIBIT,
}
_KERNEL_PROTOCOL = 2
_MOST_REMEMBERED = 1 << 14
_LIMITED_BROADCAST = 0xFFFFFFFF


class Router:
    """Lookups in one namespace. Answers are remembered: the namespace does not change."""

    def __init__(self, netns: NetNamespace) -> None:
        self.netns = netns
        self.addresses = Addresses(netns)
        self.live = Liveness(netns)
        self.rules = {family: RuleList(netns, rules_of(netns, family)) for family in (4, 6)}
        self.custom_rules = has_custom_rules(self.rules[4].rules)
        # The kernel remembers that somebody added a local route (fib_has_custom_local_routes).
        self.custom_local_routes = any(
            route.type is RouteType.LOCAL and route.protocol not in {0, _KERNEL_PROTOCOL}
            for route in netns.routes
        )
        self.realms = Realms(netns, self.rules[4].rules)
        self._tables = self._build_tables()
        self._remembered: dict[Query, Answer] = {}
        self._evidence: dict[tuple[int, int], tuple[Answer, tuple[Evidence, ...]]] = {}

    def _build_tables(self) -> dict[tuple[int, int], Fib]:
        """Index the routes by family and table.

        Until somebody adds a rule, IPv4's local and main are one trie (fib_trie.c: fib_trie_unmerge): a longer
        prefix in main beats a shorter one in local, and the types of addresses are found so too.
        """
        by_table: dict[tuple[int, int], list[Route]] = {}
        for route in self.netns.routes:
            by_table.setdefault((route.destination.version, route.table), []).append(route)
        if not self.custom_rules:
            both = by_table.get((4, TABLE_LOCAL), []) + by_table.get((4, TABLE_MAIN), [])
            by_table[4, TABLE_LOCAL] = by_table[4, TABLE_MAIN] = both
        bits = {4: 32, 6: 128}
        return {key: Fib.build(routes, bits[key[0]]) for key, routes in by_table.items()}

    def lookup(self, query: Query, decide: Decide | None = None) -> Answer:
        """Return what the policy rules and tables say (fib_lookup, fib6_rule_lookup).

        ``decide`` answers for policy rules that the model cannot decide; without it they are taken to match,
        and the answer has a doubt.
        """
        known = self._remembered.get(query)
        if known is not None:
            return known
        return self.look_up_anew(query, decide)

    def recall(self, query: Query) -> Answer | None:
        """Return the answer that is certain, if the query was asked before."""
        return self._remembered.get(query)

    def remembered(
        self, answer: Answer, make: Callable[[NetNamespace, Answer], tuple[Evidence, ...]]
    ) -> tuple[Evidence, ...]:
        """Return the evidence of an answer, made once for each route and rule."""
        key = id(answer.route), id(answer.rule)
        known = self._evidence.get(key)
        if known is None:
            # The answer is kept with it: an identity is its object's only as long as that lives.
            known = self._evidence[key] = answer, make(self.netns, answer)
        return known[1]

    def look_up_anew(self, query: Query, decide: Decide | None = None) -> Answer:
        """Look up what is not remembered."""
        answer, certain = self._lookup(query, decide)
        if certain and len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[query] = answer
        return answer

    def _lookup(self, query: Query, decide: Decide | None) -> tuple[Answer, bool]:
        """Return the answer, and whether it is the same whenever the query is asked again."""
        if "route" in self.netns.gaps:
            return Answer(None, doubt=f"routes of {self.netns.host}: {self.netns.gaps['route']}"), True
        asked: list[PolicyRule] = []

        def deciding(question: Undecided, rule: PolicyRule, now: Query) -> tuple[bool, Query]:
            asked.append(rule)
            assert decide is not None  # noqa: S101 - only handed on when there is one
            return decide(question, rule, now)

        doubt = f"policy rules: {self.netns.gaps['rule']}" if "rule" in self.netns.gaps else ""
        walk = self.rules[query.family].walk(query, deciding if decide is not None else None)
        for rule, now, uncertain in walk:
            doubt = doubt or uncertain
            if rule.action in _REFUSALS:
                return Answer(_REFUSALS[rule.action], rule=rule, doubt=doubt), not asked
            table = self._vrf_table(query) if rule.l3mdev else rule.table
            found = self._ask(table, now)
            # Only a result is looked at for suppression: a blackhole route stays (fib_rules_lookup).
            if found is None or found[0].type is RouteType.THROW or self._suppressed(rule, found):
                continue
            return Answer(found[0].type, found[0], found[1], rule, doubt), not asked
        return Answer(None, doubt=doubt), not asked

    def _vrf_table(self, query: Query) -> int:
        vrf = self.netns.links.get(self.rules[query.family].l3mdev(query))
        return vrf.vrf_table if vrf is not None else 0

    def _ask(self, table: int, query: Query) -> Found | None:
        """Look into one table."""
        fib = self._tables.get((query.family, table))
        if fib is None:
            return None
        oif = self._wanted_device(query)
        if query.family == 4:
            return lookup4(fib, query if oif == query.oif else query._replace(oif=oif), self.live)
        scoped = needs_device(query.destination)
        strict = scoped or (query.iif == "lo" and query.source == 0)
        forwarding = self.netns.sysctls.integer("net/ipv6/conf/all/forwarding")
        wanted = query._replace(oif=oif)
        return lookup6(fib, wanted, self.live, strict=strict, avoid_failed=forwarding == 0)

    def _wanted_device(self, query: Query) -> int:
        """Return the device that a route must use; one that is a VRF itself only picks the table.

        IPv6 looks at the *input* device too where it routes what it receives (ip6_pol_route_input).
        """
        if query.oif:
            link = self.netns.links.get(query.oif)
            return 0 if link is not None and link.kind == "vrf" else query.oif
        if query.family == 6 and query.iif != "lo":
            link = self.netns.link_named(query.iif)
            return link.index if link is not None and link.kind != "vrf" else 0
        return 0

    def _suppressed(self, rule: PolicyRule, found: Found) -> bool:
        """Tell whether a rule takes no notice of such a route (fib4_rule_suppress)."""
        route = found[0]
        if route.type in REFUSING:
            return False
        if route.destination.prefixlen <= rule.suppress_prefixlength:
            return True
        link = self.netns.links.get(route.next_hops[0].index) if route.next_hops else None
        return rule.suppress_ifgroup >= 0 and link is not None and link.group == rule.suppress_ifgroup

    # --- addresses ---------------------------------------------------------------------------------------

    def address_type(self, ip: int, family: int, index: int = 0) -> RouteType:
        """Return the type of an address in the eyes of the local table (inet_addr_type_dev_table).

        ``index`` narrows it to one device, whose VRF's table is asked then.
        """
        if family == 4 and (ip >> 28) == 14:
            return RouteType.MULTICAST
        if family == 4 and (ip >> 24 == 0 or ip == _LIMITED_BROADCAST):
            return RouteType.BROADCAST
        vrf = self.netns.links.get(l3_master_index(self.netns, index))
        table = vrf.vrf_table if vrf is not None else TABLE_LOCAL
        found = self._ask(table, Query(ip, family, source=1, any_link=True))
        if found is None or (index and all(hop.index != index for hop in found[1])):
            return RouteType.UNICAST
        return found[0].type

    def is_local(self, ip: int, family: int = 4) -> bool:
        """Tell whether the namespace takes packets to the address as its own."""
        return self.address_type(ip, family) is RouteType.LOCAL

    def has_address(self, ip: int) -> bool:
        """Tell whether a device holds exactly this address (inet_lookup_ifaddr_rcu)."""
        return any(self.addresses.holds(ip, family) for family in (4, 6))

    def select_source(self, index: int, towards: int, family: int, scope: int = SCOPE_UNIVERSE) -> int | None:
        """Return the address that the kernel would use from a device towards a next hop or destination."""
        if family == 6:
            return self.addresses.select6(index, towards)
        return self.addresses.select4(index, towards, scope)

    def source_for(self, answer: Answer, hop: NextHop, query: Query) -> int | None:
        """Return the source of a packet that is born here and takes ``hop`` (fib_result_prefsrc)."""
        route = answer.route
        if route is not None and route.prefsrc is not None:
            return int(route.prefsrc)
        if query.family == 6:
            return self.addresses.select6(hop.index, query.destination)
        if answer.type is RouteType.LOCAL:
            return query.destination
        scope = route.scope if route is not None else SCOPE_LINK
        gateway = int(hop.gateway) if hop.gateway is not None and hop.gateway.version == 4 else 0
        return self.addresses.select4(hop.index, gateway, scope)


def needs_device(destination: int) -> bool:
    """Tell whether an IPv6 address means something on one link only (rt6_need_strict)."""
    return destination >> 118 == 0xFE80 >> 6 or destination >> 120 == 0xFF or destination == 1
