"""TCPMSS: a router makes the segment size smaller that a SYN offers, so that full-size segments fit its links.

Source: net/netfilter/xt_TCPMSS.c (tcpmss_mangle_packet, tcpmss_reverse_mtu): never larger, and for
``--clamp-mss-to-pmtu`` by the smaller MTU of the routes to the packet's destination and to its source.
"""

from __future__ import annotations

from skoopctl.dataplane.packet import Flags
from skoopctl.dataplane.routes.routing import Query
from skoopctl.dataplane.routes.size import HEADERS, of_answer
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.rules.targets.registry import options_of, target
from skoopctl.kernel.iptables import Target

MSS_DEFAULT = 536
"""What nft's ``rt mtu`` gives where the MTU leaves no room (TCP_MSS_DEFAULT)."""


@target("TCPMSS", quiet=True)
def tcpmss(scene: Scene, item: Target) -> None:
    """``--set-mss VALUE`` or ``--clamp-mss-to-pmtu``; what is no SYN is left alone."""
    values = options_of(item)
    wanted = clamped(scene) if "clamp-mss-to-pmtu" in values else _number(values.get("set-mss", ""))
    if wanted:
        lower_mss(scene, wanted)


def lower_mss(scene: Scene, wanted: int) -> None:
    """Make the segment size that a SYN offers no larger than ``wanted``; one that is not known stays so."""
    packet = scene.packet
    if packet.flags in {Flags.SYN, Flags.SYN_ACK} and packet.mss:
        packet.mss = min(packet.mss, wanted)


def clamped(scene: Scene) -> int:
    """Return the segment size that the routes both ways allow; 0 when the MTU leaves no room."""
    packet, router = scene.packet, scene.router
    there = router.lookup(Query(packet.destination, packet.family, packet.source, mark=packet.mark))
    back = router.lookup(Query(packet.source, packet.family))
    least = min(of_answer(scene.netns, there), of_answer(scene.netns, back))
    return max(least - HEADERS[packet.family], 0)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
