"""Chains of rules before and after: what came, what went, what moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.changes import Change, Sign
from skoopctl.changes.order import compare_rules

CHAINS = st.lists(st.sampled_from("abcdefgh"), max_size=12)


def signs(a: str, b: str) -> list[tuple[str, str, int, int]]:
    """Return (sign, rule, number in B or A, number in A of a rule that moved) of two chains of letters."""
    found = compare_rules("iptables", "filter FORWARD", list(a), list(b))
    return [(each.sign.mark, each.text, each.number, each.number_before) for each in found]


def test_a_rule_in_front_moves_no_other() -> None:
    """An inserted rule is one addition: that the others have new numbers is no change of theirs."""
    assert signs("abc", "xabc") == [("+", "x", 1, 0)]


def test_one_rule_that_moved_is_one_move() -> None:
    """A rule that was taken to the end is told once, with both its places."""
    assert signs("abcd", "bcda") == [("~", "a", 4, 1)]


def test_a_second_copy_of_a_rule_is_an_addition() -> None:
    """Rules are a multiset: the same text twice is two rules."""
    assert signs("ab", "aba") == [("+", "a", 3, 0)]
    assert signs("aba", "ab") == [("-", "a", 3, 0)]


@given(CHAINS, CHAINS)
def test_the_difference_leads_from_a_to_b(a: list[str], b: list[str]) -> None:
    """Taking away what was removed and has moved, and putting in what was added and has moved, gives B."""
    found = compare_rules("iptables", "", a, b)
    leaving = {_place_in_a(each) for each in found if each.sign is not Sign.ADDED}
    built = [rule for at, rule in enumerate(a, 1) if at not in leaving]
    for each in sorted(found, key=lambda change: change.number):
        if each.sign is not Sign.REMOVED:
            built.insert(each.number - 1, each.text)
    assert built == b


def _place_in_a(change: Change) -> int:
    return change.number_before or change.number


@given(st.permutations(range(9)))
def test_as_few_rules_move_as_can_be(order: list[int]) -> None:
    """What stays put is a longest part of the chain that keeps its order."""
    moved = len(compare_rules("iptables", "", [str(n) for n in range(9)], [str(n) for n in order]))
    rising = [1] * len(order)
    for at, value in enumerate(order):
        rising[at] += max((rising[before] for before in range(at) if order[before] < value), default=0)
    assert moved == len(order) - max(rising)
