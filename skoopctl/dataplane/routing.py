"""Routing in one namespace: policy rules, longest prefix, source selection, address types, reverse path.

Sources: net/ipv4/fib_rules.c, fib_trie.c (fib_table_lookup), fib_frontend.c (fib_validate_source,
inet_select_addr), route.c (ip_route_output_key_hash, ip_route_input_slow).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from skoopctl.kernel.address import Address, IPNetwork
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import (
    TABLE_DEFAULT,
    TABLE_LOCAL,
    TABLE_MAIN,
    NextHop,
    PolicyRule,
    Route,
    RouteType,
    RuleAction,
)

SCOPE_HOST = 254
SCOPE_LINK = 253

_DEFAULT_RULES = (
    (0, TABLE_LOCAL, "0:\tfrom all lookup local"),
    (32766, TABLE_MAIN, "32766:\tfrom all lookup main"),
    (32767, TABLE_DEFAULT, "32767:\tfrom all lookup default"),
)


@dataclass(frozen=True, slots=True)
class Query:
    """What a lookup asks. ``iif`` is ``lo`` for packets born here; ``oif`` restricts to one device (0: any)."""

    destination: int
    family: int = 4
    source: int = 0
    iif: str = "lo"
    oif: int = 0
    mark: int = 0
    tos: int = 0
    protocol: int = 0
    destination_port: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one lookup.

    ``route`` is None when nothing matched. ``hops`` are the usable next hops (several: multipath).
    ``doubt`` says why the answer may be wrong (an undecodable policy rule, a missing dump).
    """

    type: RouteType | None
    route: Route | None = None
    hops: tuple[NextHop, ...] = ()
    rule: PolicyRule | None = None
    doubt: str = ""


@dataclass(slots=True)
class _Trie:
    """Routes of one table and family by prefix length, longest first."""

    by_length: list[tuple[int, int, dict[int, list[Route]]]] = field(default_factory=list)

    @classmethod
    def build(cls, routes: list[Route], bits: int) -> _Trie:
        groups: dict[int, dict[int, list[Route]]] = {}
        for route in routes:
            length = route.destination.prefixlen
            groups.setdefault(length, {}).setdefault(int(route.destination.network_address), []).append(route)
        everything = (1 << bits) - 1
        trie = cls()
        for length in sorted(groups, reverse=True):
            mask = everything ^ ((1 << (bits - length)) - 1)
            for same in groups[length].values():
                same.sort(key=lambda r: (-r.tos, r.metric))
            trie.by_length.append((length, mask, groups[length]))
        return trie


