"""From all branches of a flow to one verdict: PASS, FAIL, MIXED or UNKNOWN.

The runs form a tree, one level for each question that a walk asked. Where *chance* decided, branches that
differ make the flow MIXED; where the model could not decide, they make it UNKNOWN, and the reason is kept.
A question whose answers all come to the same end did not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skoopctl.dataplane.choice import ChoiceKind, Exploration, Run
from skoopctl.dataplane.flow import Transaction
from skoopctl.dataplane.trace import Branch, Disposition, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a subtree comes to. ``end`` is None when its branches end differently."""

    verdict: Verdict
    end: tuple[Disposition, Outcome] | None
    reasons: tuple[str, ...] = ()


def conclude(exploration: Exploration[Transaction]) -> Conclusion:
    """Return the verdict over all runs."""
    conclusion = _subtree(exploration.runs, 0)
    if exploration.truncated:
        reason = f"more than {len(exploration.runs)} ways through the rules: not all were walked"
        return Conclusion(Verdict.UNKNOWN, None, (*conclusion.reasons, reason))
    return conclusion


def cannot_decide(runs: Sequence[Run[Transaction]]) -> bool:
    """Tell of the first runs of an exploration, in its order, whether the verdict is UNKNOWN whatever follows.

    All subtrees are whole but those that the last run is in. A whole one that is UNKNOWN makes all above it so;
    and so do the answers to a question of the model's if two of them end differently for certain: what works
    once will never fail as a whole, nor the other way round.
    """
    same = tuple(runs)
    for depth, pick in enumerate(runs[-1].picks):
        whole = {
            _subtree(tuple(group), depth + 1).verdict
            for index, group in _by_answer(same, depth).items()
            if index != pick.index
        }
        same = tuple(run for run in same if run.picks[depth].index == pick.index)
        if Verdict.UNKNOWN in whole:
            return True
        if pick.kind is not ChoiceKind.UNKNOWN:
            continue
        begun = _subtree(same, depth + 1).verdict
        if len(whole) > 1 or (whole and whole <= {Verdict.PASS, Verdict.FAIL} and begun not in whole):
            return True
    return _subtree(same, len(runs[-1].picks)).verdict is Verdict.UNKNOWN


def _by_answer(runs: Iterable[Run[Transaction]], depth: int) -> dict[int, list[Run[Transaction]]]:
    groups: dict[int, list[Run[Transaction]]] = {}
    for run in runs:
        groups.setdefault(run.picks[depth].index, []).append(run)
    return groups


def conditions(exploration: Exploration[Transaction]) -> tuple[str, ...]:
    """Return what would make an undecided flow pass: single answers with which every way ends well."""
    asked: dict[str, tuple[str, ...]] = {}
    for run in exploration.runs:
        asked |= {pick.reason: pick.labels for pick in run.picks if pick.kind is ChoiceKind.UNKNOWN}
    if exploration.truncated:
        return ()
    return tuple(
        f"it passes if {label}: {reason}"
        for reason, labels in asked.items()
        for index, label in enumerate(labels)
        if _passes_with(exploration, reason, index)
    )


def _passes_with(exploration: Exploration[Transaction], reason: str, index: int) -> bool:
    """Tell whether all runs pass that do not contradict an answer, and some run gave it."""
    agreeing = [
        run
        for run in exploration.runs
        if all(pick.index == index for pick in run.picks if pick.reason == reason)
    ]
    given = any(pick.reason == reason for run in agreeing for pick in run.picks)
    return given and all(_leaf(run.result).verdict is Verdict.PASS for run in agreeing)


def _subtree(runs: tuple[Run[Transaction], ...], depth: int) -> Conclusion:
    """Combine the runs that share their first ``depth`` answers."""
    if len(runs) == 1 and len(runs[0].picks) <= depth:
        return _leaf(runs[0].result)
    pick = runs[0].picks[depth]
    parts = [_subtree(tuple(group), depth + 1) for group in _by_answer(runs, depth).values()]
    reasons = tuple(dict.fromkeys(reason for part in parts for reason in part.reasons))
    verdicts = {part.verdict for part in parts}
    ends = {part.end for part in parts}
    end = ends.pop() if len(ends) == 1 else None
    if len(verdicts) == 1 and (
        verdicts != {Verdict.FAIL} or end is not None or pick.kind is ChoiceKind.CHANCE
    ):
        return Conclusion(verdicts.pop(), end, reasons)
    if pick.kind is ChoiceKind.UNKNOWN and verdicts == {Verdict.FAIL}:
        return Conclusion(Verdict.FAIL, None, (*reasons, pick.reason))
    if pick.kind is ChoiceKind.UNKNOWN or Verdict.UNKNOWN in verdicts:
        new = (pick.reason,) if pick.kind is ChoiceKind.UNKNOWN else ()
        return Conclusion(Verdict.UNKNOWN, None, tuple(dict.fromkeys((*reasons, *new))))
    return Conclusion(Verdict.MIXED, None, reasons)


def _leaf(result: Transaction) -> Conclusion:
    end = (result.disposition, result.outcome)
    if result.disposition is Disposition.MTU:
        return Conclusion(Verdict.FAIL, end)
    if result.outcome is Outcome.CONNECTED:
        return Conclusion(Verdict.PASS, end)
    if result.outcome is Outcome.UNKNOWN:
        if result.disposition is Disposition.EXITS_CLUSTER and not result.doubt:
            return Conclusion(Verdict.PASS, end)
        return Conclusion(Verdict.UNKNOWN, end, (result.doubt or result.reason,))
    return Conclusion(Verdict.FAIL, end)


def branches_of(exploration: Exploration[Transaction]) -> tuple[Branch, ...]:
    """Return the branches for people: runs that differ only in questions without effect are one."""
    merged: dict[object, Branch] = {}
    for run in exploration.runs:
        branch = _branch(run)
        key = (
            branch.choices,
            branch.outcome,
            branch.errno,
            branch.disposition,
            branch.responder_netns,
            branch.seen_source,
            branch.fatal_walk.last.decision,
        )
        known = merged.get(key)
        merged[key] = branch if known is None else _add(known, branch)
    return tuple(merged.values())


def _add(known: Branch, other: Branch) -> Branch:
    unknowns = tuple(dict.fromkeys((*known.unknowns, *other.unknowns)))
    return Branch(
        weight=known.weight + other.weight,
        choices=known.choices,
        unknowns=unknowns,
        forward=known.forward,
        reply=known.reply,
        others=known.others,
        disposition=known.disposition,
        outcome=known.outcome,
        responder=known.responder,
        responder_netns=known.responder_netns,
        seen_source=known.seen_source,
        errno=known.errno,
        mtu=known.mtu,
    )


def _branch(run: Run[Transaction]) -> Branch:
    result = run.result
    choices = tuple(
        pick.label
        for pick in run.picks
        if pick.kind is ChoiceKind.CHANCE and not pick.label.startswith("not ")
    )
    unknowns = tuple(dict.fromkeys(pick.reason for pick in run.picks if pick.kind is ChoiceKind.UNKNOWN))
    others = tuple(walk for walk in result.walks[1:] if walk is not result.reply)
    return Branch(
        weight=run.weight,
        choices=choices,
        unknowns=unknowns,
        forward=result.walks[0],
        reply=result.reply,
        others=others,
        disposition=result.disposition,
        outcome=result.outcome,
        responder=result.responder,
        responder_netns=result.server,
        seen_source=result.seen_source,
        errno=result.errno,
        mtu=result.mtu,
    )
