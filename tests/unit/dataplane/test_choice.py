"""Branching: every combination of answers is walked once, with weights that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.dataplane.choice import HOPELESS_RUNS, ChoiceKind, Choices, explore

options = st.lists(st.floats(0.01, 10), min_size=1, max_size=4).map(
    lambda weights: tuple((f"option {n}", weight) for n, weight in enumerate(weights))
)


@given(st.lists(options, max_size=4))
def test_all_combinations_are_walked_and_weights_sum_to_one(
    questions: list[tuple[tuple[str, float], ...]],
) -> None:
    """Independent questions give the product of their options, each combination once, with weight 1 in all."""
    found = explore(lambda c: tuple(c.pick(ChoiceKind.CHANCE, "?", q) for q in questions))
    size = 1
    for question in questions:
        size *= len(question)
    assert len(found.runs) == size
    assert len({run.result for run in found.runs}) == size
    assert sum(run.weight for run in found.runs) == pytest.approx(1.0)
    assert not found.truncated


def test_a_question_may_depend_on_an_answer() -> None:
    """A walk that asks more on one branch than on the other is walked once per leaf."""

    def walk(choices: Choices) -> str:
        if choices.unknown("first"):
            return "yes"
        return f"no {choices.pick(ChoiceKind.CHANCE, 'second', (('a', 3.0), ('b', 1.0)))}"

    found = explore(walk)
    assert [(run.result, run.weight) for run in found.runs] == [
        ("yes", 0.5),
        ("no 0", 0.375),
        ("no 1", 0.125),
    ]


def test_the_same_key_gets_the_same_answer() -> None:
    """A rule that cannot be decided does not match one moment and not the next."""
    found = explore(
        lambda c: (c.unknown("x", key="rule"), c.unknown("x", key="rule"), c.unknown("y", key="other"))
    )
    assert [run.result for run in found.runs] == [
        (True, True, True),
        (True, True, False),
        (False, False, True),
        (False, False, False),
    ]


def test_without_a_key_every_question_is_new() -> None:
    """Two packets through the same statistic rule are two draws."""
    assert len(explore(lambda c: (c.unknown("x"), c.unknown("x"))).runs) == 4


def test_the_limit_is_told() -> None:
    """More combinations than the limit are not walked, and the exploration says so."""
    found = explore(lambda c: [c.unknown("x") for _ in range(5)], limit=8)
    assert (len(found.runs), found.truncated) == (8, True)
    exact = explore(lambda c: [c.unknown("x") for _ in range(3)], limit=8)
    assert (len(exact.runs), exact.truncated) == (8, False)


def test_a_pick_tells_what_was_taken() -> None:
    """Labels, shares and the reason of a pick are kept for people."""
    found = explore(lambda c: c.pick(ChoiceKind.CHANCE, "endpoint", (("a", 1.0), ("b", 3.0))))
    assert [(r.picks[0].label, r.picks[0].weights, r.picks[0].reason) for r in found.runs] == [
        ("a", (0.25, 0.75), "endpoint"),
        ("b", (0.25, 0.75), "endpoint"),
    ]


def test_a_hopeless_search_ends_early() -> None:
    """Where no other run can decide, 64 are enough, and the exploration says that there were more."""
    found = explore(lambda c: [c.unknown("x") for _ in range(9)], hopeless=lambda runs: len(runs) > 100)
    assert (len(found.runs), found.truncated) == (128, True)
    found = explore(lambda c: [c.unknown("x") for _ in range(9)], hopeless=lambda _runs: True)
    assert (len(found.runs), found.truncated) == (HOPELESS_RUNS, True)
    found = explore(lambda c: [c.unknown("x") for _ in range(6)], hopeless=lambda _runs: True)
    assert (len(found.runs), found.truncated) == (HOPELESS_RUNS, False)
