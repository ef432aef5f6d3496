"""The page's addresses."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.checks.diagnose import Question
from skoopctl.errors import UsageError
from skoopctl.web.wanted import PROTOCOLS, Wanted, asked, wanted_of

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40).map(str.strip)
CHOICES = st.none() | st.integers(0, 999_999)


@given(
    st.builds(
        Wanted,
        source=WORDS,
        destination=WORDS,
        port=st.just("") | st.integers(1, 65535).map(str),
        protocol=st.sampled_from(PROTOCOLS),
        branch=CHOICES,
        walk=CHOICES,
        hop=CHOICES,
        search=WORDS,
    )
)
def test_an_address_means_what_it_was_made_of(wanted: Wanted) -> None:
    """What a link holds is what is read from it, whatever the words are."""
    query = dict(parse_qsl(urlsplit(wanted.href()).query, keep_blank_values=True))
    assert wanted_of(query) == wanted


def test_a_question_of_the_command_line_has_its_page() -> None:
    """The page that a command opens asks what the command asked."""
    question = Question("pod/a/b", "svc/c/d", "udp", 53)
    assert asked(question).question() == question


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted("", "b"), "source is missing"),
        (Wanted("a", ""), "destination is missing"),
        (Wanted("a" * 301, "b"), "source is longer than 300 characters"),
        (Wanted("a", "b", "http"), "port 'http' is not a number from 1 to 65535"),
        (Wanted("a", "b", "70000"), "port '70000' is not a number"),
        (Wanted("a", "b", "٣"), "is not a number"),
        (Wanted("a", "b", protocol="quic"), "protocol 'quic' is not known"),
    ],
)
def test_what_is_wrong_with_a_question_is_said_in_one_line(wanted: Wanted, says: str) -> None:
    """Each field that cannot be is named, with what to do."""
    with pytest.raises(UsageError, match=says) as raised:
        wanted.question()
    assert raised.value.hint
    assert "\n" not in str(raised.value)


def test_a_choice_that_is_no_number_is_no_choice() -> None:
    """Somebody who edits an address gets the page that it would be without."""
    wanted = wanted_of({"s": "a", "d": "b", "hop": "-1", "walk": "x", "branch": "9" * 30})
    assert (wanted.hop, wanted.walk, wanted.branch) == (None, None, None)
