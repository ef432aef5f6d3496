"""Matches on conntrack and marks: conntrack, state, mark, connmark."""

from __future__ import annotations

from skoopctl.dataplane.conntrack import CtState, Entry
from skoopctl.dataplane.matches.address import network_of, protocol_number
from skoopctl.dataplane.matches.registry import NotUnderstoodError, Predicate, option
from skoopctl.dataplane.matches.transport import port_range
from skoopctl.dataplane.scene import Scene
from skoopctl.dataplane.truth import Truth, ports_within
from skoopctl.kernel.iptables import Match, Option

_STATES = frozenset({*(state.value for state in CtState), "SNAT", "DNAT"})


@option("conntrack", "ctstate")
def ctstate(opt: Option, _match: Match) -> Predicate:
    """``--ctstate``: a state, or the NAT status bits SNAT and DNAT (xt_conntrack.c)."""
    return _states(opt.values[0])


@option("state", "state")
def state(opt: Option, _match: Match) -> Predicate:
    """``-m state --state``: the older spelling."""
    return _states(opt.values[0])


def _states(text: str) -> Predicate:
    wanted = frozenset(text.split(","))
    if not wanted <= _STATES:
        raise NotUnderstoodError(text)

    def predicate(scene: Scene) -> Truth:
        return not wanted.isdisjoint(states_of(scene))

    return predicate


def states_of(scene: Scene) -> set[str]:
    """Return the packet's state with the status bits that ``--ctstate`` can see."""
    tracking = scene.packet.tracking
    if tracking is None:
        return {CtState.UNTRACKED.value if scene.packet.untracked else CtState.INVALID.value}
    names = {tracking.state.value}
    if tracking.entry is not None:
        if tracking.entry.source_nat:
            names.add("SNAT")
        if tracking.entry.destination_nat:
            names.add("DNAT")
    return names


@option("conntrack", "ctstatus")
def ctstatus(opt: Option, _match: Match) -> Predicate:
    """``--ctstatus NONE|EXPECTED|SEEN_REPLY|ASSURED|CONFIRMED``."""
    wanted = frozenset(opt.values[0].split(","))
    if not wanted <= {"NONE", "EXPECTED", "SEEN_REPLY", "CONFIRMED"}:
        raise NotUnderstoodError(opt.values[0])

    def predicate(scene: Scene) -> Truth:
        entry = scene.packet.tracking.entry if scene.packet.tracking else None
        if entry is None:
            return False
        actual = {"SEEN_REPLY"} if entry.seen_reply else set()
        if entry.confirmed:
            actual.add("CONFIRMED")
        return not wanted.isdisjoint(actual or {"NONE"})

    return predicate


@option("conntrack", "ctdir")
def ctdir(opt: Option, _match: Match) -> Predicate:
    """``--ctdir ORIGINAL|REPLY``."""
    reply = opt.values[0] == "REPLY"
    return lambda scene: (
        (t := scene.packet.tracking) is not None and t.entry is not None and t.is_reply == reply
    )


@option("conntrack", "ctproto")
def ctproto(opt: Option, _match: Match) -> Predicate:
    """``--ctproto PROTOCOL``."""
    number = protocol_number(opt.values[0])
    return lambda scene: (e := _entry(scene)) is not None and e.original.protocol == number


@option("conntrack", "ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst")
def ct_address(opt: Option, _match: Match) -> Predicate:
    """``--ctorigsrc`` and its kin: addresses of the connection before or after NAT."""
    base, mask = network_of(opt.values[0])
    original, is_source = opt.name.startswith("ctorig"), opt.name.endswith("src")

    def predicate(scene: Scene) -> Truth:
        entry = _entry(scene)
        if entry is None:
            return False
        tuple5 = entry.original if original else entry.reply
        return ((tuple5.source if is_source else tuple5.destination) & mask) == base

    return predicate


@option("conntrack", "ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport")
def ct_port(opt: Option, _match: Match) -> Predicate:
    """``--ctorigdstport`` and its kin."""
    low, high = port_range(opt.values[0])
    original, is_source = opt.name.startswith("ctorig"), opt.name.endswith("srcport")

    def predicate(scene: Scene) -> Truth:
        entry = _entry(scene)
        if entry is None:
            return False
        tuple5 = entry.original if original else entry.reply
        ports = tuple5.source_ports if is_source else tuple5.destination_ports
        return ports_within(ports, low, high, "connection")

    return predicate


def value_and_mask(text: str) -> tuple[int, int]:
    """Return the unsigned 32-bit value and mask of ``0x4000/0x4000`` or ``0x1``."""
    value, _, mask = text.partition("/")
    return int(value, 0) & 0xFFFFFFFF, (int(mask, 0) if mask else 0xFFFFFFFF) & 0xFFFFFFFF


@option("mark", "mark")
def mark(opt: Option, _match: Match) -> Predicate:
    """``-m mark --mark VALUE[/MASK]``."""
    value, mask = value_and_mask(opt.values[0])
    return lambda scene: (scene.packet.mark & mask) == value


@option("connmark", "mark")
def connmark(opt: Option, _match: Match) -> Predicate:
    """``-m connmark --mark VALUE[/MASK]``."""
    value, mask = value_and_mask(opt.values[0])
    return lambda scene: (e := _entry(scene)) is not None and (e.mark & mask) == value


def _entry(scene: Scene) -> Entry | None:
    tracking = scene.packet.tracking
    return tracking.entry if tracking else None
