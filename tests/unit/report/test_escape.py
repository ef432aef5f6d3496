"""What nodes say is shown, and does nothing, in terminals and in XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.report.escape import clip, escape_terminal, escape_xml, shorten

ANY_TEXT = st.text(st.characters(codec=None))


@given(ANY_TEXT)
def test_terminal_text_holds_only_printable_characters(text: str) -> None:
    """Nothing that a terminal could act upon passes, whatever a node says."""
    assert escape_terminal(text).isprintable()


@given(ANY_TEXT.filter(str.isprintable))
def test_printable_text_is_unchanged(text: str) -> None:
    """Rules and names without control characters are shown as they are."""
    assert escape_terminal(text) == text


@given(ANY_TEXT)
def test_xml_text_reads_back_as_what_a_terminal_shows(text: str) -> None:
    """A parser of the XML gets the visible form back, from text and from an attribute."""
    document = f'<a b="{escape_xml(text)}">{escape_xml(text)}</a>'
    element = ET.fromstring(document)  # noqa: S314 - our own output
    assert (element.text or "") == escape_terminal(text)
    assert element.get("b") == escape_terminal(text)


def test_control_characters_stay_visible_as_evidence() -> None:
    """An escape sequence, an override and a lone surrogate are written out, not removed."""
    assert escape_terminal("\x1b[2J\n\u202ex\ud800\U000e0001") == r"\x1b[2J\n\u202ex\ud800\U000e0001"


@given(ANY_TEXT, st.integers(1, 50))
def test_clipping_says_how_much_was_left_out(text: str, limit: int) -> None:
    """Clipped text keeps its beginning and counts the rest."""
    clipped = clip(text, limit)
    assert clipped.startswith(text[:limit])
    if len(text) > limit:
        assert clipped.endswith(f"… ({len(text) - limit:,} more characters)")
        assert len(shorten(text, limit)) == limit
