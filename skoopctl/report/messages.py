"""The fixed words of reports and pages, by language: tables in ``reports/messages``, which people can read and mend.

``en.toml`` and ``zh.toml`` have the same keys, and so have ``page-en.toml`` and ``page-zh.toml``, which hold what only
the pages of ``serve`` say. What the code says in English has its Chinese beside them: verdicts in
``verdict-zh.toml``, the catalogue of findings by id in ``findings-zh.toml``, inspections by name in
``inspections-zh.toml``, sentences that hold names as patterns in ``sentences-zh.toml`` and, of a packet's hops, in
``hops-zh.toml``; why a walk stops or is not sure in ``walk-zh.toml`` and ``undecided-zh.toml``; what metrics and
events say in ``metrics-zh.toml`` and ``events-zh.toml``, what could not be seen in ``coverage-zh.toml``, and what is
wrong with a question that is asked on a page in ``questions-zh.toml``. What is in none stays English: nothing is left
out because nobody has translated it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from skoopctl.report.assets import reports_folder

LANGUAGES = ("en", "zh")
BY_SENTENCE = ("sentences", "undecided", "walk", "hops", "metrics", "events", "coverage", "questions")
"""Tables of sentences: ``sentence`` holds patterns, ``phrase`` whole sentences, ``says`` what is told of a number."""
LONGEST_MATCHED = 1000
"""Characters of a sentence that is compared with patterns: what is longer holds names that nobody means well with."""
MOST_NESTED = 24
"""So deep may sentences stand within a sentence."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """An English sentence with names in it, and how it is said in another language."""

    english: re.Pattern[str]
    said: str


@dataclass(frozen=True, slots=True)
class Messages:
    """One language. ``texts`` are by dotted key; ``findings`` by a finding's id, with ``title``, ``why``, ``fix``.

    ``phrases`` are sentences without names, by their English; ``patterns`` those that hold names.
    """

    lang: str
    texts: Mapping[str, str]
    findings: Mapping[str, Mapping[str, str]]
    phrases: Mapping[str, str]
    patterns: tuple[Pattern, ...]

    def text(self, key: str, **names: object) -> str:
        """Return the words of a key with names filled in. A key that is not there is a `KeyError`: a bug."""
        return self.texts[key].format(**names)

    def counted(self, key: str, number: int, **names: object) -> str:
        """Return the words for a number of things: ``KEY.one`` or ``KEY.other``."""
        return self.text(f"{key}.{'one' if number == 1 else 'other'}", n=f"{number:,}", **names)

    def word(self, table: str, value: str) -> str:
        """Return the word for a value of a closed set; a value that the table lacks, as it is."""
        return self.texts.get(f"{table}.{value}", value)

    def title(self, identifier: str, english: str) -> str:
        """Return a finding's title."""
        return self.findings.get(identifier, {}).get("title", english)

    def documented(self, identifier: str, part: str, english: str, text: str) -> str:
        """Return ``why`` or ``fix`` of a finding: translated where it is the catalogue's own words."""
        if text != english:
            return self.sentence(text)
        return self.findings.get(identifier, {}).get(part, text)

    def sentence(self, english: str) -> str:
        """Return a sentence in this language where a table knows it, else as it is."""
        return self._told(english, MOST_NESTED)

    def _told(self, english: str, nested: int) -> str:
        if english in self.phrases:
            return self.phrases[english]
        if len(english) > LONGEST_MATCHED or not nested:
            return english
        for pattern in self.patterns:
            found = pattern.english.fullmatch(english)
            if found is not None:
                names = {
                    name: self._named(name, value or "", nested - 1)
                    for name, value in found.groupdict().items()
                }
                return pattern.said.format(**names)
        return english

    def _named(self, name: str, value: str, nested: int) -> str:
        """Return what stands for a name in a sentence: a sentence, a name, or the word of a table (``outcome_word``).

        A sentence has a space; what has none is the name of something, and stays as it is.
        """
        table = name.removesuffix("_word")
        if table != name:
            return self.word(table, value)
        return self._told(value, nested) if " " in value else value


@lru_cache(maxsize=len(LANGUAGES))
def messages(lang: str = "en") -> Messages:
    """Return the tables of a language of `LANGUAGES`."""
    folder = reports_folder() / "messages"
    beside = (f"{lang}.toml", f"page-{lang}.toml", f"verdict-{lang}.toml", f"inspections-{lang}.toml")
    tables = [_read(folder / f"{name}-{lang}.toml") for name in BY_SENTENCE]
    return Messages(
        lang,
        flat({key: table for name in beside for key, table in _read(folder / name).items()}),
        _read(folder / f"findings-{lang}.toml"),
        {english: said for table in tables for english, said in table.get("phrase", {}).items()},
        tuple(pattern for table in tables for pattern in _patterns(table)),
    )


def _patterns(table: Mapping[str, Any]) -> Iterator[Pattern]:
    """Yield a table's patterns. What is told of a number has the number before it, and may have a sum in it."""
    for english, said in table.get("says", {}).items():
        words = re.escape(english).replace(re.escape("{of}"), r"(?P<of>[\d,]+)")
        yield Pattern(re.compile(rf"(?P<n>[\d,]+) {words}"), said)
    for row in table.get("sentence", []):
        yield Pattern(re.compile(row["english"], re.DOTALL), row["said"])


def flat(table: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return a table of tables with dotted keys."""
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = str(value)
    return found


def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
