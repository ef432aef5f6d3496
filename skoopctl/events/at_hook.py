"""One packet at one hook of one namespace, asked again: which rule would drop it there.

The rules are run by the model that the walk uses. All answers to what it asks are tried, with the devices that the
event does not tell among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from skoopctl.dataplane.choice import ChoiceKind, Choices
from skoopctl.dataplane.conntrack import CtState, Tracking
from skoopctl.dataplane.ip.lookup import choose_hop, look_up, out_device
from skoopctl.dataplane.journey import Ending, Journey, World
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.rules.hook_order import Decided, Group, run_groups
from skoopctl.dataplane.rules.netfilter import DeviceChain, Plan, device_stages, plan_of
from skoopctl.dataplane.rules.recall import room_for
from skoopctl.dataplane.rules.ruling import Action, Ruling
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.topology import Station, Topology
from skoopctl.dataplane.trace import Evidence
from skoopctl.events.drop_packet import DropKey, Supposed, tracking_of
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

_NO_DEVICE = "the event does not tell the device"
_ENDS_THERE = "it does not go on"
"""The words of `Choices.unknown` for no."""
_STOPS = frozenset({Action.DROP, Action.REJECT})
_SENDS = frozenset({Hook.OUTPUT, Hook.POSTROUTING})


@dataclass(frozen=True, slots=True)
class Place:
    """The hook of an event in the model; ``device`` is the event's, None where it tells none."""

    topology: Topology
    netns: NetNamespace
    key: DropKey
    device: Link | None


@dataclass(frozen=True, slots=True)
class Ends:
    """How one run ended: the rule that dropped, or None. ``doubt`` is why the model cannot be believed there."""

    rule: Evidence | None = None
    doubt: str = ""


PASSED = Ends()


@dataclass(slots=True)
class _Sides:
    """The devices that rules see."""

    in_link: Link | None = None
    out_link: Link | None = None
    in_port: Link | None = None
    out_port: Link | None = None
    bridged: bool = field(default=False)


def run_ip_hook(place: Place, hook: Hook, packet: Packet, supposed: Supposed, choices: Choices) -> Ends:
    """Run the rules of one of IP's five hooks once, on a copy of the packet."""
    packet = packet.copy()
    packet.mark, packet.icmp_type = supposed.mark, supposed.icmp_type
    if hook is Hook.OUTPUT:
        packet.birthplace = place.netns.host, place.netns.inode
    world = World(place.topology, choices)
    scene = _scene(place, hook, packet, world, _sides(place, hook, packet, world))
    plan = plan_of(place.topology, place.netns, hook, packet.family)
    before = _looks(packet)
    decided = _run(plan, scene, supposed)
    if decided is None or decided.action not in _STOPS:
        return PASSED
    if _looks(packet) != before:
        return PASSED  # The event would show the packet as NAT has left it.
    return _ends(scene, decided)


def _looks(packet: Packet) -> tuple[object, ...]:
    """Return what an event shows of a packet; ports that are not known may become fewer."""
    return packet.source, packet.destination, packet.source_ports.single, packet.destination_ports.single


def _run(plan: Plan, scene: Scene, supposed: Supposed) -> Ruling | None:
    """Run a hook's stages as `run_hook` does, with conntrack's part supposed."""
    packet = scene.packet
    late = _behind_nat(plan) if supposed.after_nat else plan.late
    if plan.attaches and not supposed.after_nat:
        decided = run_groups(plan.early, scene)
        if decided is not None:
            return decided[0]
    packet.tracking = Tracking(CtState.UNTRACKED) if packet.untracked else tracking_of(packet, supposed)
    if plan.attaches and packet.tracking.entry is not None and not packet.tracking.entry.confirmed:
        refused = room_for(scene)
        if refused is not None:
            return refused
    later: Decided | None = run_groups(late, scene)
    return later[0] if later is not None else None


def _behind_nat(plan: Plan) -> tuple[Group, ...]:
    for place, group in enumerate(plan.late):
        if any(stage.is_nat for stage in group):
            return plan.late[place + 1 :]
    return ()


def _ends(scene: Scene, decided: Ruling) -> Ends:
    if decided.opaque:
        return Ends(doubt=decided.reason)
    if scene.evidence:
        return Ends(scene.evidence[-1])
    return Ends(doubt=decided.reason or "; ".join(scene.notes) or "what dropped it has no rule in the dump")


def _scene(place: Place, hook: Hook, packet: Packet, world: World, sides: _Sides) -> Scene:
    packet.bridge_port = sides.in_port.index if sides.in_port else 0
    return Scene(
        topology=place.topology,
        netns=place.netns,
        router=place.topology.router(place.netns),
        connections=world.table(place.netns),
        choices=world.choices,
        packet=packet,
        hook=hook,
        in_link=sides.in_link,
        out_link=sides.out_link,
        in_port=sides.in_port,
        out_port=sides.out_port,
        bridged=sides.bridged,
        next_hop=packet.destination,
    )


