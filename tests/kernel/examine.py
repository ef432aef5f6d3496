"""One state from nothing to its cases: build, collect, try every flow, predict, compare, look closer."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random

from skoopctl.kernel.netns import Host
from tests.kernel import coverage, stage
from tests.kernel.compare import Answer, Case, depends_on_time, judge
from tests.kernel.deciding import look_closer, unmoved
from tests.kernel.predict import COUNTED, Model, blamed, collect, settle
from tests.kernel.state import State
from tests.kernel.traffic import start_listeners, try_flows

TOGETHER_S = 1.7
"""Two SYNs (the second after one second), and the answer to the second."""
ALONE_S = 2.2
MOST_ALONE = 12
REFILL_S = 1.1
"""ip_error gives an address one error a second again once its five are used up."""


@dataclass(slots=True)
class Examined:
    """The cases of one state, and what else was seen."""

    state: State
    cases: list[Case] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    retried: int = 0
    rules_checked: int = 0
    rules_checked_alone: int = 0
    reasons_checked: int = 0
    seen: Counter[str] = field(default_factory=Counter)


@contextmanager
def built(
    state: State, blind: frozenset[str] = frozenset()
) -> Iterator[tuple[State, list[stage.Refusal], Model]]:
    """Have a state built, listened in and collected for as long as the context lasts.

    ``blind`` are texts of lines that are carried out after the state was read: how a model that is wrong looks.
    """
    seen = tuple(line for line in state.lines if line.text not in blind)
    kept, refusals = stage.build(replace(state, lines=seen))
    listeners = start_listeners()
    try:
        settle()
        model = Model(collect())
        late = tuple(line for line in state.lines if line.text in blind)
        refusals += stage.add(late)
        yield replace(kept, lines=(*kept.lines, *late)), refusals, model
    finally:
        os.kill(listeners, signal.SIGKILL)
        os.waitpid(listeners, 0)


def examine(
    state: State, *, closer: int = 2, seed: str = "", blind: frozenset[str] = frozenset()
) -> Examined:
    """Examine every flow of a state; ``closer`` of those that a rule ends are looked at one by one."""
    with built(state, blind) as (kept, refusals, model):
        found = Examined(kept, refused=[f"{r.line}: {r.said}" for r in refusals])
        heard, _ = try_flows(kept.flows, TOGETHER_S)
        after = collect(COUNTED)
        predictions = [model.predict(flow) for flow in kept.flows]
        found.cases = [judge(model, p, h) for p, h in zip(predictions, heard, strict=True)]
        _ask_again(model, found)
        _check_counters(model, after, found)
        _look_closer(found, closer, Random(seed))
        for case in found.cases:
            found.seen.update(coverage.of_prediction(case.prediction))
    found.seen.update(coverage.of_state(found.state))
    return found


def _ask_again(model: Model, found: Examined) -> None:
    """Try what does not fit once more, alone, and without the neighbours that other flows have met.

    Many flows at once use up ICMP errors and skip rp_filter, too. A machine that was busy for a moment leaves too many
    to be tried one by one: those are tried together first.
    """
    doubtful = [n for n, case in enumerate(found.cases) if case.answer is Answer.DISAGREES]
    if len(doubtful) > MOST_ALONE:
        _ask_together(model, found, doubtful)
    for turn in range(2):
        left = [n for n in doubtful if found.cases[n].answer is Answer.DISAGREES][:MOST_ALONE]
        if turn:
            left = [n for n in left if depends_on_time(found.cases[n])]
        for n in left:
            if depends_on_time(found.cases[n]):
                time.sleep(REFILL_S)
            stage.forget_neighbours()
            prediction = found.cases[n].prediction
            (heard,), _ = try_flows([prediction.flow], ALONE_S)
            found.cases[n] = judge(model, prediction, heard)
            found.retried += 1


def _ask_together(model: Model, found: Examined, doubtful: Sequence[int]) -> None:
    time.sleep(REFILL_S)
    stage.forget_neighbours()
    predictions = [found.cases[n].prediction for n in doubtful]
    answers, _ = try_flows([each.flow for each in predictions], TOGETHER_S)
    for n, prediction, heard in zip(doubtful, predictions, answers, strict=True):
        found.cases[n] = judge(model, prediction, heard)


def _check_counters(model: Model, after: Host, found: Examined) -> None:
    """Every rule that a flow is said to end at must have counted something while all flows were tried."""
    pairs = [(case.prediction, case.heard) for case in found.cases]
    agreeing = {n for n, case in enumerate(found.cases) if case.answer is Answer.AGREES}
    still = unmoved(model.host, after, pairs)
    found.rules_checked = sum(blamed(found.cases[n].prediction) is not None for n in agreeing)
    for n in agreeing & set(still):
        found.cases[n] = replace(found.cases[n], answer=Answer.DISAGREES, why=still[n])


def _look_closer(found: Examined, count: int, lot: Random) -> None:
    ended = [
        n
        for n, case in enumerate(found.cases)
        if case.answer is Answer.AGREES and case.prediction.single and case.heard.outcome != "connected"
    ]
    by_rule = {str(blamed(found.cases[n].prediction)): n for n in lot.sample(ended, len(ended))}
    for n in lot.sample(list(by_rule.values()), min(count, len(by_rule))):
        decided = look_closer(found.cases[n].prediction)
        if decided.wrong:
            decided = look_closer(found.cases[n].prediction)
        found.rules_checked_alone += decided.rule_checked
        found.reasons_checked += decided.reason_checked
        if decided.wrong:
            found.cases[n] = replace(found.cases[n], answer=Answer.DISAGREES, why=decided.wrong)
