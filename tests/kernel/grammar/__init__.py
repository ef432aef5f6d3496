"""Random but plausible states, drawn from the themes that the modules of this package register."""

from __future__ import annotations

from random import Random

from tests.kernel import plan
from tests.kernel.grammar import ipsets, iptables, nft, routing
from tests.kernel.grammar.capabilities import NOT_YET
from tests.kernel.grammar.draw import THEMES, Draw
from tests.kernel.state import Flow, Line, Overlay, Pods, Shape, State, Tool

__all__ = ["NOT_YET", "draw_state", "ipsets", "iptables", "nft", "routing"]

_FLOW_KINDS = (("tcp", 4), ("udp", 2), ("icmp", 1))


def draw_state(seed: str, flows: int, on: frozenset[str] = frozenset(), only: str = "") -> State:
    """Draw the state that belongs to a seed: always the same one. ``on`` switches rows on that are off."""
    lot = Random(seed)
    shape = Shape(lot.choice(tuple(Pods)), lot.choice(tuple(Pods)), lot.choice(tuple(Overlay)))
    draw = Draw(lot, shape, frozenset(NOT_YET) - on)
    lines: list[Line] = []
    if "bridge-nf:6" in draw.off:
        switch = "net/bridge/bridge-nf-call-ip6tables=0"
        lines = [Line(node, Tool.SYSCTL, switch) for node in draw.bridged()]
    seen: set[tuple[str, str, str]] = set()
    for _ in range(lot.choice((1, 2, 3, 3, 4, 4, 5, 6, 7))):
        draw.family = 6 if "family:6" not in draw.off and lot.random() < 0.3 else 4
        rows = [row for row in THEMES if row.name.startswith(only)] or THEMES
        for line in draw.row(rows).draw(draw):
            key = (line.place, line.tool.value, line.text)
            if isinstance(line, str) or key in seen:
                continue
            seen.add(key)
            lines.append(line)
    return State(shape, tuple(lines), tuple(_flows(draw, flows, lines)))


def _flows(draw: Draw, count: int, lines: list[Line]) -> list[Flow]:
    """Draw different flows; some families and protocols may be switched off.

    Half of them go to addresses that the lines mention, so that there is something to see.
    """
    kinds = [(kind, weight) for kind, weight in _FLOW_KINDS if f"flow:{kind}" not in draw.off]
    families = [4, 4, 4, 6] if "family:6" not in draw.off else [4]
    text = " ".join(line.text for line in lines)
    found: dict[Flow, None] = {}
    for _ in range(count * 20):
        if len(found) >= count:
            break
        draw.family = draw.lot.choice(families)
        protocol = draw.lot.choices([k for k, _ in kinds], [w for _, w in kinds])[0]
        found[_flow(draw, protocol, text)] = None
    return list(found)


def _flow(draw: Draw, protocol: str, text: str) -> Flow:
    source = draw.one(("c", "c", "c", "d", "s", "t", "o", "o", "a", "b"))
    vips = [vip for vip in plan.VIPS[draw.family] if vip in text]
    ports = {"tcp": (*plan.TCP_OPEN, 8080, 8080, plan.CLOSED), "udp": (*plan.UDP_OPEN, 5353, plan.CLOSED)}
    port = draw.one(ports[protocol]) if protocol in ports else 0
    kinds = ["pod"] * 9 + ["node"] * 3 + ["outside"] * 2
    kinds += ["vip"] * (6 if vips else 0) + ["nodeport"] * (3 if "300" in text else 0)
    if draw.chance(0.05):
        kinds = ["nobody", "vip", "nodeport"]
    kind = draw.one(kinds)
    if kind == "pod":
        address = draw.address_of(draw.pod())
    elif kind == "node":
        node = draw.node()
        gateways = [plan.GATEWAYS[draw.family][node]] if node in draw.bridged() else []
        address = draw.one([draw.address_of(plan.BY_NAME[node]), *gateways])
    elif kind == "outside":
        address = draw.address_of(plan.OUTSIDE)
    elif kind == "vip":
        address = draw.one(vips or plan.VIPS[draw.family])
        port = port and draw.one(({"tcp": 80, "udp": 53}[protocol],) * 5 + (port,))
    elif kind == "nodeport":
        address, port = draw.address_of(draw.one(plan.NODES)), {"tcp": 30080, "udp": 30053}.get(protocol, 0)
    else:
        address = draw.one(plan.NOBODY[draw.family])
    return Flow(source, address, protocol, port)
