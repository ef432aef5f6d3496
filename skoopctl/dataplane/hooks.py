"""A journey's stop at a netfilter hook: run it, record what decided, end the way if it must."""

from __future__ import annotations

from skoopctl.dataplane.journey import Ending, Journey, gap
from skoopctl.dataplane.moves import Resend
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.rules.hook_order import Before
from skoopctl.dataplane.rules.netfilter import (
    CONNTRACK_PRIORITY,
    DeviceChain,
    HookRuling,
    device_stages,
    pass_empty,
    plan_of,
    run_hook,
)
from skoopctl.dataplane.rules.ruling import Action, Ruling
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Disposition, Evidence, PacketView, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

_RULE_PARTS = {
    4: ("iptables-nft", "iptables-legacy", "nft"),
    6: ("ip6tables-nft", "ip6tables-legacy", "nft"),
}


_NAMES = {hook: hook.value for hook in Hook}
_SENDING = frozenset({Hook.OUTPUT, Hook.POSTROUTING})


def pass_hook(
    journey: Journey,
    netns: NetNamespace,
    packet: Packet,
    hook: Hook,
    *,
    in_link: Link | None = None,
    out_link: Link | None = None,
    in_port: Link | None = None,
    out_port: Link | None = None,
    next_hop: int = 0,
) -> Ending | Resend | None:
    """Send the packet through one hook; return how it ended, or None when it goes on.

    IPVS may have taken it: then its next move is returned.
    """
    unread = _unread_rules(journey, netns, packet, hook)
    if unread is not None:
        return unread
    topology, connections = journey.topology, journey.world.table(netns)
    plan = plan_of(topology, netns, hook, packet.family)
    if pass_empty(plan, netns, connections, packet):
        return None
    scene = Scene(
        topology=topology,
        netns=netns,
        router=topology.router(netns),
        connections=connections,
        choices=journey.world.choices,
        packet=packet,
        hook=hook,
        in_link=in_link,
        out_link=out_link,
        in_port=in_port,
        out_port=out_port,
        bridged=in_port is not None and out_port is not None,
        next_hop=next_hop,
    )
    before = packet.view()
    decided = run_hook(scene)
    for assumption in scene.assumptions:
        journey.world.assume(assumption)
    device = out_link if hook in _SENDING else in_link
    if decided.ruling.action is Action.ACCEPT:
        _record(journey, scene, device, before, empty=plan.empty)
        return None
    if decided.ruling.action is Action.STOLEN:
        _record(journey, scene, device, before, empty=plan.empty)
        return Resend(netns, packet, decided.ruling.towards, decided.ruling.tunnelled)
    return _stop(journey, scene, device, decided)


def pass_device_chains(
    journey: Journey,
    netns: NetNamespace,
    packet: Packet,
    family: str,
    hook: str,
    *,
    in_link: Link | None = None,
    out_link: Link | None = None,
) -> Ending | None:
    """Send the packet through nft's chains of the ``netdev`` or ``bridge`` family at one of their hooks."""
    if not netns.nft:
        return None
    device = in_link or out_link
    chains = device_stages(journey.topology, netns, hook, family, device.name if device else "")
    for each in chains:
        if packet.arp and each.evaluator.table.family == "inet":
            continue  # nft_do_chain_inet_ingress: what is not IP is accepted
        if packet.arp and (family, hook) == ("bridge", "prerouting"):
            # nf_conntrack_bridge.c (nf_ct_bridge_pre): what is not IP is UNTRACKED from there on.
            packet.untracked = packet.untracked or (each.chain.priority or 0) >= CONNTRACK_PRIORITY
        scene = Scene(
            topology=journey.topology,
            netns=netns,
            router=journey.topology.router(netns),
            connections=journey.world.table(netns),
            choices=journey.world.choices,
            packet=packet,
            hook=_NEAREST.get(hook, Hook.FORWARD),
            in_link=in_link,
            out_link=out_link,
        )
        before = Before(scene)
        ruling = each.evaluator.run(each.chain, scene)
        acts = ruling.action is not Action.ACCEPT or before.changed(scene)
        if acts and not each.certain and not _is_hooked(each, scene, device):
            before.put_back(scene)
            continue
        if ruling.action is not Action.ACCEPT:
            return _stop_at_device(journey, scene, device, ruling, f"{family} {hook}", each.chain.name)
    return None


# A rule at a device's or a bridge's hook asks for what it would find at the nearest hook of IP.
_NEAREST = {
    "ingress": Hook.PREROUTING,
    "prerouting": Hook.PREROUTING,
    "input": Hook.INPUT,
    "output": Hook.FORWARD,
}


def _is_hooked(each: DeviceChain, scene: Scene, device: Link | None) -> bool:
    """Tell whether a chain is hooked to this device, where the dump does not say: nft 1.0.6 leaves that out."""
    name = device.name if device else ""
    table = each.evaluator.table
    reason = (
        f"whether the chain {each.chain.name} of {table.family} {table.name} is hooked to {name} "
        f"of {scene.netns.host} is not in the dump"
    )
    scene.unknowns.append(reason)
    return scene.choices.unknown(reason, key=("hooked", id(each.chain), scene.netns.inode, name))


def _stop_at_device(
    journey: Journey, scene: Scene, device: Link | None, ruling: Ruling, where: str, chain: str
) -> Ending:
    rejected = ruling.action is Action.REJECT
    last = scene.evidence[-1].location if scene.evidence else chain
    return journey.end(
        Disposition.REJECTED if rejected else Disposition.DROPPED,
        scene.netns,
        scene.packet,
        f"{'rejected' if rejected else 'dropped'} by {last}",
        cause="netfilter-reject" if rejected else "netfilter-drop",
        link=device,
        evidence=tuple(scene.evidence),
        hook=where,
        error=ruling.error if rejected else None,
        reset=rejected and ruling.error is None,
        kind=StepKind.HOOK,
        unknown="; ".join(dict.fromkeys(scene.unknowns)),
    )


