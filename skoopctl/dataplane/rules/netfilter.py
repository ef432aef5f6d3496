"""One hook of one namespace: conntrack, NAT and every table in the order of their priorities.

iptables' tables sit at fixed priorities (include/uapi/linux/netfilter_ipv4.h); nft base chains say theirs.
ACCEPT is not final: the next table still looks. All nat chains, iptables' and nft's, run inside conntrack's
NAT hook, and only for the first packet of a flow (nf_nat_core.c: nf_nat_inet_fn).

Stages of one priority run in the order in which they were registered, the newest first, and no dump tells it:
`hook_order` walks both orders where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.conntrack import CtState, Manip, apply_nat
from skoopctl.dataplane.conntrack import Table as Connections
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.rules.hook_order import Stage, groups_of, newest_first, run_groups
from skoopctl.dataplane.rules.iptables import TableEvaluator
from skoopctl.dataplane.rules.ipvs import ipvs_hooks
from skoopctl.dataplane.rules.nft.chains import NftEvaluator
from skoopctl.dataplane.rules.recall import occupied, recall, room_for
from skoopctl.dataplane.rules.ruling import ACCEPT, Ruling
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.topology import Topology
from skoopctl.kernel.iptables import Backend, Table
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
class HookRuling:
    """What a hook decided, and by which stage."""

    ruling: Ruling
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A hook's stages, ready to be run: before conntrack, and after; and NAT's own chains, by priority.

    ``empty`` is set where no table stands at the hook, so that conntrack alone looks at a packet; ``full`` where
    conntrack has no room for another connection. ``attaches`` and ``confirms`` are what it does there.
    """

    early: tuple[tuple[Stage, ...], ...]
    late: tuple[tuple[Stage, ...], ...]
    manip: Manip | None
    attaches: bool
    confirms: bool
    empty: bool
    full: bool


def stages_at(topology: Topology, netns: NetNamespace, hook: Hook, family: int) -> tuple[Stage, ...]:
    """Return the stages of a hook in the kernel's order (compiled once for a topology)."""
    key = ("stages", netns.host, netns.inode, hook, family)
    cached = topology.caches.get(key)
    if cached is None:
        stages = [
            *_iptables_stages(topology, netns, hook, family),
            *_nft_stages(topology, netns, hook, family),
            *(Stage(priority, (0, 0), IPVS, False, IPVS, run) for priority, run in ipvs_hooks(netns, hook)),
        ]
        cached = tuple(sorted(stages, key=newest_first))
        topology.caches[key] = cached
    return cached  # type: ignore[return-value]


def has_nat(topology: Topology, netns: NetNamespace, family: int) -> bool:
    """Tell whether NAT looks at packets that are born here: all its hooks come with the first nat chain."""
    return any(stage.is_nat for hook in _MANIP for stage in stages_at(topology, netns, hook, family))


def run_hook(scene: Scene) -> HookRuling:
    """Send the scene's packet through its hook; the first verdict that is not ACCEPT is final."""
    plan = plan_of(scene.topology, scene.netns, scene.hook, scene.packet.family)
    decided = run_groups(plan.early, scene)
    if decided is not None:
        return HookRuling(decided[0], decided[1].name)
    if plan.attaches:
        refused = _attach(scene)
        if refused is not None:
            return HookRuling(refused, "conntrack")
    decided = run_groups(plan.late, scene)
    if decided is not None:
        return HookRuling(decided[0], decided[1].name)
    if plan.confirms:
        scene.connections.confirm(scene.packet.tracking)
    return _ACCEPTED


_ACCEPTED = HookRuling(ACCEPT)


def pass_empty(plan: Plan, netns: NetNamespace, connections: Connections, packet: Packet) -> bool:
    """Do what `run_hook` does where no table stands; false, with nothing done, where that takes more.

    That is most hooks of a pod: conntrack gives a packet its entry and keeps it, and nothing is there to be seen.
    """
    if not plan.empty:
        return False
    tracking = packet.tracking
    if plan.attaches and (tracking is None or tracking.state is CtState.UNTRACKED):
        old = netns.conntrack
        if plan.full or (old is not None and old.between(packet.protocol, packet.source, packet.destination)):
            return False
        if any(known.translates for known in connections.entries):
            return False
        tracking = packet.tracking = connections.track(packet)
    entry = tracking.entry if tracking is not None else None
    if tracking is None or entry is None:
        return True
    if entry.translates:
        return False
    if plan.manip is not None and tracking.state is CtState.NEW and not tracking.is_reply:
        entry.initialised.add(plan.manip)
    if plan.confirms:
        connections.confirm(tracking)
    return True


