"""``-m ipvs``: packets that IPVS has dealt with, by the connection that they belong to (xt_ipvs.c: ipvs_mt)."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.conntrack import Balanced
from skoopctl.dataplane.rules.matches.address import network_of, protocol_number
from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, option
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown
from skoopctl.kernel.iptables import Match, Option
from skoopctl.kernel.ipvs import Forwarding

_METHODS = {"GATE": Forwarding.ROUTE, "IPIP": Forwarding.TUNNEL, "MASQ": Forwarding.MASQ}


@option("ipvs", "ipvs")
def is_ipvs(_opt: Option, _match: Match) -> Predicate:
    """``[!] --ipvs``: IPVS has dealt with the packet."""
    return lambda scene: _unread(scene) or scene.packet.ipvs


def _unread(scene: Scene) -> Unknown | None:
    """Say why nobody can tell what IPVS does here, or None where it is known."""
    netns = scene.netns
    if "ip_vs" in netns.gaps:
        return Unknown(f"-m ipvs: the services of IPVS were not read: {netns.gaps['ip_vs']}")
    if netns.ipvs_services and not netns.ipvs.services:
        return Unknown("-m ipvs: the services of IPVS could not be read")
    return None


def _of_connection(opt: Option, fits: Callable[[Scene, Balanced], bool]) -> Predicate:
    """Return a predicate over the packet's connection.

    The kernel looks the packet up as an answer, the other way round: so it finds requests that already have
    the server's address, and nothing else. Without a connection, an inverted option does not match either.
    """
    inverted = opt.inverted

    def predicate(scene: Scene) -> Truth:
        if (unread := _unread(scene)) is not None:
            return unread
        if not scene.packet.ipvs:
            return inverted  # the registry turns this round: false
        key = scene.packet.tuple5.inverse()
        found = next((c for c in scene.connections.balanced if c.answer.covers(key)), None)
        return inverted if found is None else fits(scene, found)

    return predicate


@option("ipvs", "vproto")
def protocol(opt: Option, _match: Match) -> Predicate:
    """``--vproto PROTOCOL``."""
    number = protocol_number(opt.values[0])
    return _of_connection(opt, lambda _scene, found: found.client.protocol == number)


@option("ipvs", "vaddr")
def address(opt: Option, _match: Match) -> Predicate:
    """``--vaddr ADDRESS[/MASK]``: the service's."""
    base, mask = network_of(opt.values[0])
    return _of_connection(opt, lambda _scene, found: (found.client.destination & mask) == base)


@option("ipvs", "vport")
def port(opt: Option, _match: Match) -> Predicate:
    """``--vport PORT``: the service's."""
    number = int(opt.values[0])
    return _of_connection(opt, lambda _scene, found: found.client.destination_ports.low == number)


@option("ipvs", "vdir")
def direction(opt: Option, _match: Match) -> Predicate:
    """``--vdir ORIGINAL|REPLY``: by conntrack; a packet without an entry does not match."""
    if opt.values[0] not in {"ORIGINAL", "REPLY"}:
        raise NotUnderstoodError(opt.values[0])
    wanted = opt.values[0] == "REPLY"

    def fits(scene: Scene, _found: Balanced) -> bool:
        tracking = scene.packet.tracking
        if tracking is None or tracking.entry is None:
            return opt.inverted
        return tracking.is_reply == wanted

    return _of_connection(opt, fits)


@option("ipvs", "vmethod")
def method(opt: Option, _match: Match) -> Predicate:
    """``--vmethod GATE|IPIP|MASQ``."""
    if opt.values[0] not in _METHODS:
        raise NotUnderstoodError(opt.values[0])
    wanted = _METHODS[opt.values[0]]
    return _of_connection(opt, lambda _scene, found: found.method == wanted)


@option("ipvs", "vportctl")
def control_port(opt: Option, _match: Match) -> Predicate:
    """``--vportctl PORT``: the port of the connection that controls this one, as FTP's; the walk has none."""
    return _of_connection(opt, lambda _scene, _found: False)
