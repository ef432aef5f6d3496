"""From branches to one verdict: chance makes MIXED, doubt makes UNKNOWN, and what did not matter is left out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.dataplane.choice import ChoiceKind, Choices, explore
from skoopctl.dataplane.flow import Transaction
from skoopctl.dataplane.trace import Disposition, Outcome, Step, StepKind, Verdict, Walk
from skoopctl.dataplane.verdict import branches_of, cannot_decide, conclude

WORKS = "works"
DROP = "drop"
REFUSE = "refuse"
DOUBT = "doubt"
EXIT = "exit"
EXIT_DOUBT = "exit?"
Tree = str | tuple[str, "Tree", "Tree"]


def transaction(word: str) -> Transaction:
    """Return what one run comes to."""
    disposition, outcome = {
        WORKS: (Disposition.DELIVERED, Outcome.CONNECTED),
        DROP: (Disposition.DROPPED, Outcome.TIMEOUT),
        REFUSE: (Disposition.REFUSED, Outcome.REFUSED),
        DOUBT: (Disposition.UNKNOWN, Outcome.UNKNOWN),
        EXIT: (Disposition.EXITS_CLUSTER, Outcome.UNKNOWN),
        EXIT_DOUBT: (Disposition.EXITS_CLUSTER, Outcome.UNKNOWN),
    }[word]
    doubt = "a route back?" if word == EXIT_DOUBT else ""
    step = Step(StepKind.END, "n1", "host", 1, decision=word, ends=disposition)
    walk = Walk("SYN", (step,), disposition)
    return Transaction((walk,), None, disposition, outcome, f"because {word}", doubt, None, "", "", ())


def walker(tree: Tree, choices: Choices) -> Transaction:
    """Follow a tree of ``("chance" or "doubt", left, right)``."""
    while not isinstance(tree, str):
        kind = ChoiceKind.CHANCE if tree[0] == "chance" else ChoiceKind.UNKNOWN
        picked = choices.pick(kind, f"{tree[0]} question", (("left", 1.0), ("right", 1.0)))
        tree = tree[1 + picked]
    return transaction(tree)


@pytest.mark.parametrize(
    ("tree", "verdict", "reasons"),
    [
        (WORKS, Verdict.PASS, ()),
        (DROP, Verdict.FAIL, ()),
        (DOUBT, Verdict.UNKNOWN, ("because doubt",)),
        (EXIT, Verdict.PASS, ()),
        (EXIT_DOUBT, Verdict.UNKNOWN, ("a route back?",)),
        (("chance", WORKS, WORKS), Verdict.PASS, ()),
        (("chance", WORKS, DROP), Verdict.MIXED, ()),
        (("chance", DROP, REFUSE), Verdict.FAIL, ()),
        (("doubt", WORKS, WORKS), Verdict.PASS, ()),
        (("doubt", WORKS, DROP), Verdict.UNKNOWN, ("doubt question",)),
        (("doubt", DROP, DROP), Verdict.FAIL, ()),
        (("doubt", DROP, REFUSE), Verdict.FAIL, ("doubt question",)),
        (("doubt", DROP, DOUBT), Verdict.UNKNOWN, ("because doubt", "doubt question")),
        (("chance", ("doubt", WORKS, DROP), WORKS), Verdict.UNKNOWN, ("doubt question",)),
        (("chance", ("doubt", WORKS, WORKS), DROP), Verdict.MIXED, ()),
        (("doubt", ("chance", WORKS, DROP), ("chance", WORKS, DROP)), Verdict.MIXED, ()),
        (("chance", ("chance", WORKS, DROP), WORKS), Verdict.MIXED, ()),
    ],
)
def test_branches_come_to_one_verdict(tree: Tree, verdict: Verdict, reasons: tuple[str, ...]) -> None:
    """Answers that end alike did not matter; chance that differs is MIXED, doubt that differs UNKNOWN."""
    conclusion = conclude(explore(lambda choices: walker(tree, choices)))
    assert (conclusion.verdict, conclusion.reasons) == (verdict, reasons)


def test_an_end_that_all_share_is_the_flows() -> None:
    """Disposition and outcome are told when every branch has the same."""
    same = conclude(explore(lambda c: walker(("chance", DROP, DROP), c)))
    other = conclude(explore(lambda c: walker(("chance", DROP, REFUSE), c)))
    assert same.end == (Disposition.DROPPED, Outcome.TIMEOUT)
    assert other.end is None


def test_too_many_ways_are_unknown() -> None:
    """A walk that was cut short is UNKNOWN and says so, even if all that was seen passes."""

    def once(choices: Choices) -> Transaction:
        for _ in range(4):
            choices.unknown("x")
        return transaction(WORKS)

    conclusion = conclude(explore(once, limit=4))
    assert conclusion.verdict is Verdict.UNKNOWN
    assert conclusion.reasons[-1] == "more than 4 ways through the rules: not all were walked"


def test_branches_that_differ_in_nothing_are_one() -> None:
    """Runs that differ only in a doubt without effect are one branch with their weights added."""
    branches = branches_of(explore(lambda c: walker(("doubt", WORKS, ("chance", WORKS, DROP)), c)))
    assert [(b.weight, b.outcome, b.choices) for b in branches] == [
        (0.5, Outcome.CONNECTED, ()),
        (0.25, Outcome.CONNECTED, ("left",)),
        (0.25, Outcome.TIMEOUT, ("right",)),
    ]
    merged = branches_of(explore(lambda c: walker(("doubt", WORKS, WORKS), c)))
    assert [(b.weight, b.unknowns) for b in merged] == [(1.0, ("doubt question",))]


trees = st.recursive(
    st.sampled_from([WORKS, DROP, REFUSE, DOUBT, EXIT]),
    lambda below: st.tuples(st.sampled_from(["chance", "doubt"]), below, below),
    max_leaves=16,
)


@given(trees)
@settings(max_examples=300)
def test_what_cannot_be_decided_never_is(tree: Tree) -> None:
    """When the first ways say that no other can decide, all ways come to UNKNOWN; all of them know it."""
    found = explore(lambda choices: walker(tree, choices))
    verdict = conclude(found).verdict
    early = [cannot_decide(found.runs[:count]) for count in range(1, len(found.runs) + 1)]
    assert not any(early) or verdict is Verdict.UNKNOWN
    assert early == sorted(early)


@pytest.mark.parametrize(
    ("tree", "after"),
    [
        (("doubt", ("doubt", WORKS, WORKS), ("doubt", DROP, WORKS)), 3),
        (("doubt", ("chance", DROP, WORKS), ("chance", WORKS, DROP)), None),
        (("chance", ("doubt", WORKS, DROP), WORKS), 2),
        (("doubt", DOUBT, WORKS), 1),
        (("doubt", DROP, REFUSE), None),
    ],
)
def test_the_search_ends_when_nothing_can_decide(tree: Tree, after: int | None) -> None:
    """It is known after the first way that differs, and not where the ways may still be of one mind."""
    runs = explore(lambda choices: walker(tree, choices)).runs
    known = [count for count in range(1, len(runs) + 1) if cannot_decide(runs[:count])]
    assert (known[0] if known else None) == after


def test_ways_that_were_not_walked_are_told() -> None:
    """A flow that cannot be decided says so after 64 ways of 512, and that there were more."""

    def walk(choices: Choices) -> Transaction:
        answers = [choices.unknown(f"rule {n}") for n in range(9)]
        return transaction(WORKS if all(answers) else DROP)

    found = conclude(explore(walk, hopeless=cannot_decide))
    assert found.verdict is Verdict.UNKNOWN
    assert found.reasons[-1] == "more than 64 ways through the rules: not all were walked"
