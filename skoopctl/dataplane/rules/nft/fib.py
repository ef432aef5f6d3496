"""``fib``: what nftables asks of the routes (net/ipv4/netfilter/nft_fib_ipv4.c and its twin for IPv6)."""

from __future__ import annotations

from skoopctl.dataplane.routes.routing import Query
from skoopctl.dataplane.rules.nft import types
from skoopctl.dataplane.rules.nft.compare import Scalar
from skoopctl.dataplane.rules.nft.fields import Field
from skoopctl.dataplane.rules.nft.types import UnclearError
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.kernel.link import Link
from skoopctl.kernel.nft import Fib
from skoopctl.kernel.route import RouteType

_BROADCAST = 0xFFFFFFFF


def fib_field(expression: Fib) -> Field:
    """Return how to ask; raises `UnclearError` for a result that is not known."""
    flags = frozenset(expression.flags)
    if expression.result == "type":
        return Field(lambda scene: _type(scene, flags), types.FIB_TYPE)
    if expression.result == "oif":
        return Field(lambda scene: found.index if (found := _device(scene, flags)) else 0)
    if expression.result == "oifname":
        return Field(lambda scene: found.name if (found := _device(scene, flags)) else "", types.NAME)
    raise UnclearError(f"fib {expression.result} is not modelled")


def exists_field(expression: Fib) -> Field:
    """Return how to ask whether there is a route at all (NFTA_FIB_F_PRESENT)."""
    flags = frozenset(expression.flags)
    return Field(lambda scene: int(_device(scene, flags) is not None), types.BOOLEAN)


def _checked(scene: Scene) -> None:
    if "route" in scene.netns.gaps:
        raise UnclearError(f"fib needs the routes of {scene.netns.host}, which were not read")


def _side(scene: Scene, flags: frozenset[str]) -> Link | None:
    if "oif" in flags:
        return scene.out_link
    return scene.in_link if "iif" in flags else None


def _type(scene: Scene, flags: frozenset[str]) -> Scalar:
    """The type of an address, in the eyes of one device where one is given (inet_dev_addr_type)."""
    _checked(scene)
    packet = scene.packet
    ip = packet.source if "saddr" in flags else packet.destination
    if packet.family == 4 and (ip >> 24 == 0 or ip == _BROADCAST):
        return types.FIB_TYPE.symbols["broadcast"]
    if packet.family == 6 and ip >> 120 == 0xFF:
        return types.FIB_TYPE.symbols["multicast"]
    link = _side(scene, flags)
    kind = scene.router.address_type(ip, packet.family, link.index if link else 0)
    return types.FIB_TYPE.symbols.get(kind.value, 0)


def _device(scene: Scene, flags: frozenset[str]) -> Link | None:
    """The device of the route, or None where the lookup finds none that counts (nft_fib4_eval)."""
    _checked(scene)
    packet, wanted = scene.packet, _side(scene, flags)
    if scene.hook is Hook.PREROUTING and scene.in_link is not None and scene.in_link.loopback:
        return scene.in_link
    by_source = "saddr" in flags
    iif = "lo"
    if by_source and scene.hook is Hook.FORWARD and "iif" in flags and scene.out_link is not None:
        iif = scene.out_link.name
    source, destination = packet.source, packet.destination
    query = Query(
        source if by_source else destination,
        packet.family,
        destination if by_source else source,
        iif=iif,
        mark=packet.mark if "mark" in flags else 0,
    )
    answer = scene.router.lookup(query)
    if answer.doubt:
        raise UnclearError(f"fib: {answer.doubt}")
    if answer.type is not RouteType.UNICAST:
        return None
    links = [scene.netns.links.get(hop.index) for hop in answer.hops]
    if wanted is None:
        return links[0] if links else None
    return wanted if any(link is not None and link.index == wanted.index for link in links) else None
