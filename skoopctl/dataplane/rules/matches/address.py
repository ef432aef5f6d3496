"""Built-in matches on addresses and protocol, iprange, and addrtype (iptables-extensions(8))."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from skoopctl.dataplane.packet import PROTOCOL_NUMBERS
from skoopctl.dataplane.routes.routing import Query
from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, option
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown
from skoopctl.kernel.iptables import Match, Option
from skoopctl.kernel.link import Link


def network_of(text: str) -> tuple[int, int]:
    """Return (network, mask) of ``10.0.0.0/8``, ``10.0.0.0/255.0.255.0`` or a bare address.

    The mask may have holes: iptables allows it and iptables-save writes it back.
    """
    base, _, mask = text.partition("/")
    address = ip_address(base)
    bits = address.max_prefixlen
    if not mask:
        mask_value = (1 << bits) - 1
    elif mask.isdigit():
        network = ip_network(f"{base}/{mask}", strict=False)
        mask_value = int(network.netmask)
    else:
        mask_value = int(ip_address(mask))
    return int(address) & mask_value, mask_value


def protocol_number(text: str) -> int:
    """Return the number of a protocol by name or number; 0 is any."""
    if text == "all":
        return 0
    if text in PROTOCOL_NUMBERS:
        return PROTOCOL_NUMBERS[text]
    if text == "icmpv6":
        return 58
    if not text.isdigit():
        raise NotUnderstoodError(text)
    return int(text)


@option("", "source")
def source(opt: Option, _match: Match) -> Predicate:
    """``-s ADDRESS[/MASK]``."""
    base, mask = network_of(opt.values[0])
    return lambda scene: (scene.packet.source & mask) == base


@option("", "destination")
def destination(opt: Option, _match: Match) -> Predicate:
    """``-d ADDRESS[/MASK]``."""
    base, mask = network_of(opt.values[0])
    return lambda scene: (scene.packet.destination & mask) == base


@option("", "protocol")
def protocol(opt: Option, _match: Match) -> Predicate:
    """``-p PROTOCOL``."""
    number = protocol_number(opt.values[0])
    if number == 0:
        return lambda _scene: True
    return lambda scene: scene.packet.protocol == number


@option("", "fragment")
def fragment(_opt: Option, _match: Match) -> Predicate:
    """``-f``: second and later fragments; the walk's packets are never fragments."""
    return lambda _scene: False


@option("iprange", "src-range", "dst-range")
def iprange(opt: Option, _match: Match) -> Predicate:
    """``--src-range FROM-TO`` and ``--dst-range FROM-TO``."""
    low, _, high = opt.values[0].partition("-")
    first, last = int(ip_address(low)), int(ip_address(high or low))
    if opt.name == "src-range":
        return lambda scene: first <= scene.packet.source <= last
    return lambda scene: first <= scene.packet.destination <= last


@option("addrtype", "src-type", "dst-type")
def addrtype(opt: Option, match: Match) -> Predicate:
    """``--src-type TYPE[,TYPE]`` and ``--dst-type``, with ``--limit-iface-in`` and ``-out``."""
    wanted = frozenset(name.lower() for name in opt.values[0].split(","))
    limits = {o.name for o in match.options}
    use_source = opt.name == "src-type"

    def predicate(scene: Scene) -> Truth:
        packet = scene.packet
        link = None
        if "limit-iface-in" in limits:
            link = scene.in_link
        elif "limit-iface-out" in limits:
            link = scene.out_link
        if "route" in scene.netns.gaps:
            return Unknown(f"address types need the routes of {scene.netns.host}, which were not read")
        ip = packet.source if use_source else packet.destination
        if packet.family == 6:
            return _type6(scene, ip, link, wanted)
        # __inet_dev_addr_type: these two are never looked up.
        if ip in {0, 0xFFFFFFFF}:
            return "broadcast" in wanted
        return scene.router.address_type(ip, 4, link.index if link else 0).value in wanted

    return predicate


def _type6(scene: Scene, ip: int, link: Link | None, wanted: frozenset[str]) -> bool:
    """What the address itself tells must hold, and then what routing tells (xt_addrtype.c: match_type6)."""
    multicast = (ip >> 120) == 0xFF
    by_address = {"multicast": multicast, "unicast": not multicast and ip != 0, "unspec": ip == 0}
    if not all(holds for name, holds in by_address.items() if name in wanted):
        return False
    if wanted.isdisjoint(_BY_ROUTING):
        return True
    found = set()
    if link is not None:
        if any(a.index == link.index and int(a.ip) == ip for a in scene.netns.addresses):
            found.add("local")
    elif scene.router.is_local(ip, 6):
        found.add("local")
    answer = scene.router.lookup(Query(ip, 6, oif=link.index if link else 0))
    if answer.type is None or answer.type.value in {"unreachable", "prohibit", "blackhole"}:
        found.add("unreachable")
    elif answer.type.value == "anycast":
        found.add("anycast")
    return not wanted.isdisjoint(found)


_BY_ROUTING = frozenset({"local", "anycast", "prohibit", "unreachable"})


@option("addrtype", "limit-iface-in", "limit-iface-out")
def addrtype_limit(_opt: Option, _match: Match) -> None:
    """Modify the types beside them; see `addrtype`."""
    return
