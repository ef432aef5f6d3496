"""Matches on conntrack and marks: conntrack, state, mark, connmark."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.conntrack import CtState, Entry
from skoopctl.dataplane.packet import Flags
from skoopctl.dataplane.rules.matches.address import network_of, protocol_number
from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, inverts, option, whole
from skoopctl.dataplane.rules.matches.transport import port_range
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown, all_of, ports_within
from skoopctl.kernel.iptables import Match, Option

_STATES = frozenset({*(state.value for state in CtState), "SNAT", "DNAT"})
_STATUSES = frozenset({"EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"})
_ADDRESSES = ("ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst")
_PORTS = ("ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport")


@option("state", "state")
def state(opt: Option, _match: Match) -> Predicate:
    """``-m state --state``: the older spelling."""
    return _states(opt.values[0])


@whole("conntrack", "ctstate", "ctstatus", "ctdir", "ctproto", "ctexpire", *_ADDRESSES, *_PORTS)
def conntrack(match: Match) -> Predicate:
    """``-m conntrack``: every option must hold (net/netfilter/xt_conntrack.c: conntrack_mt).

    A packet without a connection (INVALID, UNTRACKED) is judged by ``--ctstate`` alone, whatever else the rule
    asks for; without ``--ctstate`` it never matches, not even an inverted option.
    """
    by_state: list[Predicate] = []
    others: list[Predicate] = []
    for opt in match.options:
        into = by_state if opt.name == "ctstate" else others
        into.append(inverts(_COMPILERS[opt.name](opt), opt.inverted))

    if len(by_state) == 1 and not others:
        return by_state[0]

    def predicate(scene: Scene) -> Truth:
        if _entry(scene) is None:
            return bool(by_state) and all_of(check(scene) for check in by_state)
        return all_of(check(scene) for check in (*by_state, *others))

    return predicate


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


def _ctstatus(opt: Option) -> Predicate:
    """``--ctstatus``: any of the bits is set; NONE is no bit, so that it never is."""
    wanted = frozenset(opt.values[0].split(",")) - {"NONE"}
    if not wanted <= _STATUSES:
        raise NotUnderstoodError(opt.values[0])

    def predicate(scene: Scene) -> Truth:
        entry = _entry(scene)
        return entry is not None and not wanted.isdisjoint(_status_bits(entry, scene))

    return predicate


def _status_bits(entry: Entry, scene: Scene) -> set[str]:
    bits = set()
    if entry.seen_reply:
        bits.add("SEEN_REPLY")
    if entry.confirmed:
        bits.add("CONFIRMED")
    # tcp_packet sets IPS_ASSURED with the third packet; UDP's streams take longer than a walk.
    if entry.seen_reply and entry.original.protocol == 6 and scene.packet.flags is Flags.ACK:
        bits.add("ASSURED")
    return bits


def _ctdir(opt: Option) -> Predicate:
    reply = opt.values[0] == "REPLY"
    return lambda scene: (t := scene.packet.tracking) is not None and t.is_reply == reply


def _ctproto(opt: Option) -> Predicate:
    number = protocol_number(opt.values[0])
    return lambda scene: (e := _entry(scene)) is not None and e.original.protocol == number


def _ctexpire(_opt: Option) -> Predicate:
    unknown = Unknown("--ctexpire: how long the connection has left is not known")
    return lambda _scene: unknown


def _ct_address(opt: Option) -> Predicate:
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


def _ct_port(opt: Option) -> Predicate:
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


_COMPILERS: dict[str, Callable[[Option], Predicate]] = {
    "ctstate": lambda opt: _states(opt.values[0]),
    "ctstatus": _ctstatus,
    "ctdir": _ctdir,
    "ctproto": _ctproto,
    "ctexpire": _ctexpire,
    **dict.fromkeys(_ADDRESSES, _ct_address),
    **dict.fromkeys(_PORTS, _ct_port),
}


def value_and_mask(text: str) -> tuple[int, int]:
    """Return the unsigned 32-bit value and mask of ``0x4000/0x4000`` or ``0x1``."""
    value, _, mask = text.partition("/")
    return int(value, 0) & 0xFFFFFFFF, (int(mask, 0) if mask else 0xFFFFFFFF) & 0xFFFFFFFF


@option("mark", "mark")
def mark(opt: Option, _match: Match) -> Predicate:
    """``-m mark --mark VALUE[/MASK]``."""
    value, mask = value_and_mask(opt.values[0])
    return lambda scene: (scene.packet.mark & mask) == value


@whole("connmark", "mark")
def connmark(match: Match) -> Predicate:
    """``[!] --mark VALUE[/MASK]``; a packet without a connection never matches (xt_connmark.c)."""
    (opt,) = match.options
    value, mask = value_and_mask(opt.values[0])
    return lambda scene: (e := _entry(scene)) is not None and ((e.mark & mask) == value) != opt.inverted


def _entry(scene: Scene) -> Entry | None:
    tracking = scene.packet.tracking
    return tracking.entry if tracking else None
