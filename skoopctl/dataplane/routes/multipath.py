"""Which of several next hops a flow takes.

Sources: net/ipv4/fib_semantics.c (fib_select_path, fib_select_multipath), route.c (fib_multipath_hash),
nexthop.c (nexthop_select_path_hthr), net/ipv6/route.c (fib6_select_path).

The kernel hashes the flow: the shares are known, the hash (its key is random) is not. So each hop is a branch
with its weight, and one flow in one direction has the same answer every time it is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from skoopctl.dataplane.choice import ChoiceKind, Choices
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.routes.query import Answer
from skoopctl.dataplane.routes.routing import Router
from skoopctl.kernel.neighbour import NeighbourState
from skoopctl.kernel.route import NextHop, Route

_RELEASE = re.compile(r"(\d+)\.(\d+)")
_PREFERS_SOURCE = (6, 16)
_NOT_VALID = frozenset({NeighbourState.FAILED, NeighbourState.INCOMPLETE, NeighbourState.NONE})


def pick_hop(
    router: Router, choices: Choices, answer: Answer, packet: Packet, *, born_here: bool, kernel: str = ""
) -> NextHop:
    """Return the next hop that the packet takes; ``kernel`` is the host's release, such as ``6.1.0-18``."""
    if not answer.hops:
        return NextHop(0)
    if len(answer.hops) == 1 or answer.route is None:
        return answer.hops[0]
    shares = _shares(router, answer.route, answer.hops, packet, born_here=born_here, kernel=kernel)
    if len(shares) == 1:
        return shares[0][0]
    netns = router.netns
    options = tuple((_label(router, hop, packet), share) for hop, share in shares)
    key = (
        "multipath",
        netns.host,
        netns.inode,
        answer.route.text or answer.route.destination,
        packet.source,
        packet.destination,
        _hashed_beside_addresses(router, packet),
    )
    return shares[choices.pick(ChoiceKind.CHANCE, "multipath route", options, key=key)][0]


def _hashed_beside_addresses(router: Router, packet: Packet) -> int:
    """Return what else of the header enters the hash: with policy 0, nothing."""
    policy = router.netns.sysctls.integer(f"net/ipv{packet.family}/fib_multipath_hash_policy")
    # Ports are left out: a flow has but one pair of them, though here it may be a range that narrows later.
    return packet.protocol if policy else 0


def _shares(
    router: Router,
    route: Route,
    hops: tuple[NextHop, ...],
    packet: Packet,
    *,
    born_here: bool,
    kernel: str,
) -> list[tuple[NextHop, float]]:
    """Return the hops that can be picked, with how often each is."""
    by_object = route.nexthop_id != 0
    if by_object or (packet.family == 4 and router.netns.sysctls.integer("net/ipv4/fib_multipath_use_neigh")):
        good = [hop for hop in hops if not _is_bad(router, hop, packet)]
        if by_object:
            # The bounds stay where they were, and what falls to a bad hop goes on to the next good one,
            # behind the last of them to the first (nexthop_select_path_hthr).
            return _first_fit(hops, good.__contains__) if good else [(hops[0], 1.0)]
        hops = tuple(good) or hops
    if packet.family == 4 and born_here and packet.source and not by_object and _prefers_source(kernel):
        own = [hop for hop in hops if _hop_source(router, route, hop) == packet.source]
        if own:
            return _first_fit(hops, own.__contains__)
    return [(hop, float(hop.weight)) for hop in hops]


def _first_fit(hops: tuple[NextHop, ...], fits: Callable[[NextHop], bool]) -> list[tuple[NextHop, float]]:
    """Give each hop's share to the first fitting hop from there on; the last ones' to the first that fits."""
    totals: dict[NextHop, float] = {}
    first = next(hop for hop in hops if fits(hop))
    for place, hop in enumerate(hops):
        taker = next((other for other in hops[place:] if fits(other)), first)
        totals[taker] = totals.get(taker, 0.0) + hop.weight
    return list(totals.items())


def _is_bad(router: Router, hop: NextHop, packet: Packet) -> bool:
    """Tell whether a hop's neighbour entry is not valid; without an entry it counts as good (ipv4_good_nh)."""
    target = int(hop.gateway) if hop.gateway is not None else packet.destination
    entry = router.live.neighbours.get((hop.index, target))
    return entry is not None and entry.state in _NOT_VALID


def _prefers_source(kernel: str) -> bool:
    """Linux 6.16 and newer prefer a hop whose device has the packet's source (fib_select_multipath)."""
    found = _RELEASE.match(kernel)
    return found is not None and (int(found[1]), int(found[2])) >= _PREFERS_SOURCE


def _hop_source(router: Router, route: Route, hop: NextHop) -> int | None:
    """Return the address that belongs to a hop (fib_info_update_nhc_saddr)."""
    gateway = int(hop.gateway) if hop.gateway is not None and hop.gateway.version == 4 else 0
    return router.addresses.select4(hop.index, gateway, route.scope)


def _label(router: Router, hop: NextHop, packet: Packet) -> str:
    link = router.netns.links.get(hop.index)
    device = link.name if link is not None else f"ifindex {hop.index}"
    return f"via {hop.gateway or packet.address(packet.destination)} dev {device}"
