"""One routing table: longest prefix, then what IPv4 and IPv6 each make of several routes to it.

Sources: net/ipv4/fib_trie.c (fib_table_lookup), net/ipv6/route.c (fib6_table_lookup, rt6_select,
find_rr_leaf, rt6_score_route), net/ipv6/ip6_fib.c (fib6_node_lookup).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from skoopctl.dataplane.routes.policy import LEGACY_TOS
from skoopctl.dataplane.routes.query import Query
from skoopctl.kernel.neighbour import Neighbour, NeighbourState
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import NextHop, Route, RouteType

Found = tuple[Route, tuple[NextHop, ...]]

REFUSING = frozenset({RouteType.BLACKHOLE, RouteType.UNREACHABLE, RouteType.PROHIBIT, RouteType.NAT})
WITHOUT_HOP = REFUSING | {RouteType.THROW}
_LOOPBACK_INDEX = 1
# IPV6_DECODE_PREF: low, medium, high become 1, 2, 3, above the bit for the wanted device.
_MEDIUM = 2


@dataclass(slots=True)
class Fib:
    """Routes of one table and family by prefix length, longest first; equal ones in the kernel's order."""

    by_length: list[tuple[int, int, dict[int, list[Route]]]] = field(default_factory=list)

    @classmethod
    def build(cls, routes: list[Route], bits: int) -> Fib:
        """Index routes. ``bits`` is the length of an address."""
        groups: dict[int, dict[int, list[Route]]] = {}
        for route in routes:
            length = route.destination.prefixlen
            groups.setdefault(length, {}).setdefault(int(route.destination.network_address), []).append(route)
        everything = (1 << bits) - 1
        made = cls()
        for length in sorted(groups, reverse=True):
            mask = everything ^ ((1 << (bits - length)) - 1)
            for same in groups[length].values():
                same.sort(key=lambda r: (-r.table, -r.tos, r.metric))
            made.by_length.append((length, mask, groups[length]))
        return made

    def matching(self, destination: int) -> Iterator[list[Route]]:
        """Yield the routes to each prefix that holds the destination, the longest first."""
        for _, mask, networks in self.by_length:
            found = networks.get(destination & mask)
            if found is not None:
                yield found


@dataclass(slots=True)
class Liveness:
    """Which next hops of a namespace can be used."""

    netns: NetNamespace
    neighbours: dict[tuple[int, int], Neighbour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.netns.neighbours:
            if not entry.proxy:
                self.neighbours.setdefault((entry.index, int(entry.ip)), entry)

    def usable(self, hop: NextHop, query: Query) -> bool:
        """Tell whether a hop's device is there (fib_lookup_good_nhc, find_match), wherever it leads."""
        if hop.dead:
            return False
        return not hop.linkdown or query.any_link or not self._ignores_linkdown(hop.index, query.family)

    def _ignores_linkdown(self, index: int, family: int) -> bool:
        link = self.netns.links.get(index)
        names = [link.name] if link is not None else []
        # IPv4 takes either setting, IPv6 the device's own (ip6_ignore_linkdown).
        names += ["all"] if family == 4 else []
        paths = (f"net/ipv{family}/conf/{name}/ignore_routes_with_linkdown" for name in names)
        return any(self.netns.sysctls.integer(path) for path in paths)

    def failed(self, hop: NextHop) -> bool:
        """Tell whether the kernel has given up on a hop's gateway (rt6_check_neigh)."""
        if hop.gateway is None:
            return False
        entry = self.neighbours.get((hop.index, int(hop.gateway)))
        return entry is not None and entry.state is NeighbourState.FAILED


def lookup4(fib: Fib, query: Query, live: Liveness) -> Found | None:
    """Return the route that wins and its usable hops; a throw or refusing route ends the search.

    A route whose hops are all unusable is passed over, for one with another metric or a shorter prefix. If its
    hop is a next hop object, the kernel leaves the trie's leaf, and so misses every shorter prefix that begins
    at the same address (fib_table_lookup: ``goto miss``).
    """
    missed: set[int] = set()
    for routes in fib.matching(query.destination):
        for route in routes:
            if route.tos and route.tos != query.tos & LEGACY_TOS:
                continue
            if missed and int(route.destination.network_address) in missed:
                continue
            if route.type in WITHOUT_HOP:
                return route, ()
            hops = tuple(
                hop
                for hop in route.next_hops
                if (not query.oif or hop.index == query.oif) and live.usable(hop, query)
            )
            if hops:
                return route, hops
            if route.nexthop_id:
                missed.add(int(route.destination.network_address))
    return None


def lookup6(fib: Fib, query: Query, live: Liveness, *, strict: bool, avoid_failed: bool) -> Found | None:
    """Return the route that wins and its usable hops.

    ``query.oif`` is the device asked for, in either direction; with ``strict`` no other will do
    (RT6_LOOKUP_F_IFACE). With ``avoid_failed`` a gateway that does not answer is passed over while there is
    any other route (RT6_LOOKUP_F_REACHABLE: hosts that do not forward).
    """
    for avoid in (True, False) if avoid_failed else (False,):

        def score(route: Route, hop: NextHop, avoid: bool = avoid) -> int:
            return _score(route, hop, query, live, strict=strict, avoid=avoid)

        for routes in fib.matching(query.destination):
            found = _select(_of_longest_source(routes, query.source), score)
            if found is not None:
                return found
    return None


def _of_longest_source(routes: list[Route], source: int) -> list[Route]:
    """Keep the routes whose source prefix fits best: a subtree is searched before the routes for anybody."""
    if all(route.source is None for route in routes):
        return routes
    fitting = [route for route in routes if _source_length(route) == 0 or _from(route, source)]
    longest = max((_source_length(route) for route in fitting), default=0)
    return [route for route in fitting if _source_length(route) == longest]


def _source_length(route: Route) -> int:
    return route.source.prefixlen if route.source is not None else 0


def _from(route: Route, source: int) -> bool:
    network = route.source
    return network is not None and (source & int(network.netmask)) == int(network.network_address)


def _score(route: Route, hop: NextHop, query: Query, live: Liveness, *, strict: bool, avoid: bool) -> int:
    """Return how well a hop fits, below 0: not at all (rt6_score_route)."""
    if not live.usable(hop, query):
        return -3
    fits = 2 if not query.oif or hop.index == query.oif else 0
    if not fits and strict:
        return -3
    if avoid and live.failed(hop):
        return -2
    return fits | (_MEDIUM + route.preference) << 2


def _select(routes: list[Route], score: Callable[[Route, NextHop], int]) -> Found | None:
    """Return the best of the routes to one prefix (find_rr_leaf).

    Those with the smallest metric come first; when none of them can be used, all others are compared by
    score alone, whatever their metrics.
    """
    first = [route for route in routes if route.metric == routes[0].metric] if routes else []
    for group in (first, routes[len(first) :]):
        best: tuple[int, Route, NextHop] | None = None
        for route in group:
            for hop in route.next_hops or (NextHop(_LOOPBACK_INDEX),):
                points = score(route, hop)
                if points >= 0 and (best is None or points > best[0]):
                    best = points, route, hop
        if best is not None:
            _, route, chosen = best
            if route.type in WITHOUT_HOP:
                return route, ()
            others = tuple(hop for hop in route.next_hops if hop is not chosen and score(route, hop) >= 0)
            return route, (chosen, *others) if others else (chosen,)
    return None