def _sides(place: Place, hook: Hook, packet: Packet, world: World) -> _Sides:
    """Return the devices at the hook: the event tells one of them, and routes or a branch tell the other."""
    netns, device, choices = place.netns, place.device, world.choices
    if place.key.bridged:
        return _bridge_sides(place, hook, packet, choices)
    if hook in _SENDS:
        return _Sides(out_link=device or _routed(place, packet, world, None))
    entered = device or _any_of(netns.links.values(), choices, "it came in by {}")
    if hook is Hook.FORWARD:
        return _Sides(entered, _routed(place, packet, world, entered))
    port = _port(place, entered, packet, choices) if entered and entered.kind == "bridge" else None
    return _Sides(entered, in_port=port)


def _bridge_sides(place: Place, hook: Hook, packet: Packet, choices: Choices) -> _Sides:
    """Return the devices of a bridged packet (br_netfilter_hooks.c): in FORWARD the event has the port out."""
    netns, device = place.netns, place.device
    bridge = netns.links.get(device.master) if device and device.master else device
    port = _port(place, bridge, packet, choices, but=device) if bridge else None
    if hook in {Hook.FORWARD, Hook.POSTROUTING}:
        into = bridge if hook is Hook.FORWARD else None
        return _Sides(into, bridge, port, device if device is not bridge else None, bridged=True)
    return _Sides(bridge, in_port=port)


def _port(
    place: Place, bridge: Link | None, packet: Packet, choices: Choices, but: Link | None = None
) -> Link | None:
    """Return the bridge's port by which a packet came: the one to its sender, else any."""
    if bridge is None:
        return None
    ports = place.topology.ports(Station(place.netns, bridge))
    for port in ports:
        peer = place.topology.peer(port)
        if peer is not None and any(int(a.ip) == packet.source for a in peer.netns.addresses):
            return port.link
    others = [port.link for port in ports if but is None or port.link.index != but.index]
    return _any_of(others, choices, "it came in by the port {}")


def _routed(place: Place, packet: Packet, world: World, entered: Link | None) -> Link | None:
    """Return the device that the packet would be sent by; any, where routes do not tell."""
    journey = Journey(world, "drop")
    answer = look_up(journey, place.netns, packet, iif=entered)
    if isinstance(answer, Ending):
        return _any_of(place.netns.links.values(), world.choices, "it was to leave by {}")
    hop = choose_hop(journey, place.netns, answer, packet, born_here=entered is None)
    return out_device(place.netns, answer, hop)


def _any_of(links: object, choices: Choices, words: str) -> Link | None:
    """Branch over devices."""
    found: list[Link] = list(links)  # type: ignore[call-overload]
    if not found:
        return None
    options = tuple((words.format(link.name), 1.0) for link in found)
    return found[choices.pick(ChoiceKind.UNKNOWN, _NO_DEVICE, options, key=("device", words))]


# --- hooks of devices and bridges ----------------------------------------------------------------------------

_NEAREST = {"prerouting": Hook.PREROUTING, "ingress": Hook.PREROUTING, "input": Hook.INPUT}
_LEAVING = frozenset({"forward", "output", "postrouting", "egress"})


def device_chains(place: Place) -> tuple[DeviceChain, ...]:
    """Return the nft chains at an event's hook that is a device's (``netdev ingress``) or a bridge's."""
    family, _, hook = place.key.hook.partition(" ")
    name = place.device.name if place.device else ""
    return device_stages(place.topology, place.netns, hook, family, name)


def run_device_hook(place: Place, packet: Packet, choices: Choices) -> Ends:
    """Run nft's chains at a device's or a bridge's hook once, on a copy of the packet."""
    packet = packet.copy()
    family, _, hook = place.key.hook.partition(" ")
    world = World(place.topology, choices)
    leaves = hook in _LEAVING
    sides = _Sides(None, place.device) if leaves else _Sides(place.device)
    if family == "bridge":
        bridge = (
            place.netns.links.get(place.device.master)
            if place.device and place.device.master
            else place.device
        )
        if leaves or place.device is bridge:
            sides.in_link = _port(place, bridge, packet, choices, but=place.device)
    scene = _scene(place, _NEAREST.get(hook, Hook.FORWARD), packet, world, sides)
    for each in device_chains(place):
        if not each.certain and not _is_hooked(each, scene, place):
            continue
        ruling = each.evaluator.run(each.chain, scene)
        if ruling.action in _STOPS:
            return _ends(scene, ruling)
        if ruling.action is not Action.ACCEPT:
            break
    return PASSED


def _is_hooked(each: DeviceChain, scene: Scene, place: Place) -> bool:
    """Branch over whether a chain is hooked to the device: nft 1.0.6 leaves it out of its dump."""
    device = place.device.name if place.device else "the device"
    words = (
        f"the chain {each.chain.name} is hooked to {device}",
        f"{each.chain.name} is not hooked to {device}",
    )
    return scene.choices.unknown("nft does not tell", key=("hooked", id(each.chain)), words=words)


def conditions(picks: Iterator[tuple[ChoiceKind, str, str]]) -> Iterator[str]:
    """Yield in words what branches were taken."""
    for kind, reason, label in picks:
        if kind is ChoiceKind.CHANCE or reason == _NO_DEVICE:
            yield label
        elif label == _ENDS_THERE:
            yield reason
        else:
            yield f"{label} ({reason})"
