"""What a person reads on a page or in a picture: its words, and the names that a screen reader or a field says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.report.messages import messages
from tests.unit.report.test_told_in_chinese import PROSE

SAID = (
    "aria-label",
    "placeholder",
    "title",
    "alt",
    "data-copy",
    "data-copied",
    "data-selected",
    "data-answered",
)
AS_READ = {"code", "style", "script"}
"""Elements that hold what a node or a person wrote, or nothing to read."""
NAMES = {"host"}
"""Words that are names as well: of a node's own namespace."""
NAMED = re.compile(r"[!-~]*[-/.\d_][!-~]*")
"""What has a dash, a slash, a dot or a digit in it is the name of something: ``tools/web-a``."""
NEVER_CLOSED = {"meta", "link", "input", "br", "rect", "path", "circle"}


class Words(HTMLParser):
    """Every text and every said attribute of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the element's attributes say."""
        if tag not in NEVER_CLOSED:
            self._open.append(tag)
        self.texts += [value for name, value in attrs if name in SAID and value]

    def handle_startendtag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the attributes of an element without content say."""
        self.texts += [value for name, value in attrs if name in SAID and value]

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag in self._open:
            del self._open[len(self._open) - 1 - self._open[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        if data.strip() and not AS_READ & set(self._open):
            self.texts.append(" ".join(data.split()))


def words_of(document: str) -> list[str]:
    """Return every text and every said attribute of a page or a picture."""
    parser = Words()
    parser.feed(document)
    return parser.texts


def ours() -> set[str]:
    """Return the words of ours that are others in Chinese, where they stand alone: labels, headings, buttons."""
    english, chinese = messages("en").texts, messages("zh").texts
    told = {text for key, text in english.items() if chinese[key] != text and "{" not in text}
    return told - NAMES


def raw_lines(diagnosis: Diagnosis) -> set[str]:
    """Return the lines of a diagnosis that were read on nodes, with where they stand."""
    steps = (step for branch in diagnosis.path.branches for walk in branch.walks for step in walk.steps)
    return {f"{item.location}: {item.text[:300]}"[:400] for step in steps for item in step.evidence}


def english_in(document: str, kept: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Return the texts of a document that hold English of ours; ``kept`` are lines that stay as they were read."""
    found, words = [], ours()
    for text in words_of(document):
        rest = " | ".join(part for part in text.split(" | ") if part not in kept)
        if rest in words or PROSE.search(NAMED.sub(" ", rest)):
            found.append(text)
    return found