def plan_of(topology: Topology, netns: NetNamespace, hook: Hook, family: int) -> Plan:
    """Return a hook's stages in groups of equal priority, with NAT as the one stage that it is in the kernel."""
    key = ("plan", netns.host, netns.inode, hook, family)
    cached = topology.caches.get(key)
    if cached is None:
        stages = stages_at(topology, netns, hook, family)
        cached = topology.caches[key] = _make_plan(stages, hook, full=occupied(netns.sysctls) is not None)
    return cached  # type: ignore[return-value]


def _make_plan(stages: tuple[Stage, ...], hook: Hook, *, full: bool) -> Plan:
    ordinary = [stage for stage in stages if not stage.is_nat]
    early: list[Stage] = []
    attaches = hook in {Hook.PREROUTING, Hook.OUTPUT}
    if attaches:
        early = [stage for stage in ordinary if stage.priority <= CONNTRACK_PRIORITY]
        ordinary = ordinary[len(early) :]
    manip = _MANIP.get(hook)
    if manip is not None:
        ordinary.append(_nat_stage(tuple(stage for stage in stages if stage.is_nat), manip))
        ordinary.sort(key=newest_first)
    return Plan(
        groups_of(early),
        groups_of(ordinary),
        manip,
        attaches,
        confirms=hook in {Hook.INPUT, Hook.POSTROUTING},
        empty=not stages,
        full=full,
    )


def _nat_stage(chains: tuple[Stage, ...], manip: Manip) -> Stage:
    """Return the hook in which all nat chains run, whatever their priorities (nf_nat_core.c: nf_nat_register_fn).

    It is registered with the first of them.
    """
    priority = NAT_DST_PRIORITY if manip is Manip.DESTINATION else NAT_SRC_PRIORITY
    groups = groups_of(chains)
    oldest = min((stage.order for stage in chains), default=(-1, 0))
    names = " and ".join(stage.name for stage in chains) or "nat"
    sources = {stage.source for stage in chains}
    source = sources.pop() if len(sources) == 1 else "nat" if sources else None
    return Stage(priority, oldest, names, True, source, lambda scene: _translate(scene, groups))


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


def _translate(scene: Scene, groups: tuple[tuple[Stage, ...], ...]) -> Ruling:
    """Make a NAT binding for a new flow, then apply the flow's binding to the packet."""
    tracking, manip = scene.packet.tracking, _MANIP[scene.hook]
    if tracking is None or tracking.entry is None:
        return ACCEPT
    entry = tracking.entry
    if tracking.state is CtState.NEW and manip not in entry.initialised and not tracking.is_reply:
        decided = run_groups(groups, scene, until_bound=True)
        if decided is not None:
            return decided[0]
        entry.initialised.add(manip)
    apply_nat(scene.packet, tracking, manip)
    return ACCEPT


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
                (table.order, 0),
                table.name if table.backend is Backend.NFT else f"{table.name} (legacy)",
                table.name == "nat",
                ("iptables", table.backend, table.name),
                lambda scene, e=evaluator, h=hook.value: e.run(h, scene),  # type: ignore[misc]
                inert=not table.chains[hook.value].rules and table.chains[hook.value].policy != "DROP",
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
                    (table.order, chain.handle),
                    f"nft {table.family} {table.name} {chain.name}",
                    chain.type == "nat",
                    (table.family, table.name),
                    lambda scene, e=evaluator, c=chain: e.run(c, scene),  # type: ignore[misc]
                    inert=not chain.rules and chain.policy != "drop",
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
        topology.caches[key] = NftEvaluator(table, netns)
    return topology.caches[key]  # type: ignore[return-value]


def device_stages(
    topology: Topology, netns: NetNamespace, hook: str, family: str, device: str
) -> tuple[DeviceChain, ...]:
    """Return the nft chains at a hook of a device (families netdev and inet) or of a bridge, in order."""
    key = ("device stages", netns.host, netns.inode, hook, family, device)
    cached = topology.caches.get(key)
    if cached is None:
        families = {"netdev", "inet"} if family == "netdev" else {family}
        found = [
            DeviceChain(
                _nft_evaluator(topology, table, netns), chain, family == "bridge" or bool(chain.devices)
            )
            for table in netns.nft
            if not table.dormant and table.family in families
            for chain in table.chains.values()
            if chain.hook == hook and (not chain.devices or device in chain.devices)
        ]
        cached = tuple(sorted(found, key=lambda each: each.chain.priority or 0))
        topology.caches[key] = cached
    return cached  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class DeviceChain:
    """A base chain at a device's or a bridge's hook; ``certain`` is false where its devices were not told."""

    evaluator: NftEvaluator
    chain: NftChain
    certain: bool
