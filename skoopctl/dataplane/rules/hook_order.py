"""The order of stages that share a hook's priority, and what to do where nobody can tell it.

Of equal priorities the hook that was registered last runs first (net/netfilter/core.c: nf_hook_entries_grow).
What a dump tells of that:

- Within one nft table the order is certain. A base chain is registered when it is made, and handles grow
  (nf_tables_api.c: nf_tables_addchain, nf_tables_alloc_handle).
- Between tables it is not. Tables are listed in the order in which they were made, and their handles grow, but a
  chain of the older table may be the younger chain. A table that was dormant registers its hooks again.
- The hooks of a legacy table are registered when it is first used in the namespace, which nothing records.

So the order of the dump is taken first. If all stages accept and none changes the packet, any order ends so.
Else the other order is tried, on copies; where the two end differently both are walked, as an unknown that names
the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from skoopctl.dataplane.choice import ChoiceKind, Choices
from skoopctl.dataplane.packet import Packet, values_of
from skoopctl.dataplane.rules.ruling import ACCEPT, Action, Ruling
from skoopctl.dataplane.rules.scene import Scene


@dataclass(frozen=True, slots=True)
class Stage:
    """One table or base chain at a hook. ``name`` is for people: ``filter``, ``nft ip kube-proxy services``.

    ``order`` is its table's place in the dump and its own handle: of one priority the newest runs first.
    ``source`` is the table: of stages with one source the order is certain (None: it can be in any place).
    ``inert`` ones accept every packet and do nothing: a chain without rules whose policy is to accept.
    """

    priority: int
    order: tuple[int, int]
    name: str
    is_nat: bool
    source: object
    run: Callable[[Scene], Ruling]
    inert: bool = False


Group = tuple[Stage, ...]
Decided = tuple[Ruling, Stage]


def newest_first(stage: Stage) -> tuple[int, int, int]:
    """Sort stages as they run if tables registered their chains in the order of the dump."""
    table, chain = stage.order
    return stage.priority, -table, -chain


def groups_of(stages: Iterable[Stage]) -> tuple[Group, ...]:
    """Split stages, in order, into groups whose order among themselves is not certain.

    Stages of one priority that have the same source stand alone, each in its place. Where all but one are inert,
    their order does not matter, and they are left out.
    """
    groups: list[Group] = []
    for _, same in groupby(stages, key=lambda stage: stage.priority):
        group = tuple(same)
        active = [stage for stage in group if not stage.inert]
        certain = len(active) <= 1 or len({stage.source for stage in group} - {None}) <= 1
        groups += [(stage,) for stage in active] if certain else [group]
    return tuple(groups)


def run_groups(groups: Iterable[Group], scene: Scene, *, until_bound: bool = False) -> Decided | None:
    """Run stages until one does not accept; return its verdict, or None when all accept.

    With ``until_bound``, the way ends too when a stage has made a NAT binding (nf_nat_core.c: nf_nat_inet_fn).
    """
    for group in groups:
        bound = _bindings(scene) if until_bound else None
        if len(group) == 1:
            ruling = group[0].run(scene)
            decided = None if ruling.action is Action.ACCEPT else (ruling, group[0])
        else:
            decided = _run_tied(group, scene, until_bound=until_bound)
        if decided is not None or (until_bound and _bindings(scene) != bound):
            return decided
    return None


def _run_tied(group: Group, scene: Scene, *, until_bound: bool) -> Decided | None:
    """Run stages of one priority, in the order of the dump unless that is in doubt and matters."""
    before = Before(scene)
    picks = len(scene.choices.picks)
    decided = _in_order(group, scene, until_bound=until_bound)
    if decided is None and not before.changed(scene):
        return None  # Each stage saw the same packet, and would have in any order.
    probe = _Probe(scene.choices, picks)
    if _agree(group, before, scene, decided, probe, until_bound=until_bound):
        return decided
    return _both(group, before, scene, decided, until_bound=until_bound)


def _in_order(group: Group, scene: Scene, *, until_bound: bool) -> Decided | None:
    """Run stages until one decides."""
    bound = _bindings(scene) if until_bound else None
    for stage in group:
        ruling = stage.run(scene)
        if ruling.action is not Action.ACCEPT:
            return ruling, stage
        if until_bound and _bindings(scene) != bound:
            return None
    return None


def _agree(
    group: Group, before: Before, scene: Scene, decided: Decided | None, probe: _Probe, *, until_bound: bool
) -> bool:
    """Tell whether the other order ends alike. Asked on copies, where nothing is chosen and nothing stays."""
    there = before.restored(probe)
    other = _in_order(tuple(reversed(group)), there, until_bound=until_bound)
    if probe.asked:
        return False
    ruling, other_ruling = (found[0] if found else ACCEPT for found in (decided, other))
    if ruling != other_ruling:
        return False
    if decided is not None and other is not None and decided[1] is not other[1]:
        scene.notes.append(f"{other[1].name} decides alike, and which of the two runs first is not known")
    return ruling.action is not Action.ACCEPT or _outcome(scene) == _outcome(there)


def _both(
    group: Group, before: Before, scene: Scene, decided: Decided | None, *, until_bound: bool
) -> Decided | None:
    """Walk both orders."""
    first, *others = (stage.name for stage in group)
    rest = " and ".join(others)
    node = scene.netns.host
    reason = (
        f"{first} and {rest} have the same priority at {scene.hook} on {node}: which runs first is not known"
    )
    options = ((f"{first} first", 1.0), (f"{rest} first", 1.0))
    key = ("order", scene.netns.inode, scene.hook, tuple(stage.name for stage in group))
    picked = scene.choices.pick(ChoiceKind.UNKNOWN, reason, options, key=key)
    if picked:
        before.put_back(scene)
    scene.unknowns.append(reason)
    return _in_order(tuple(reversed(group)), scene, until_bound=until_bound) if picked else decided


# --- copies --------------------------------------------------------------------------------------------------


class _Probe(Choices):
    """Choices of a run that only asks what would be: what was decided before stays so, and nothing new is.

    Of the answers that have been given since the stages began, each is given once more to the same question.
    """

    __slots__ = ("_given", "asked")

    def __init__(self, real: Choices, since: int) -> None:
        super().__init__()
        self.asked = False
        self._given = {(pick.kind, pick.reason, pick.labels): pick.index for pick in real.picks[since:]}
        self._memory = dict(real._memory)  # noqa: SLF001 - another of the same class

    def pick(
        self,
        kind: ChoiceKind,
        reason: str,
        options: tuple[tuple[str, float], ...],
        *,
        key: object = None,
    ) -> int:
        """Take what was taken before; else note that this would have been a branch."""
        if key is not None and key in self._memory:
            return self._memory[key]
        given = self._given.pop((kind, reason, tuple(label for label, _ in options)), None)
        if given is None:
            self.asked = True
        return given or 0


class Before:
    """What a hook can change, as it was."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._packet = values_of(scene.packet)
        tracking = scene.packet.tracking
        self._entry = tracking.entry.copy() if tracking and tracking.entry else None
        self._changed = {key: value.copy() for key, value in scene.choices.changed.items()}
        self._lengths = len(scene.evidence), len(scene.unknowns), len(scene.notes)
        self.state = _state(scene)

    def changed(self, scene: Scene) -> bool:
        """Tell whether a stage has changed anything that a later one may ask for."""
        return _state(scene) != self.state

    def restored(self, choices: Choices) -> Scene:
        """Return a scene as it was, that shares nothing which a stage changes."""
        packet = Packet(*self._packet)
        if packet.tracking is not None:
            entry = self._entry.copy() if self._entry is not None else None
            packet.tracking = replace(packet.tracking, entry=entry)
        choices.changed = {key: value.copy() for key, value in self._changed.items()}
        return replace(self._scene, packet=packet, choices=choices, evidence=[], unknowns=[], notes=[])

    def put_back(self, scene: Scene) -> None:
        """Undo what the stages have done to the real packet and its connection."""
        tracking = scene.packet.tracking
        scene.packet.put_back(self._packet)
        entry = tracking.entry if tracking else None
        if entry is not None and self._entry is not None:
            for name in type(entry).__slots__:
                setattr(entry, name, getattr(self._entry, name))
        scene.choices.changed = self._changed
        evidence, unknowns, notes = self._lengths
        del scene.evidence[evidence:]
        del scene.unknowns[unknowns:]
        del scene.notes[notes:]


