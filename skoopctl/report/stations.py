"""A walk as people read it: stations in places, in the order in which the packet meets them.

A walk has a step for every table that a packet meets. A *station* is what happened at one hook or one
device; a *place* is one namespace, entered once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from skoopctl.dataplane.trace import Disposition, Evidence, PacketView, Step, StepKind

_DEVICE_KINDS = frozenset(
    {
        StepKind.NEIGHBOUR,
        StepKind.BRIDGE,
        StepKind.TRANSMIT,
        StepKind.ENCAPSULATE,
        StepKind.DECAPSULATE,
        StepKind.RECEIVE,
    }
)
_HOOK_KINDS = frozenset({StepKind.HOOK, StepKind.NAT})
_TUNNEL_KINDS = frozenset({StepKind.ENCAPSULATE, StepKind.DECAPSULATE})


@dataclass(frozen=True, slots=True)
class Station:
    """Consecutive steps at one hook or one device. ``name`` is the hook, the device, or the kind's word."""

    name: str
    steps: tuple[Step, ...]

    @property
    def node(self) -> str:
        """The node it is on."""
        return self.steps[0].node

    @property
    def namespace(self) -> str:
        """The label of the namespace it is in."""
        return self.steps[0].namespace

    @property
    def depth(self) -> int:
        """How many tunnels the packet is in when it comes here: 0 for the packet asked about."""
        return _depth_before(self.steps[0])

    @property
    def depth_after(self) -> int:
        """How many tunnels the packet is in when it goes on."""
        return self.steps[-1].depth

    @property
    def repacked(self) -> PacketView | None:
        """The header that the packet goes on with, where it enters or leaves a tunnel here."""
        tunnels = [step for step in self.steps if step.kind in _TUNNEL_KINDS and step.ends is None]
        return tunnels[-1].after if tunnels else None

    @property
    def kinds(self) -> frozenset[StepKind]:
        """The kinds of its steps."""
        return frozenset(step.kind for step in self.steps)

    @property
    def ends(self) -> Disposition | None:
        """What became of the packet, if its way ends here."""
        return self.steps[-1].ends

    @property
    def delivered(self) -> bool:
        """Whether the way ends here, and well."""
        return self.ends in (Disposition.DELIVERED, Disposition.EXITS_CLUSTER)

    @property
    def dies(self) -> bool:
        """Whether the packet is lost or turned away here, for all that is known."""
        return self.ends is not None and not self.delivered and not self.unknown

    @property
    def unknown(self) -> str:
        """Why something here could not be decided, or nothing."""
        return "; ".join(dict.fromkeys(step.unknown for step in self.steps if step.unknown)) or (
            "what happens here is not known" if self.ends in (Disposition.UNKNOWN, Disposition.OPAQUE) else ""
        )

    @property
    def telling(self) -> Step:
        """The step that says most: an end, an unknown, a change of the packet, a rule, else the last."""

        def weight(step: Step) -> int:
            changed = step.before is not None and step.after is not None and _differ(step.before, step.after)
            return (
                8 * (step.ends is not None)
                + 4 * bool(step.unknown)
                + 2 * (changed or step.kind in _TUNNEL_KINDS)
                + any(item.kind in ("iptables-rule", "nft-rule") for item in step.evidence)
            )

        return max(reversed(self.steps), key=weight)

    @property
    def decisions(self) -> tuple[str, ...]:
        """What its steps decided, each said once."""
        return tuple(dict.fromkeys(step.decision for step in self.steps if step.decision))

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The raw lines of all its steps, each once."""
        return tuple(dict.fromkeys(item for step in self.steps for item in step.evidence))

    @property
    def relabelled(self) -> tuple[PacketView, PacketView] | None:
        """The packet's header before and after, where the station changes it (NAT)."""
        if self.repacked is not None:
            return None
        befores = [step.before for step in self.steps if step.before is not None]
        afters = [step.after for step in self.steps if step.after is not None]
        if befores and afters and _differ(befores[0], afters[-1]):
            return befores[0], afters[-1]
        return None

    @property
    def plain(self) -> bool:
        """Whether the packet just passes a hook here."""
        return self.kinds == {StepKind.HOOK} and not (self.ends or self.unknown or self.relabelled)


@dataclass(frozen=True, slots=True)
class Place:
    """One stay of a packet in one namespace."""

    node: str
    namespace: str
    stations: tuple[Station, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What makes two stays the same place."""
        return self.node, self.namespace


def places(steps: Sequence[Step]) -> tuple[Place, ...]:
    """Return a walk's steps as places with their stations."""
    return tuple(
        Place(node, namespace, _stations(group))
        for (node, namespace), group in groupby(steps, key=lambda step: (step.node, step.namespace))
    )


def _stations(steps: Iterable[Step]) -> tuple[Station, ...]:
    groups: list[list[Step]] = []
    for step in steps:
        if groups and _belongs(groups[-1][-1], step):
            groups[-1].append(step)
        else:
            groups.append([step])
    return tuple(Station(_name(group[0]), tuple(group)) for group in groups)


def _belongs(last: Step, step: Step) -> bool:
    """Whether a step is at the station of the last: at the same point, or the tunnel device's own sending."""
    if last.kind is StepKind.ENCAPSULATE and step.kind is StepKind.SEND:
        return True
    return _point(last) == _point(step)


def _point(step: Step) -> tuple[int, int, str, str]:
    if step.kind in _HOOK_KINDS and step.hook:
        return step.netns, step.depth, "hook", step.hook
    if step.kind in _DEVICE_KINDS and step.device:
        depth = _depth_before(step) if step.kind is StepKind.ENCAPSULATE else step.depth
        return step.netns, depth, "device", step.device
    return step.netns, step.depth, step.kind, step.device


def _depth_before(step: Step) -> int:
    """Return how deep a packet is before a step; one at a tunnel tells what is after."""
    if step.kind is StepKind.ENCAPSULATE:
        return max(step.depth - 1, 0)
    return step.depth + (step.kind is StepKind.DECAPSULATE and step.ends is None)


def _name(step: Step) -> str:
    if step.kind in _HOOK_KINDS and step.hook:
        return step.hook
    if step.kind in _DEVICE_KINDS and step.device:
        return step.device
    if step.kind is StepKind.SEND:
        return "process"
    if step.kind is StepKind.END:
        return step.hook or step.device or "end"
    return step.kind.value


def _differ(before: PacketView, after: PacketView) -> bool:
    return ends_of(before) != ends_of(after)


def ends_of(view: PacketView) -> tuple[str, str, str, str, str, str]:
    """Return what a header says about where a packet comes from and goes to."""
    return (
        view.source,
        view.source_port,
        view.destination,
        view.destination_port,
        view.protocol,
        view.encapsulates,
    )