def _unread_rules(journey: Journey, netns: NetNamespace, packet: Packet, hook: Hook) -> Ending | None:
    """A rule set that could not be read may drop anything: both ways are walked."""
    missing = unread_parts(journey.topology, netns, packet.family)
    if not missing:
        return None
    where = f"{netns.host} ({journey.topology.label(netns)})"
    details = "; ".join(f"{part}: {netns.gaps.get(part, 'incompatible')}" for part in missing)
    reason = f"rules of {where} could not be read: {details}"
    if journey.world.choices.unknown(reason, key=("rules", netns.host, netns.inode)):
        return None
    evidence = tuple(gap(netns, part, netns.gaps.get(part, "incompatible")) for part in missing)
    return journey.end(
        Disposition.UNKNOWN,
        netns,
        packet,
        reason,
        hook=hook.value,
        evidence=evidence,
        kind=StepKind.HOOK,
        cause="evidence-incomplete",
    )


def unread_parts(topology: Topology, netns: NetNamespace, family: int) -> tuple[str, ...]:
    """Return which of a namespace's rule sets could not be read, for one family (4 or 6)."""
    key = ("unread rules", netns.host, netns.inode, family)
    cached = topology.caches.get(key)
    if cached is None:
        missing = [part for part in _RULE_PARTS[family] if part in netns.gaps]
        missing += [
            f"iptables table {t.name}"
            for t in netns.iptables
            if t.incompatible and t.family == family and not _shown_by_nft(netns, t.name, t.family)
        ]
        cached = topology.caches[key] = tuple(missing)
    return cached  # type: ignore[return-value]


def _shown_by_nft(netns: NetNamespace, name: str, family: int) -> bool:
    wanted = "ip" if family == 4 else "ip6"
    return any(table.family == wanted and table.name == name for table in netns.nft)


def _record(journey: Journey, scene: Scene, device: Link | None, before: PacketView, *, empty: bool) -> None:
    """Record a hook that let the packet pass, if there is anything at it."""
    netns, packet = scene.netns, scene.packet
    after = packet.view()
    changed = _address_change(before, after) if after is not before else ""
    if empty and not changed:
        return
    decision = changed or _accepted(before, after, scene)
    journey.step(
        StepKind.NAT if changed else StepKind.HOOK,
        netns,
        device,
        decision,
        packet,
        evidence=tuple(scene.evidence),
        hook=_NAMES[scene.hook],
        before=before,
        unknown="; ".join(dict.fromkeys(scene.unknowns)) if scene.unknowns else "",
    )


def _accepted(before: PacketView, after: PacketView, scene: Scene) -> str:
    parts = ["accepted"]
    if before.mark != after.mark:
        parts.append(f"mark {before.mark:#x} → {after.mark:#x}")
    if after.state and scene.hook in {Hook.PREROUTING, Hook.OUTPUT}:
        parts.append(f"conntrack {after.state}")
    return ", ".join(parts)


def _address_change(before: PacketView, after: PacketView) -> str:
    """Say in words what NAT did, or '' when it did nothing."""
    parts = []
    old = f"{before.destination}:{before.destination_port}", f"{before.source}:{before.source_port}"
    new = f"{after.destination}:{after.destination_port}", f"{after.source}:{after.source_port}"
    if old[0] != new[0]:
        parts.append(f"destination {old[0].rstrip(':')} → {new[0].rstrip(':')}")
    if before.source != after.source or (before.source_port != after.source_port and old[1] != new[1]):
        parts.append(f"source {old[1].rstrip(':')} → {new[1].rstrip(':')}")
    return "NAT: " + ", ".join(parts) if parts else ""


def _stop(journey: Journey, scene: Scene, device: Link | None, decided: HookRuling) -> Ending:
    """End the way at a DROP or REJECT, with the rule that did it as the last evidence."""
    ruling = decided.ruling
    last = scene.evidence[-1] if scene.evidence else None
    by = _by(last)
    note = "; ".join(scene.notes)
    also = f" ({note})" if note else ""
    if ruling.opaque:
        disposition = Disposition.OPAQUE
        reason = ruling.reason
    elif ruling.reason:
        disposition = Disposition.DROPPED if ruling.action is Action.DROP else Disposition.REJECTED
        reason = ruling.reason
    elif ruling.action is Action.DROP:
        disposition = Disposition.DROPPED
        reason = f"dropped by {by}{also}" if last else f"dropped in {decided.stage}: {note}"
    else:
        disposition = Disposition.REJECTED
        how = ruling.error.value if ruling.error else "a TCP reset"
        reason = f"rejected with {how} by {by}{also}"
    return journey.end(
        disposition,
        scene.netns,
        scene.packet,
        reason,
        link=device,
        evidence=tuple(scene.evidence),
        hook=scene.hook.value,
        error=ruling.error if ruling.action is Action.REJECT else None,
        reset=ruling.action is Action.REJECT and ruling.error is None,
        cause=ruling.cause or ("netfilter-drop" if ruling.action is Action.DROP else "netfilter-reject"),
        kind=StepKind.HOOK,
        unknown="; ".join(dict.fromkeys(scene.unknowns)),
    )


def _by(evidence: Evidence | None) -> str:
    if evidence is None:
        return "an unknown rule"
    if evidence.kind.endswith("policy"):
        return f"the policy of {evidence.location.removesuffix(' policy')}"
    return evidence.location
