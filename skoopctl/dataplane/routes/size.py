"""How large a packet may be that goes by a route.

Sources: include/net/ip.h (ip_dst_mtu_maybe_forward), net/ipv4/route.c (ipv4_default_advmss).
"""

from __future__ import annotations

from skoopctl.dataplane.passage import UNLIMITED
from skoopctl.dataplane.routes.routing import Answer
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import Route

HEADERS = {4: 20 + 20, 6: 40 + 20}
"""IP and TCP headers without options."""
LARGEST = 65535
"""The largest IP packet."""


def of_route(route: Route | None, link: Link | None) -> int:
    """Return the MTU of a route: its own, else its device's (dst_mtu)."""
    if route is not None and route.mtu:
        return route.mtu
    return min(link.mtu, LARGEST) if link is not None and link.mtu else UNLIMITED


def of_answer(netns: NetNamespace, answer: Answer) -> int:
    """Return the MTU of what a lookup found, on its first next hop."""
    link = netns.links.get(answer.hops[0].index) if answer.hops else None
    return of_route(answer.route, link)
