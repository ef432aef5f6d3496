"""The proof of a verdict: of all steps of a flow's packets, those that decided.

For a flow that works, the routes that were taken and the rules that accepted, translated or marked its packets;
for one that fails, the step that ended it, with the routes and translations that led the packet there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from skoopctl.dataplane.trace import Branch, Disposition, Evidence, Step, StepKind, Walk

_LEADS = frozenset({StepKind.ROUTE, StepKind.NAT, StepKind.ENCAPSULATE})
_HOOKS = frozenset({StepKind.HOOK, StepKind.NAT})
_RULES = frozenset({"iptables-rule", "nft-rule"})
# What a rule says that can decide: verdicts, translations, marks.
_DECIDES = re.compile(
    r"-j (ACCEPT|DROP|REJECT|DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP|MARK|CONNMARK|CT|NOTRACK|TPROXY|N?F?QUEUE)\b"
    r"|\b(accept|drop|reject|dnat|snat|masquerade|redirect|notrack|queue|mark set)\b"
)
_ARRIVED = frozenset({Disposition.DELIVERED, Disposition.EXITS_CLUSTER})


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of the proof: whose it is (``SYN``), its place in that packet's way, and what decided it."""

    label: str
    hop: int
    step: Step
    evidence: tuple[Evidence, ...]


def proof_of(branch: Branch) -> tuple[Reason, ...]:
    """Return the steps that decided a branch, in the order in which they happened."""
    fatal = branch.fatal_walk
    if fatal.disposition in _ARRIVED:
        return tuple(reason for walk in branch.walks for reason in _of_walk(walk, leads_only=False))
    before = branch.walks[: branch.walks.index(fatal)]
    found = [reason for walk in before for reason in _of_walk(walk, leads_only=True)]
    return (*found, *_of_walk(fatal, leads_only=True, last=True))


def _of_walk(walk: Walk, *, leads_only: bool, last: bool = False) -> Iterator[Reason]:
    """Yield the steps that decided a packet's way; ``last`` takes its end along, whatever it is."""
    end = len(walk.steps) - 1
    for hop, step in enumerate(walk.steps):
        decided = _decided(step)
        ends = hop == end and (last or walk.disposition in _ARRIVED)
        accepts = step.kind is StepKind.HOOK and bool(decided) and not leads_only
        if (
            ends
            or accepts
            or step.unknown
            or (step.kind in _LEADS and (step.evidence or step.kind is StepKind.NAT))
        ):
            yield Reason(walk.label, hop, step, decided or step.evidence[-1:])


def _decided(step: Step) -> tuple[Evidence, ...]:
    """Return the evidence of a step that can have decided it: no jumps, and no rules that only log."""
    if step.kind not in _HOOKS and not step.hook:
        return step.evidence
    decided = [item for item in step.evidence if item.kind not in _RULES or _DECIDES.search(item.text)]
    return tuple(decided)
