"""One hook of one namespace: conntrack, NAT and every table in the order of their priorities.

iptables' tables sit at fixed priorities (include/uapi/linux/netfilter_ipv4.h); nft base chains say theirs.
ACCEPT is not final: the next table still looks. All nat chains, iptables' and nft's, run inside conntrack's
NAT hook, and only for the first packet of a flow (nf_nat_core.c: nf_nat_inet_fn).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.dataplane.conntrack import CtState, Manip, apply_nat
from skoopctl.dataplane.iptables import TableEvaluator
from skoopctl.dataplane.ipvs import ipvs_hooks
from skoopctl.dataplane.nft import NftEvaluator
from skoopctl.dataplane.recall import recall, room_for
from skoopctl.dataplane.ruling import ACCEPT, Action, Ruling
from skoopctl.dataplane.scene import Hook, Scene
from skoopctl.dataplane.topology import Topology
from skoopctl.kernel.iptables import Table
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.nft import NftChain, NftTable

CONNTRACK_PRIORITY = -200
NAT_DST_PRIORITY = -100
NAT_SRC_PRIORITY = 100
IPVS = "IPVS"

_TABLE_HOOKS: dict[str, dict[Hook, int]] = {
    "raw": {Hook.PREROUTING: -300, Hook.OUTPUT: -300},
    "mangle": dict.fromkeys(Hook, -150),
    "nat": {
        Hook.PREROUTING: NAT_DST_PRIORITY,
        Hook.OUTPUT: NAT_DST_PRIORITY,
        Hook.INPUT: NAT_SRC_PRIORITY,
        Hook.POSTROUTING: NAT_SRC_PRIORITY,
    },
    "filter": {Hook.INPUT: 0, Hook.FORWARD: 0, Hook.OUTPUT: 0},
    "security": {Hook.INPUT: 50, Hook.FORWARD: 50, Hook.OUTPUT: 50},
}
_MANIP = {
    Hook.PREROUTING: Manip.DESTINATION,
    Hook.OUTPUT: Manip.DESTINATION,
    Hook.INPUT: Manip.SOURCE,
    Hook.POSTROUTING: Manip.SOURCE,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One table or base chain at a hook. ``name`` is for people: ``filter``, ``nft ip kube-proxy services``.

    ``order`` is its table's age: of stages with one priority the newest runs first.
    """

    priority: int
    order: int
    name: str
    is_nat: bool
    run: Callable[[Scene], Ruling]


@dataclass(frozen=True, slots=True)
class HookRuling:
    """What a hook decided, by which stage, and which others share its priority."""

    ruling: Ruling
    stage: str = ""
    twins: tuple[str, ...] = ()


def stages_at(topology: Topology, netns: NetNamespace, hook: Hook, family: int) -> tuple[Stage, ...]:
    """Return the stages of a hook in the kernel's order (compiled once for a topology)."""
    key = ("stages", netns.host, netns.inode, hook, family)
    cached = topology.caches.get(key)
    if cached is None:
        stages = [
            *_iptables_stages(topology, netns, hook, family),
            *_nft_stages(topology, netns, hook, family),
            *(Stage(priority, 0, IPVS, is_nat=False, run=run) for priority, run in ipvs_hooks(netns, hook)),
        ]
        # Of equal priorities the newest hook runs first (net/netfilter/core.c: nf_hook_entries_grow).
        cached = tuple(sorted(stages, key=lambda stage: (stage.priority, -stage.order)))
        topology.caches[key] = cached
    return cached  # type: ignore[return-value]


def has_nat(topology: Topology, netns: NetNamespace, family: int) -> bool:
    """Tell whether NAT looks at packets that are born here: all its hooks come with the first nat chain."""
    return any(stage.is_nat for hook in _MANIP for stage in stages_at(topology, netns, hook, family))


def run_hook(scene: Scene) -> HookRuling:
    """Send the scene's packet through its hook; the first verdict that is not ACCEPT is final."""
    stages = stages_at(scene.topology, scene.netns, scene.hook, scene.packet.family)
    manip = _MANIP.get(scene.hook)
    nat_priority = NAT_DST_PRIORITY if manip is Manip.DESTINATION else NAT_SRC_PRIORITY
    tracked = scene.hook not in {Hook.PREROUTING, Hook.OUTPUT}
    translated = manip is None
    for stage in (*stages, None):
        priority = stage.priority if stage is not None else 1 << 31
        if not tracked and priority > CONNTRACK_PRIORITY:
            tracked = True
            refused = _attach(scene)
            if refused is not None:
                return HookRuling(refused, "conntrack")
        if (
            not translated
            and priority >= nat_priority
            and (stage is None or stage.is_nat or priority > nat_priority)
        ):
            translated = True
            ruling = _translate(scene, [s for s in stages if s.is_nat])
            if ruling.ruling.action is not Action.ACCEPT:
                return ruling
        if stage is None or stage.is_nat:
            continue
        decided = stage.run(scene)
        if decided.action is not Action.ACCEPT:
            twins = tuple(
                s.name for s in stages if s.priority == stage.priority and s is not stage and not s.is_nat
            )
            return HookRuling(decided, stage.name, twins)
    if scene.hook in {Hook.INPUT, Hook.POSTROUTING}:
        scene.connections.confirm(scene.packet.tracking)
    return HookRuling(ACCEPT)


