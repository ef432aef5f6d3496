"""IPVS's schedulers: which servers of a service may get a new connection, with which share.

A table from the scheduler's name to a function that returns weights (net/netfilter/ipvs/ip_vs_rr.c and its
kin). Schedulers that take turns or draw lots branch by chance. Those that hash, or remember, always take the same
server for the same client: one branch happens, and which one depends on the size of a table that is set when the
kernel is built (CONFIG_IP_VS_SH_TAB_BITS), so it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.kernel.ipvs import RealServer, Template, VirtualService
from skoopctl.kernel.ipvs_text import address_text, service_name

NOBODY: Final = None
"""The scheduler finds no server: the client is told."""

Weights = list[tuple[RealServer | None, float]]
_SCHEDULERS: dict[str, tuple[ChoiceKind, Callable[[VirtualService], Weights]]] = {}
Weigh = Callable[[VirtualService], Weights]


def scheduler(*names: str, kind: ChoiceKind = ChoiceKind.CHANCE) -> Callable[[Weigh], Weigh]:
    """Register what a scheduler chooses from, and how sure that is."""

    def register(weigh: Weigh) -> Weigh:
        for name in names:
            _SCHEDULERS[name] = (kind, weigh)
        return weigh

    return register


def choose(scene: Scene, service: VirtualService) -> RealServer | None:
    """Return the server of a new connection, or `NOBODY`; several candidates are a branch."""
    kept = _kept(scene, service)
    if kept is not None:
        return kept
    if any(server.upper is None for server in service.servers):
        scene.assumptions.append(
            f"no server of {service_name(service)} on {scene.netns.host} is over a threshold of connections: "
            "IPVS's thresholds were not read"
        )
    kind, weigh = _SCHEDULERS.get(service.scheduler, (ChoiceKind.UNKNOWN, _willing))
    candidates = weigh(service)
    if any(server is not None and server.overloaded is None for server, _ in candidates):
        kind = ChoiceKind.UNKNOWN
    if not candidates:
        return NOBODY
    if len(candidates) == 1:
        return candidates[0][0]
    name = service_name(service)
    how = (
        "takes one of its servers" if kind is ChoiceKind.CHANCE else "takes one of its servers, unknown which"
    )
    reason = f"IPVS {name}: the scheduler {service.scheduler} {how}"
    options = tuple((_label(server), weight) for server, weight in candidates)
    key = ("ipvs", scene.netns.host, scene.netns.inode, service.key, scene.packet.tuple5.source)
    return candidates[scene.choices.pick(kind, reason, options, key=key)][0]


def _label(server: RealServer | None) -> str:
    return "no server" if server is None else address_text(server.ip.version, int(server.ip), server.port)


# --- persistence ----------------------------------------------------------------------------------------------


def _kept(scene: Scene, service: VirtualService) -> RealServer | None:
    """Return the server that a persistent service keeps the client at (ip_vs_sched_persist).

    The template of a server that is gone does not count, nor that of one with weight 0 while
    net.ipv4.vs.expire_quiescent_template is on (ip_vs_check_template); else weight 0 is no hindrance.
    """
    if not service.persistent_s:
        return None
    drop_quiescent = scene.netns.sysctls.integer("net/ipv4/vs/expire_quiescent_template")
    for template in scene.netns.ipvs.templates or ():
        if not _is_for(template, scene, service):
            continue
        for server in service.servers:
            if server.ip == template.server and template.port in {server.port, 0}:
                return None if server.weight == 0 and drop_quiescent else server
    return None


def _is_for(template: Template, scene: Scene, service: VirtualService) -> bool:
    packet = scene.packet
    client = packet.source & service.netmask if service.netmask else packet.source
    if template.client != client or template.server.version != service.family:
        return False
    if service.fwmark:
        return template.protocol == 0 and template.vip == service.fwmark
    return (template.protocol, template.vip, template.vport) == (
        packet.protocol,
        packet.destination,
        service.port,
    )


# --- schedulers -----------------------------------------------------------------------------------------------


def _takes(server: RealServer) -> bool:
    """Tell whether a scheduler may choose a server: it has weight and is not over its threshold."""
    return server.weight > 0 and server.overloaded is not True


def _willing(service: VirtualService) -> Weights:
    return [(server, 1.0) for server in service.servers if _takes(server)]


@scheduler("rr")
def by_turns(service: VirtualService) -> Weights:
    """Every server in turn, whatever its weight."""
    return _willing(service)


@scheduler("wrr", "lc", "wlc", "sed", "nq", "twos")
def by_weight(service: VirtualService) -> Weights:
    """In the long run by weight: wrr exactly, the others as connections come and go.

    lc does not look at weights; which server has the fewest connections changes with every packet.
    """
    equal = service.scheduler == "lc"
    return [(server, 1.0 if equal else float(server.weight)) for server in service.servers if _takes(server)]


@scheduler("sh", "dh", kind=ChoiceKind.UNKNOWN)
def by_hash(service: VirtualService) -> Weights:
    """A hash names the server; one that takes nothing is still named, and then there is none.

    sh with ``sh-fallback`` looks for another one (ip_vs_sh_get_fallback); dh never does.
    """
    if "sh-fallback" in service.flags:
        return _willing(service)
    found: Weights = [*_willing(service)]
    if any(not _takes(server) for server in service.servers) and service.servers:
        found.append((NOBODY, 1.0))
    return found


@scheduler("mh", kind=ChoiceKind.UNKNOWN)
def by_maglev(service: VirtualService) -> Weights:
    """Maglev leaves servers of weight 0 out of its table; a full one is named, unless ``mh-fallback`` is set."""
    found: Weights = [*_willing(service)]
    full = any(server.weight > 0 and server.overloaded is True for server in service.servers)
    if full and "mh-fallback" not in service.flags:
        found.append((NOBODY, 1.0))
    return found


@scheduler("lblc", "lblcr", kind=ChoiceKind.UNKNOWN)
def by_locality(service: VirtualService) -> Weights:
    """One server for one destination address, remembered where it cannot be read."""
    return _willing(service)


@scheduler("fo")
def by_failover(service: VirtualService) -> Weights:
    """The heaviest server that takes connections; of equals the first (ip_vs_fo.c)."""
    best = max((server for server in service.servers if _takes(server)), key=lambda s: s.weight, default=None)
    return [(best, 1.0)] if best is not None else []


@scheduler("ovf")
def by_overflow(service: VirtualService) -> Weights:
    """The heaviest server with fewer active connections than its weight, by the counts that were collected."""
    room = [server for server in service.servers if _takes(server) and server.active <= server.weight]
    best = max(room, key=lambda s: s.weight, default=None)
    return [(best, 1.0)] if best is not None else []


@scheduler("none")
def nobody(_service: VirtualService) -> Weights:
    """A service whose scheduler was taken away."""
    return []