class Router:
    """Lookups in one namespace."""

    def __init__(self, netns: NetNamespace) -> None:
        self.netns = netns
        self._rules: dict[int, tuple[PolicyRule, ...]] = {f: _rules_of(netns, f) for f in (4, 6)}
        self._tries: dict[tuple[int, int], _Trie] = {}
        by_table: dict[tuple[int, int], list[Route]] = {}
        for route in netns.routes:
            by_table.setdefault((route.destination.version, route.table), []).append(route)
        for (family, table), routes in by_table.items():
            self._tries[family, table] = _Trie.build(routes, 32 if family == 4 else 128)
        self._by_index: dict[int, list[Address]] = {}
        self._local: dict[int, int] = {}
        for address in netns.addresses:
            self._by_index.setdefault(address.index, []).append(address)
            self._local[int(address.ip)] = address.index

    def lookup(self, query: Query) -> Answer:
        """Return what the policy rules and tables say (fib_lookup)."""
        if "route" in self.netns.gaps:
            return Answer(None, doubt=f"routes of {self.netns.host}: {self.netns.gaps['route']}")
        doubt = f"policy rules: {self.netns.gaps['rule']}" if "rule" in self.netns.gaps else ""
        rules = self._rules[query.family]
        position = 0
        while position < len(rules):
            rule = rules[position]
            position += 1
            matched, uncertain = self._rule_matches(rule, query)
            if not matched:
                continue
            doubt = doubt or uncertain
            if rule.action is RuleAction.GOTO:
                position = next((i for i, r in enumerate(rules) if r.priority >= rule.goto), len(rules))
                continue
            answer = self._apply(rule, query)
            if answer is not None:
                return Answer(answer.type, answer.route, answer.hops, rule, doubt)
        return Answer(None, doubt=doubt)

    def _apply(self, rule: PolicyRule, query: Query) -> Answer | None:
        """Return what a matching rule decides, or None for the next rule."""
        if rule.action is RuleAction.TABLE:
            return self._table_lookup(rule, query)
        refusing = {
            RuleAction.BLACKHOLE: RouteType.BLACKHOLE,
            RuleAction.UNREACHABLE: RouteType.UNREACHABLE,
            RuleAction.PROHIBIT: RouteType.PROHIBIT,
        }
        return Answer(refusing[rule.action]) if rule.action in refusing else None

    def _table_lookup(self, rule: PolicyRule, query: Query) -> Answer | None:
        """Longest prefix, then tos, then metric; suppressed and throw routes fall through."""
        trie = self._tries.get((query.family, rule.table))
        if trie is None:
            return None
        for length, mask, networks in trie.by_length:
            for route in networks.get(query.destination & mask, ()):
                if route.tos and route.tos != query.tos:
                    continue
                if route.type is RouteType.THROW:
                    return None
                if not route.next_hops and route.type not in _WITHOUT_HOP:
                    continue
                hops = self._usable(route, query)
                if route.next_hops and not hops:
                    continue
                # fib4_rule_suppress looks at routes that have a device only: a blackhole stays.
                if hops and length <= rule.suppress_prefixlength:
                    return None
                return Answer(route.type, route, hops)
        return None

    def _usable(self, route: Route, query: Query) -> tuple[NextHop, ...]:
        """Return the next hops that are alive and on the wanted device."""
        ignore_linkdown = self.netns.sysctls.integer("net/ipv4/conf/all/ignore_routes_with_linkdown")
        return tuple(
            hop
            for hop in route.next_hops
            if not hop.dead
            and not (hop.linkdown and ignore_linkdown)
            and (not query.oif or hop.index == query.oif or route.type is RouteType.LOCAL)
        )

    def _rule_matches(self, rule: PolicyRule, query: Query) -> tuple[bool, str]:
        """Tell whether a policy rule matches, and what makes that uncertain."""
        matched = (
            (rule.source is None or _inside(query.source, rule.source))
            and (rule.destination is None or _inside(query.destination, rule.destination))
            and (not rule.iif or rule.iif == query.iif)
            and (not rule.oif or rule.oif == self._name(query.oif))
            and ((query.mark ^ rule.fwmark) & rule.fwmask) == 0
            and (not rule.tos or rule.tos == query.tos)
            and (not rule.ip_protocol or rule.ip_protocol == query.protocol)
            and not rule.l3mdev
        )
        if rule.destination_ports is not None:
            low, high = rule.destination_ports
            matched = matched and low <= query.destination_port <= high
        uncertain = ""
        if rule.undecoded or rule.source_ports is not None or rule.l3mdev:
            uncertain = f"policy rule {rule.text!r} is outside the model" if matched else ""
        return matched != rule.invert, uncertain

    def _name(self, index: int) -> str:
        link = self.netns.links.get(index)
        return link.name if link else ""

    # --- addresses ---------------------------------------------------------------------------------------

    def address_type(self, ip: int, family: int, index: int = 0) -> RouteType:
        """Return the type of an address in the eyes of the local table (inet_addr_type_dev_table)."""
        if family == 4 and (ip >> 28) == 14:
            return RouteType.MULTICAST
        answer = self._table_lookup(
            PolicyRule(family, 0, table=TABLE_LOCAL, suppress_prefixlength=-1), Query(ip, family)
        )
        if answer is None or answer.type is None:
            return RouteType.UNICAST
        if index and all(hop.index != index for hop in answer.hops):
            return RouteType.UNICAST
        return answer.type

    def is_local(self, ip: int, family: int = 4) -> bool:
        """Tell whether the namespace takes packets to the address as its own."""
        return self.address_type(ip, family) is RouteType.LOCAL

    def has_address(self, ip: int) -> bool:
        """Tell whether a device holds exactly this address (inet_lookup_ifaddr_rcu)."""
        return ip in self._local

    def select_source(self, index: int, towards: int, family: int, scope: int = 0) -> int | None:
        """Return the address that the kernel would use from a device towards a next hop (inet_select_addr).

        An address whose subnet holds the next hop wins; else the device's first; else any other device's.
        """
        candidates = [
            a
            for a in self._by_index.get(index, [])
            if a.ip.version == family and not a.secondary and a.scope <= max(scope, 0)
        ]
        for address in candidates:
            if _same_subnet(address, towards):
                return int(address.ip)
        if candidates:
            return int(candidates[0].ip)
        for others in self._by_index.values():
            for address in others:
                if address.ip.version == family and address.scope <= scope and address.scope != SCOPE_LINK:
                    return int(address.ip)
        return None

    def source_for(self, answer: Answer, hop: NextHop, query: Query) -> int | None:
        """Return the source of a packet that is born here and takes ``hop`` (fib_result_prefsrc)."""
        route = answer.route
        if route is not None and route.prefsrc is not None:
            return int(route.prefsrc)
        if answer.type is RouteType.LOCAL:
            return query.destination
        towards = int(hop.gateway) if hop.gateway is not None else query.destination
        return self.select_source(hop.index, towards, query.family)


_WITHOUT_HOP = frozenset({RouteType.BLACKHOLE, RouteType.UNREACHABLE, RouteType.PROHIBIT, RouteType.THROW})


def _rules_of(netns: NetNamespace, family: int) -> tuple[PolicyRule, ...]:
    """Return the namespace's rules in order, or the kernel's defaults when they were not read."""
    rules = [rule for rule in netns.rules if rule.family == family]
    if not rules:
        rules = [
            PolicyRule(family, priority, table=table, text=text) for priority, table, text in _DEFAULT_RULES
        ]
    return tuple(sorted(rules, key=lambda rule: rule.priority))


def _inside(ip: int, network: IPNetwork) -> bool:
    return (ip & int(network.netmask)) == int(network.network_address)


def _same_subnet(address: Address, ip: int) -> bool:
    bits = address.ip.max_prefixlen
    shift = bits - address.prefixlen
    return (int(address.ip) >> shift) == (ip >> shift)