def _attach(scene: Scene) -> Ruling | None:
    """Attach conntrack's entry, unless the packet still carries one (loopback, a reset that answers).

    An entry that was there before the walk goes first; a new one needs room.
    """
    packet = scene.packet
    if packet.tracking is not None and packet.tracking.state is not CtState.UNTRACKED:
        return None
    packet.tracking = recall(scene) or scene.connections.track(packet)
    entry = packet.tracking.entry
    return room_for(scene) if entry is not None and not entry.confirmed else None


def _translate(scene: Scene, nat_stages: list[Stage]) -> HookRuling:
    """Make a NAT binding for a new flow, then apply the flow's binding to the packet."""
    tracking, manip = scene.packet.tracking, _MANIP[scene.hook]
    if tracking is None or tracking.entry is None:
        return HookRuling(ACCEPT)
    entry = tracking.entry
    if tracking.state is CtState.NEW and manip not in entry.initialised and not tracking.is_reply:
        for stage in nat_stages:
            bound = (entry.source_nat, entry.destination_nat)
            ruling = stage.run(scene)
            if ruling.action is not Action.ACCEPT:
                return HookRuling(ruling, stage.name)
            if (entry.source_nat, entry.destination_nat) != bound:
                break
        entry.initialised.add(manip)
    apply_nat(scene.packet, tracking, manip)
    return HookRuling(ACCEPT)


def _iptables_stages(topology: Topology, netns: NetNamespace, hook: Hook, family: int) -> list[Stage]:
    stages = []
    for table in netns.iptables:
        priority = _TABLE_HOOKS.get(table.name, {}).get(hook)
        if table.family != family or priority is None or hook.value not in table.chains:
            continue
        evaluator = _table_evaluator(topology, table, netns)
        stages.append(
            Stage(
                priority,
                table.order,
                table.name,
                table.name == "nat",
                lambda scene, e=evaluator, h=hook.value: e.run(h, scene),  # type: ignore[misc]
            )
        )
    return stages


def _nft_stages(topology: Topology, netns: NetNamespace, hook: Hook, family: int) -> list[Stage]:
    families = {"inet", "ip" if family == 4 else "ip6"}
    stages = []
    for table in netns.nft:
        if table.dormant or table.family not in families:
            continue
        for chain in table.chains.values():
            if chain.hook.upper() != hook.value or chain.priority is None:
                continue
            evaluator = _nft_evaluator(topology, table, netns)
            stages.append(
                Stage(
                    chain.priority,
                    table.order,
                    f"nft {table.family} {table.name} {chain.name}",
                    chain.type == "nat",
                    lambda scene, e=evaluator, c=chain: e.run(c, scene),  # type: ignore[misc]
                )
            )
    return stages


def _table_evaluator(topology: Topology, table: Table, netns: NetNamespace) -> TableEvaluator:
    key = ("iptables", id(table))
    if key not in topology.caches:
        topology.caches[key] = TableEvaluator(table, netns.host, netns.inode)
    return topology.caches[key]  # type: ignore[return-value]


def _nft_evaluator(topology: Topology, table: NftTable, netns: NetNamespace) -> NftEvaluator:
    key = ("nft", id(table))
    if key not in topology.caches:
        topology.caches[key] = NftEvaluator(table, netns.host, netns.inode)
    return topology.caches[key]  # type: ignore[return-value]


def device_stages(
    topology: Topology, netns: NetNamespace, hook: str, family: str, device: str
) -> list[tuple[NftEvaluator, NftChain]]:
    """Return the nft chains of the netdev family (for one device) or of the bridge family at a hook."""
    found: list[tuple[NftEvaluator, NftChain]] = []
    for table in netns.nft:
        if table.dormant or table.family != family:
            continue
        evaluator = _nft_evaluator(topology, table, netns)
        found += [
            (evaluator, chain)
            for chain in table.chains.values()
            if chain.hook == hook and (family == "bridge" or not chain.devices or device in chain.devices)
        ]
    return sorted(found, key=lambda pair: pair[1].priority or 0)
