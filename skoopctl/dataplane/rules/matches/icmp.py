"""Matches on ICMP and ICMPv6 types (iptables-extensions(8): icmp, icmp6)."""

from __future__ import annotations

from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, option
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth
from skoopctl.kernel.iptables import Match, Option

_Number = tuple[int, int | None]
_NAMES: dict[str, _Number] = {
    "echo-reply": (0, None),
    "pong": (0, None),
    "destination-unreachable": (3, None),
    "network-unreachable": (3, 0),
    "host-unreachable": (3, 1),
    "protocol-unreachable": (3, 2),
    "port-unreachable": (3, 3),
    "fragmentation-needed": (3, 4),
    "network-prohibited": (3, 9),
    "host-prohibited": (3, 10),
    "communication-prohibited": (3, 13),
    "source-quench": (4, None),
    "redirect": (5, None),
    "echo-request": (8, None),
    "ping": (8, None),
    "time-exceeded": (11, None),
    "ttl-exceeded": (11, None),
    "parameter-problem": (12, None),
    "timestamp-request": (13, None),
    "timestamp-reply": (14, None),
}
_NAMES_V6: dict[str, _Number] = {
    "destination-unreachable": (1, None),
    "no-route": (1, 0),
    "communication-prohibited": (1, 1),
    "beyond-scope": (1, 2),
    "address-unreachable": (1, 3),
    "port-unreachable": (1, 4),
    "failed-policy": (1, 5),
    "reject-route": (1, 6),
    "packet-too-big": (2, None),
    "time-exceeded": (3, None),
    "ttl-exceeded": (3, None),
    "parameter-problem": (4, None),
    "echo-request": (128, None),
    "ping": (128, None),
    "echo-reply": (129, None),
    "pong": (129, None),
    "router-solicitation": (133, None),
    "router-advertisement": (134, None),
    "neighbour-solicitation": (135, None),
    "neighbor-solicitation": (135, None),
    "neighbour-advertisement": (136, None),
    "neighbor-advertisement": (136, None),
    "redirect": (137, None),
}


@option("icmp", "icmp-type")
def icmp_type(opt: Option, _match: Match) -> Predicate:
    """``--icmp-type TYPE[/CODE]`` or a name; 255 is any (ipt_icmp: icmp_type_code_match)."""
    if opt.values[0] in {"any", "255"}:
        return lambda scene: scene.packet.protocol == 1
    return _predicate(1, opt.values[0], _NAMES)


@option("icmp6", "icmpv6-type")
def icmpv6_type(opt: Option, _match: Match) -> Predicate:
    """``--icmpv6-type TYPE[/CODE]`` or a name."""
    return _predicate(58, opt.values[0], _NAMES_V6)


def _predicate(protocol: int, text: str, names: dict[str, _Number]) -> Predicate:
    wanted, code = names.get(text) or _number(text)

    def predicate(scene: Scene) -> Truth:
        packet = scene.packet
        if packet.protocol != protocol:
            return False
        actual = packet.icmp
        return actual[0] == wanted and code in {None, actual[1]}

    return predicate


def _number(text: str) -> _Number:
    kind, _, code = text.partition("/")
    if not kind.isdigit() or (code and not code.isdigit()):
        raise NotUnderstoodError(text)
    return int(kind), int(code) if code else None
