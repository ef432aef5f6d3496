"""Every match of tier 1 decides, packet by packet of real kinds of flows, what its pair of files says.

`tests/kernel/test_matches_live.py` holds the same files against the counters of the running kernel.
"""

from __future__ import annotations

import re

import pytest

from skoopctl.dataplane.rules.matches.registry import known_modules, undecided_modules
from tests.support.crossroads import CASES, case, case_names, expected_of, model, rules_of


@pytest.mark.parametrize("name", case_names())
def test_rules_match_the_packets_that_their_file_says(name: str) -> None:
    """For each flow, every rule matches the number of packets in the file, or is undecided there."""
    made = case(name)
    assert expected_of(made) == made.expected


def test_every_case_has_rules_and_expectations_that_fit() -> None:
    """A number or a question mark for each rule, and every rule of every case could be read."""
    for name in case_names():
        made = case(name)
        rules = rules_of(model(made), made.family)
        assert len(rules) == len(made.lines), name
        assert not [rule.text for rule in rules if rule.problem]
        assert all(len(words.split()) == len(rules) for words in made.expected.values()), name


def test_every_module_that_the_walk_decides_has_a_case() -> None:
    """A module that the walk claims to know appears in some case file."""
    text = "\n".join(path.read_text() for path in CASES.glob("*.txt"))
    told = set(re.findall(r"-m ([\w]+)", text))
    assert {name for name in known_modules() if name} - told - {"udplite"} == set()
    assert not known_modules() & undecided_modules()