def _bindings(scene: Scene) -> tuple[bool, bool] | None:
    tracking = scene.packet.tracking
    entry = tracking.entry if tracking else None
    return (entry.source_nat, entry.destination_nat) if entry is not None else None


def _state(scene: Scene) -> tuple[object, ...]:
    """Return what a stage may have changed for those after it."""
    packet = scene.packet
    entry = packet.tracking.entry if packet.tracking else None
    return (
        packet.tuple5,
        packet.mark,
        packet.untracked,
        packet.zone,
        packet.tos,
        packet.ttl,
        (entry.mark, entry.original, entry.reply, _bindings(scene)) if entry is not None else None,
        sum(len(value.elements) + value.vague for value in scene.choices.changed.values()),
    )


def _outcome(scene: Scene) -> tuple[object, ...]:
    """Return what the rest of the way sees; which of many ports NAT picks is not part of that."""
    packet = scene.packet
    entry = packet.tracking.entry if packet.tracking else None
    bound = None
    if entry is not None:
        reply = entry.reply
        port = reply.destination_ports.single
        bound = (
            entry.mark,
            entry.original,
            reply._replace(destination_ports=reply.source_ports),
            port,
            _bindings(scene),
        )
    return (*_state(scene)[1:6], packet.source, packet.destination, packet.destination_ports, bound)
