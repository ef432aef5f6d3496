"""Matches on the transport header: tcp, udp, sctp, dccp, multiport."""

from __future__ import annotations

from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, option
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown, any_of, ports_within
from skoopctl.kernel.iptables import Match, Option

_PORTED = frozenset({6, 17, 33, 132, 136})
_ALL_FLAGS = frozenset({"FIN", "SYN", "RST", "PSH", "ACK", "URG"})


def port_range(text: str) -> tuple[int, int]:
    """Return the inclusive range of ``80``, ``80:90``, ``:90`` or ``80:``."""
    low, colon, high = text.partition(":")
    if not colon:
        return int(low), int(low)
    return int(low or 0), int(high or 65535)


def _single(side: str, low: int, high: int) -> Predicate:
    def predicate(scene: Scene) -> Truth:
        packet = scene.packet
        if packet.protocol not in _PORTED:
            return False
        ports = packet.source_ports if side == "source" else packet.destination_ports
        return ports_within(ports, low, high, side)

    return predicate


def _port_option(opt: Option, _match: Match) -> Predicate:
    """``--sport`` and ``--dport``, with ranges."""
    low, high = port_range(opt.values[0])
    return _single("source" if opt.name.startswith("s") else "destination", low, high)


for _module in ("tcp", "udp", "sctp", "udplite", "dccp"):
    option(_module, "sport", "dport", "source-port", "destination-port")(_port_option)


@option("multiport", "sports", "dports", "ports", "source-ports", "destination-ports")
def multiport(opt: Option, _match: Match) -> Predicate:
    """``--sports``, ``--dports``, ``--ports``: up to 15 ports and ranges."""
    ranges = [port_range(part) for part in opt.values[0].split(",")]
    sides = {"s": ("source",), "d": ("destination",), "p": ("source", "destination")}[opt.name[0]]
    predicates = [_single(side, low, high) for side in sides for low, high in ranges]
    return lambda scene: any_of(predicate(scene) for predicate in predicates)


@option("tcp", "syn")
def syn(_opt: Option, _match: Match) -> Predicate:
    """``--syn``: SYN set, and none of FIN, RST, ACK."""
    return lambda scene: scene.packet.protocol == 6 and scene.packet.flags.names == {"SYN"}


@option("tcp", "tcp-flags")
def tcp_flags(opt: Option, _match: Match) -> Predicate:
    """``--tcp-flags MASK COMP``."""
    mask, comp = (_flag_names(value) for value in opt.values[:2])
    return lambda scene: scene.packet.protocol == 6 and (scene.packet.flags.names & mask) == comp


def _flag_names(text: str) -> frozenset[str]:
    if text == "ALL":
        return _ALL_FLAGS
    if text == "NONE":
        return frozenset()
    names = frozenset(text.split(","))
    if not names <= _ALL_FLAGS:
        raise NotUnderstoodError(text)
    return names


@option("sctp", "chunk-types")
def chunk_types(_opt: Option, _match: Match) -> Predicate:
    """``--chunk-types``: which chunks the packets of an association carry is not modelled."""
    return _only_of(132, "--chunk-types depends on what the association is doing")


@option("dccp", "dccp-types", "dccp-option")
def dccp_types(opt: Option, _match: Match) -> Predicate:
    """``--dccp-types`` and ``--dccp-option``: the walk sends no DCCP."""
    return _only_of(33, f"--{opt.name} depends on what the connection is doing")


def _only_of(protocol: int, reason: str) -> Predicate:
    unknown = Unknown(reason)
    return lambda scene: unknown if scene.packet.protocol == protocol else False
