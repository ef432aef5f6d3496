"""The parts of the differential harness that need no kernel: states as data, reduction, counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.kernel.grammar import NOT_YET, draw_state
from tests.kernel.grammar.draw import THEMES
from tests.kernel.grammar.iptables import MATCHES
from tests.kernel.grammar.nft import EXPRESSIONS
from tests.kernel.reduce import reduce_state
from tests.kernel.stage import _restore_text
from tests.kernel.state import Flow, Line, Shape, State, Tool, from_json
from tests.kernel.tally import Tally, pattern_of

FLOW = Flow("c", "10.244.2.10", "tcp", 8080)


def lines(*texts: str) -> tuple[Line, ...]:
    """Return iptables lines of node a."""
    return tuple(Line("a", Tool.IPTABLES_NFT, text) for text in texts)


@pytest.mark.parametrize("number", range(40))
def test_a_state_survives_its_file(number: int) -> None:
    """A state that is written and read again is the same, and the same seed draws it again."""
    state = draw_state(f"unit:{number}", 20)
    assert from_json(state.to_json()) == state == draw_state(f"unit:{number}", 20)
    assert len(set(state.flows)) == 20


def test_rows_that_are_switched_off_are_not_drawn() -> None:
    """What stands in the table of capabilities occurs in no state until it is switched on."""
    drawn = [line.tool for n in range(300) for line in draw_state(f"off:{n}", 1).lines]
    assert (Tool.IPSET in drawn) == ("ipset" not in NOT_YET)
    wanted = [draw_state(f"on:{n}", 1, frozenset(NOT_YET), only="ipset") for n in range(20)]
    assert all(line for state in wanted for line in state.lines if line.tool is Tool.IPSET)
    assert any(line.tool is Tool.IPSET for state in wanted for line in state.lines)


def test_every_theme_can_be_drawn() -> None:
    """Each theme, drawn alone often enough, gives lines: no row of the grammar is dead."""
    for row in THEMES:
        states = [draw_state(f"theme:{n}", 1, frozenset(NOT_YET), only=row.name) for n in range(30)]
        assert any(state.lines for state in states), row.name
    assert len({row.name for row in (*THEMES, *MATCHES, *EXPRESSIONS)}) == len(THEMES) + len(MATCHES) + len(
        EXPRESSIONS
    )


def test_reduction_leaves_only_what_is_needed() -> None:
    """A state of 40 lines is cut to the two that the disagreement needs, in few builds."""
    state = State(Shape(), lines(*(f"filter -A FORWARD -s 10.0.0.{n} -j DROP" for n in range(40))), (FLOW,))
    needed = {state.lines[7], state.lines[31]}
    builds = 0

    def fails(candidate: State, flow: Flow) -> str:
        nonlocal builds
        builds += 1
        assert flow == FLOW
        return "it disagrees" if needed <= set(candidate.lines) else ""

    reduced, words = reduce_state(state, FLOW, fails)
    assert (set(reduced.lines), words) == (needed, "it disagrees")
    assert builds <= 62
    assert reduce_state(replace(state, lines=()), FLOW, fails)[1] == ""


def test_a_table_is_restored_with_its_chains_and_policies() -> None:
    """The chains that rules name are declared, a policy is the built-in chain's, and nothing else is."""
    text = _restore_text(
        "filter", list(lines("filter -P FORWARD DROP", "filter -A INPUT -g own-1", "filter -A own-1 -j DROP"))
    )
    assert text.splitlines() == [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":FORWARD DROP [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":own-1 - [0:0]",
        "-A INPUT -g own-1",
        "-A own-1 -j DROP",
        "COMMIT",
    ]


def result(*answers: str, reasons: tuple[str, ...] = ("match -m set is not modelled",)) -> dict[str, Any]:
    """Return a worker's answer about one state."""
    cases = [
        {"answer": answer, "flow": n, "unknowns": list(reasons), "words": f"{FLOW}: real timeout"}
        for n, answer in enumerate(answers)
    ]
    counts = dict.fromkeys(("retried", "rules_checked", "rules_checked_alone", "reasons_checked"), 1)
    return {"cases": cases, "refused": [], "seen": {"step route": 1}, "state": "{}", **counts}


@pytest.mark.parametrize(
    ("answers", "reasons", "met"),
    [
        (["agrees"] * 1000, ("why",), True),
        (["agrees"] * 999 + ["disagrees"], ("why",), True),
        (["agrees"] * 998 + ["disagrees"] * 2, ("why",), False),
        (["agrees"] * 960 + ["unknown"] * 40, ("why",), True),
        (["agrees"] * 950 + ["unknown"] * 50, ("why",), False),
        (["agrees"] * 999 + ["unknown"], (), False),
    ],
)
def test_the_target(answers: list[str], reasons: tuple[str, ...], met: bool) -> None:
    """99.9 % of decided cases must agree, fewer than 5 % be unknown, and each of those for a reason."""
    tally = Tally()
    tally.add(result(*answers, reasons=reasons), "1:0")
    assert tally.met is met
    assert tally.figures()["cases"] == 1000


def test_an_error_of_the_harness_fails_the_run() -> None:
    """A state that could not be built is no agreement."""
    tally = Tally()
    tally.add(result(*["agrees"] * 10), "1:0")
    tally.add({"error": "the skeleton was refused"}, "1:1")
    assert not tally.met
    assert "the skeleton was refused" in tally.table()


def test_alike_reasons_count_together() -> None:
    """Names, numbers and places are taken out of a reason, so that it is one line of the table."""
    one = pattern_of("filter FORWARD rule 3 on fuzz: match -m set is not modelled")
    assert one == pattern_of("mangle INPUT rule 12 on fuzz: match -m set is not modelled")
    assert one == "match -m set is not modelled"
