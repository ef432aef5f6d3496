"""One worker: process 1 of namespaces of its own, which examines the states that it is told of on stdin.

A line on stdin is a task, a line on stdout its result. The worker, its namespaces and all that it started
die with the supervisor, however that ends (`supervise`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.kernel.compare import Answer, Case
from tests.kernel.examine import examine
from tests.kernel.grammar import draw_state
from tests.kernel.reduce import reduce_state, still_disagrees
from tests.kernel.stage import clear
from tests.kernel.state import State, from_json


def _state_of(task: dict[str, Any]) -> State:
    if "state" in task:
        return from_json(task["state"])
    return draw_state(task["seed"], task["flows"], frozenset(task.get("on", ())), task.get("only", ""))


def _case(number: int, case: Case) -> dict[str, Any]:
    result = case.prediction.result
    row: dict[str, Any] = {"answer": case.answer.value, "flow": number}
    if case.answer is Answer.UNKNOWN and result is not None:
        row["unknowns"] = list(result.unknowns)
    if case.answer is Answer.DISAGREES:
        row["words"] = str(case)
    return row


def run_state(task: dict[str, Any]) -> dict[str, Any]:
    """Examine one state, drawn from a seed or given whole."""
    blind = frozenset(task.get("blind", ()))
    found = examine(_state_of(task), closer=task.get("closer", 2), seed=task.get("seed", ""), blind=blind)
    wrong = any(case.answer is Answer.DISAGREES for case in found.cases)
    return {
        "cases": [_case(n, case) for n, case in enumerate(found.cases)],
        "refused": found.refused,
        "retried": found.retried,
        "rules_checked": found.rules_checked,
        "rules_checked_alone": found.rules_checked_alone,
        "reasons_checked": found.reasons_checked,
        "seen": dict(found.seen),
        "state": found.state.to_json() if wrong or task.get("whole") else "",
    }


def run_reduce(task: dict[str, Any]) -> dict[str, Any]:
    """Cut a state down to what one flow's disagreement needs."""
    state = _state_of(task)
    fails = partial(still_disagrees, blind=frozenset(task.get("blind", ())))
    reduced, words = reduce_state(state, state.flows[task["flow"]], fails)
    return {"state": reduced.to_json(), "words": words}


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"state": run_state, "reduce": run_reduce}


def _reap() -> None:
    """Take in the orphans of programs that have ended: process 1 must."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    """Answer tasks until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints by mistake must not spoil an answer
    for line in sys.stdin:
        task = json.loads(line)
        try:
            result = TASKS[task["kind"]](task)
        except Exception:  # noqa: BLE001 - the supervisor counts it and goes on
            result = {"error": traceback.format_exc(limit=6)}
        answers.write(json.dumps(result) + "\n")
        answers.flush()
        clear()
        _reap()


if __name__ == "__main__":
    main()
