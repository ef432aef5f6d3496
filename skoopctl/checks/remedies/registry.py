"""What a remedy is, and who proposes which for a cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from skoopctl.checks.cause import Cause
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Step


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change to one namespace, with the commands that would make it on the node."""

    summary: str
    key: NsKey
    change: edit.Change
    commands: tuple[str, ...]


Proposer = Callable[[Cause, Branch, Snapshot], Iterable[Remedy]]
PROPOSERS: dict[str, list[Proposer]] = {}


def proposes(*causes: str) -> Callable[[Proposer], Proposer]:
    """Register a proposer for causes by their finding ids."""

    def register(proposer: Proposer) -> Proposer:
        for cause in causes:
            PROPOSERS.setdefault(cause, []).append(proposer)
        return proposer

    return register


def key_of(step: Step) -> NsKey:
    """Return the namespace of a step."""
    return step.node, step.netns


def family_of(step: Step) -> int:
    """Return the IP family of the packet at a step."""
    view = step.before or step.after
    return 6 if view is not None and ":" in view.source + view.destination else 4


def steps_of(branch: Branch) -> Iterable[Step]:
    """Return the steps of all packets, in the order in which they happen."""
    return (step for walked in branch.walks for step in walked.steps)
