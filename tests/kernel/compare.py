"""Does the prediction hold? The one place where what was heard and what was predicted meet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from skoopctl.dataplane.trace import Branch, Disposition, Outcome, Verdict
from tests.kernel.predict import Model, Prediction
from tests.kernel.traffic import Heard


class Answer(StrEnum):
    """How one case came out."""

    AGREES = "agrees"
    UNKNOWN = "unknown"
    DISAGREES = "disagrees"


@dataclass(frozen=True, slots=True)
class Case:
    """One flow in one state: what was predicted, what was heard, and how the two compare."""

    prediction: Prediction
    heard: Heard
    answer: Answer
    why: str = ""

    def __str__(self) -> str:
        return f"{self.prediction.flow}: real {self.heard}, predicted {self.prediction} {self.why}".strip()


def judge(model: Model, prediction: Prediction, heard: Heard) -> Case:
    """Compare. An unknown verdict must have the real outcome among its branches, or it is wrong too."""
    result = prediction.result
    if result is None:
        return Case(prediction, heard, Answer.DISAGREES, "the walk raised an exception")
    if result.verdict is not Verdict.UNKNOWN and any(b.outcome is Outcome.UNKNOWN for b in result.branches):
        return Case(prediction, heard, Answer.DISAGREES, f"{result.verdict.value} with an undecided branch")
    fits = any(_fits(model, branch, heard) for branch in result.branches)
    if result.verdict is Verdict.UNKNOWN:
        cut_short = any(b.outcome is Outcome.UNKNOWN for b in result.branches)
        return Case(prediction, heard, Answer.UNKNOWN if fits or cut_short else Answer.DISAGREES)
    return Case(prediction, heard, Answer.AGREES if fits else Answer.DISAGREES)


def _fits(model: Model, branch: Branch, heard: Heard) -> bool:
    """Tell whether a branch is what was heard: outcome, who answered, and the source that it saw."""
    if branch.outcome.value != heard.outcome:
        # connect() returns at the SYN-ACK; the walk goes on and says that nothing arrives after it.
        return (
            heard.outcome == "connected"
            and not heard.who
            and branch.outcome is Outcome.TIMEOUT
            and _fails_late(branch)
        )
    if branch.errno and heard.errno and branch.errno != heard.errno:
        return False
    if not heard.who:
        return True
    return model.responder(branch) == heard.who and branch.seen_source == heard.seen


def _fails_late(branch: Branch) -> bool:
    """Tell whether a branch fails only after the handshake."""
    late = {"ACK", "data"}
    return any(w.label in late and w.disposition is not Disposition.DELIVERED for w in branch.walks)


def depends_on_time(case: Case) -> bool:
    """Tell whether the kernel may answer otherwise a moment later.

    ip_error sends few ICMP errors at once, and a packet that arrives in one batch behind another one for the
    same address is not checked by rp_filter (ip_route_use_hint).
    """
    branches = case.prediction.branches
    if case.heard.outcome == "timeout":
        return any(b.outcome is Outcome.UNREACHABLE for b in branches)
    return any(w.disposition is Disposition.RP_FILTER for b in branches for w in b.walks)
