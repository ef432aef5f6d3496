"""Sets of ipset, and rules that ask them."""

from __future__ import annotations

from tests.kernel.grammar.draw import Draw, theme
from tests.kernel.grammar.iptables import rule
from tests.kernel.state import Line, Tool

KINDS = (
    "hash:ip", "hash:net", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "bitmap:port", "hash:net,iface",
    "hash:net,port", "hash:mac"
)  # fmt: skip


def _entry(draw: Draw, place: str, kind: str) -> str:
    parts = []
    for n, dimension in enumerate(kind.partition(":")[2].split(",")):
        parts.append(_DIMENSIONS[dimension](draw, place, n))
    nomatch = " nomatch" if "net" in kind and draw.chance(0.15) else ""
    return ",".join(parts) + nomatch


def _set_port(draw: Draw, kind_alone: bool = False) -> str:
    port = draw.port()
    if kind_alone:
        return str(port)
    return draw.one((f"tcp:{port}", f"udp:{port}", "icmp:8/0" if draw.family == 4 else "icmpv6:128/0"))


_DIMENSIONS = {
    "ip": lambda draw, _place, _n: draw.address(),
    "net": lambda draw, _place, _n: _net(draw),
    "port": lambda draw, _place, n: _set_port(draw, n == 0),
    "iface": lambda draw, place, _n: draw.device(place),
    "mac": lambda draw, _place, _n: draw.end().mac,
}


def _net(draw: Draw) -> str:
    target = draw.target()
    return "10.0.0.0/9" if target == "0.0.0.0/0" else target


@theme("ipset", 3)
def _ipset(draw: Draw) -> list[Line]:
    place, tool = draw.place(), draw.iptables()
    kind = draw.one(draw.on("ipset", KINDS))
    name = draw.fresh("fzset")
    options = " range 0-65535" if kind == "bitmap:port" else ""
    if kind not in {"bitmap:port", "hash:mac"}:
        options = f" family {'inet' if draw.family == 4 else 'inet6'}"
    lines = [
        Line(place, Tool.IPSET, f"create {name} {kind}{options}{draw.one(('', ' counters', ' comment'))}")
    ]
    entries = {_entry(draw, place, kind) for _ in range(draw.number(0, 4))}
    unique = {entry.removesuffix(" nomatch"): entry for entry in sorted(entries)}
    lines += [Line(place, Tool.IPSET, f"add {name} {entry}") for entry in unique.values()]
    draw.sets.append((place, name, kind, draw.family))
    dimensions = kind.partition(":")[2].count(",") + 1
    for _ in range(draw.number(1, 2)):
        flags = ",".join(draw.one(("src", "dst", "dst")) for _ in range(dimensions))
        table, chain = draw.one((("filter", "FORWARD"), ("filter", "INPUT"), ("mangle", "PREROUTING")))
        protocol = draw.one(("", "-p tcp ", "-p udp "))
        target = draw.one(("DROP", "DROP", "ACCEPT"))
        inverted = "! " if draw.chance(0.15) else ""
        lines.append(
            Line(
                place,
                tool,
                f"{table} -A {chain} {protocol}-m set {inverted}--match-set {name} {flags} -j {target}",
            )
        )
    if draw.chance(0.5):
        lines.append(Line(place, tool, rule(draw, place, "filter", "FORWARD")))
    return lines
