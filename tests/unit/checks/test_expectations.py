"""Paths of a plan: what the client would see is compared with what is expected, and doubt is no answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from skoopctl.checks.diagnose import Question
from skoopctl.checks.expectations import Expectation, Expected, State, judge
from skoopctl.checks.finding import Severity
from tests.support.broken import drop_vxlan, nothing, snapshot_of, unknown_match
from tests.support.worlds import Cluster, cluster, filter_table

A_TO_B = Question("10.244.1.10", "10.244.2.10", "tcp", 80)
CLOSED = Question("10.244.1.10", "10.244.2.10", "tcp", 81)


def half_of_it(made: Cluster) -> None:
    """Drop half of all connections."""
    made.n2.iptables(filter_table("-A FORWARD -p tcp -m statistic --mode random --probability 0.5 -j DROP"))


@pytest.mark.parametrize(
    ("damage", "question", "expected", "state"),
    [
        (nothing, A_TO_B, Expected.REACHABLE, State.MET),
        (nothing, A_TO_B, Expected.REFUSED, State.UNMET),
        (nothing, A_TO_B, Expected.BLOCKED, State.UNMET),
        (nothing, CLOSED, Expected.REACHABLE, State.UNMET),
        (nothing, CLOSED, Expected.REFUSED, State.MET),
        (nothing, CLOSED, Expected.BLOCKED, State.MET),
        (drop_vxlan, A_TO_B, Expected.REACHABLE, State.UNMET),
        (drop_vxlan, A_TO_B, Expected.REFUSED, State.UNMET),
        (drop_vxlan, A_TO_B, Expected.BLOCKED, State.MET),
        (half_of_it, A_TO_B, Expected.REACHABLE, State.UNMET),
        (half_of_it, A_TO_B, Expected.BLOCKED, State.UNMET),
        (unknown_match, A_TO_B, Expected.REACHABLE, State.UNDECIDED),
    ],
)
def test_what_is_found_is_compared_with_what_is_expected(
    damage: Callable[[Cluster], None], question: Question, expected: Expected, state: State
) -> None:
    """Each outcome against each expectation; half of the connections are not reachable and not blocked."""
    made = cluster()
    damage(made)
    judged = judge(Expectation("the path", question, expected), snapshot_of(made))
    assert judged.state is state
    assert bool(judged.findings) is (state is not State.MET)


def test_a_path_that_fails_names_its_cause_and_the_fix() -> None:
    """The finding has the plan's name for the path, the rule's text, and the fix that was tried."""
    made = cluster()
    drop_vxlan(made)
    expectation = Expectation("web reaches db", A_TO_B, severity=Severity.FATAL)
    (finding,) = judge(expectation, snapshot_of(made)).findings
    assert finding.id == "path-unexpected"
    assert finding.severity is Severity.FATAL
    assert finding.summary.startswith("web reaches db: expected reachable, found timeout: Rule 1 of INPUT")
    assert "DROP" in finding.evidence[-1].text
    assert finding.fix is not None
    assert finding.fix.checked


def test_an_open_path_shows_what_lets_it_through_and_has_no_fix() -> None:
    """A path that should be blocked: the evidence is what let it through; closing it is the owner's."""
    judged = judge(Expectation("db is closed", A_TO_B, Expected.BLOCKED), snapshot_of(cluster()))
    (finding,) = judged.findings
    assert finding.summary == "db is closed: expected blocked, found connected"
    assert finding.evidence
    assert finding.fix is None


def test_what_is_unknown_does_not_matter_where_all_ways_end_as_expected() -> None:
    """Blocked behind a rule that nobody can read is blocked."""
    made = cluster()
    unknown_match(made)
    made.n2.iptables(filter_table("-A FORWARD -j DROP"))
    drop_vxlan(made)
    judged = judge(Expectation("closed", A_TO_B, Expected.BLOCKED), snapshot_of(made))
    assert judged.state is State.MET


def test_an_end_that_is_not_there_is_neither_met_nor_unmet() -> None:
    """A pod of the plan that was not collected is said so, as a warning."""
    judged = judge(Expectation("gone", Question("pod/demo/gone", "10.244.2.10")), snapshot_of(cluster()))
    assert judged.state is State.UNKNOWN_END
    assert judged.diagnosis is None
    assert [(f.id, f.severity) for f in judged.findings] == [("path-undecided", Severity.WARNING)]
    assert "there is no pod demo/gone" in judged.said
