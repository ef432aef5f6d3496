"""The fixed words: complete in every language, and in templates nowhere else."""

from __future__ import annotations

import re
import string
from html.parser import HTMLParser

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, Verdict
from skoopctl.report.assets import reports_folder
from skoopctl.report.messages import LANGUAGES, messages
from skoopctl.report.rendering import TEMPLATES
from skoopctl.report.verdict_in import verdict_in
from tests.unit.report import samples

FOLDER = reports_folder() / "templates"
OURS = (*TEMPLATES, "report_parts.html.j2", "report_parts.md.j2")
NAMES = {"skoopctl"}
"""Words that are the same in every language."""


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _fixed(lang: str) -> dict[str, str]:
    beside = ("verdict_said.", "fate.", "seen.")
    return {key: text for key, text in messages(lang).texts.items() if not key.startswith(beside)}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_the_same_words(lang: str) -> None:
    """Both tables have the same keys, and the same names are filled in."""
    english, other = _fixed("en"), _fixed(lang)
    assert other.keys() == english.keys()
    assert {key: _fields(text) for key, text in other.items()} == {
        key: _fields(text) for key, text in english.items()
    }
    assert all(text.strip() for text in other.values())


@pytest.mark.parametrize("name", OURS)
def test_no_template_holds_words_of_its_own(name: str) -> None:
    """What stands between the templates' expressions is markup and signs; words come from the tables."""
    source = (FOLDER / name).read_text(encoding="utf-8")
    source = re.sub(r"\{%.*?%\}|\{#.*?#\}|\{\{.*?\}\}", " ", source, flags=re.DOTALL)
    if ".html." in name:
        words: list[str] = []
        parser = HTMLParser()
        parser.handle_data = words.append  # type: ignore[method-assign]
        parser.feed(source)
        source = " ".join(words)
    assert set(re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", source)) <= NAMES


@pytest.mark.parametrize("name", OURS)
def test_every_word_that_a_template_asks_for_is_there(name: str) -> None:
    """A key that no table has would be an error on somebody's desk."""
    texts = messages().texts
    source = (FOLDER / name).read_text(encoding="utf-8")
    asked = re.findall(r'\bt\("([^"]+)"', source)
    counted = re.findall(r'\bn\("([^"]+)"', source)
    assert [key for key in asked if key not in texts] == []
    assert [key for key in counted if f"{key}.one" not in texts or f"{key}.other" not in texts] == []


@pytest.mark.parametrize("enumeration", [Disposition, Outcome, Verdict])
def test_every_value_of_a_closed_set_has_its_word(enumeration: type) -> None:
    """Adding a disposition, an outcome or a verdict means adding its word."""
    table = enumeration.__name__.lower()
    for lang in LANGUAGES:
        assert {f"{table}.{value.value}" for value in enumeration} <= messages(lang).texts.keys()
    fates = {f"fate.{value.value}" for value in Disposition} | {f"seen.{value.value}" for value in Outcome}
    assert fates <= messages("zh").texts.keys()


@pytest.mark.parametrize("name", samples.ALL)
def test_every_verdict_is_a_sentence_in_chinese(name: str) -> None:
    """The verdict's sentence is in the language of the report, whatever the verdict is."""
    sentence = verdict_in(samples.ALL[name](), messages("zh"))
    assert re.search(r"[\u4e00-\u9fff]{4}", sentence)
    assert sentence.endswith("。")
    assert not re.search(
        r"\b(the|The|of|is|by)\b", re.sub(r"[(\uff08:\uff1a][^\u3002]*|rule .*", "", sentence)
    )
