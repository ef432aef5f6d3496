"""Words in as many columns as they take."""

# ruff: noqa: RUF001 - Chinese is written with commas and brackets of its own

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.report.columns import columns, fit, wrap
from skoopctl.report.escape import shorten

MIXED = st.text(st.sampled_from("ab1./ 规则丢弃，。（）“”…"), max_size=80)
ENGLISH = st.text(st.sampled_from("abc1./-: "), max_size=80)


@given(MIXED, st.integers(2, 40))
def test_no_line_is_wider_than_its_room_and_nothing_is_lost(text: str, room: int) -> None:
    """Broken or cut, words stay in their room; broken, they are all there, but for spaces."""
    lines = wrap(text, room)
    assert all(columns(line) <= room for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert columns(fit(text, room)) <= room


@given(ENGLISH, st.integers(1, 40))
def test_english_is_broken_and_cut_as_ever(text: str, room: int) -> None:
    """Where every character takes one column, the rules are those of textwrap and of shorten."""
    assert wrap(text, room) == textwrap.wrap(text, room, break_on_hyphens=False)
    assert fit(text, room) == shorten(text, room)


@pytest.mark.parametrize(
    ("text", "room", "lines"),
    [
        ("规则丢弃包，不告知", 10, ["规则丢弃", "包，不告知"]),
        ("链（表 filter）", 6, ["链（表", "filter", "）"]),
        ("丢弃 VXLAN 包", 11, ["丢弃 VXLAN", "包"]),
    ],
)
def test_marks_stay_with_their_words(text: str, room: int, lines: list[str]) -> None:
    """A line does not begin with a comma, nor end with an opening bracket, where there is room to avoid it."""
    assert wrap(text, room) == lines
