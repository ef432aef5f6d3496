"""Cuts a state down to the few lines that a disagreement needs, by building it again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.kernel.compare import Answer, judge
from tests.kernel.deciding import look_closer
from tests.kernel.examine import ALONE_S, built
from tests.kernel.state import Flow, State
from tests.kernel.traffic import try_flows

MOST_BUILDS = 60


def still_disagrees(state: State, flow: Flow, blind: frozenset[str] = frozenset()) -> str:
    """Return in words how one flow, tried alone, disagrees in a state; '' when it does not."""
    with built(state, blind) as (kept, refusals, model):
        if refusals or len(kept.lines) != len(state.lines):
            return ""
        prediction = model.predict(flow)
        (heard,), _ = try_flows([flow], ALONE_S)
        case = judge(model, prediction, heard)
        if case.answer is Answer.AGREES:
            wrong = look_closer(prediction).wrong
            return f"{case} {wrong}" if wrong else ""
        return str(case) if case.answer is Answer.DISAGREES else ""


def reduce_state(
    state: State, flow: Flow, fails: Callable[[State, Flow], str] = still_disagrees
) -> tuple[State, str]:
    """Return the smallest state that was found, with the one flow, and the disagreement in it.

    The chunks halve, as in delta debugging (ddmin); a chunk whose loss makes the kernel refuse another line
    (a chain, a set) is kept. Nothing found: the words are empty.
    """
    state = replace(state, flows=(flow,))
    words = fails(state, flow)
    if not words:
        return state, ""
    builds, size = 1, max(1, len(state.lines) // 2)
    while builds < MOST_BUILDS:
        at, smaller = len(state.lines), False
        while at > 0 and builds < MOST_BUILDS:
            start = max(0, at - size)
            candidate = state.without(frozenset(range(start, at)))
            builds += 1
            if said := fails(candidate, flow):
                state, words, smaller = candidate, said, True
            at = start
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return replace(state, note=words, heard=(words,)), words
