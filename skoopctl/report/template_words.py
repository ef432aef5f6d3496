"""The fixed words of a language as what a template calls: ``t``, ``n`` and ``word``. Reports and pages share them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from skoopctl.report.escape import clip, escape_terminal
from skoopctl.report.messages import Messages
from skoopctl.report.page import LONGEST

Fill = Callable[[str, Mapping[str, object]], str]
"""Fills names into words and escapes them for one form of document."""


def functions(words: Messages, fill: Fill) -> dict[str, Any]:
    """Return ``t(KEY, name=value …)``, ``n(KEY, NUMBER, name=value …)`` and ``word(TABLE, VALUE)``."""

    def t(key: str, **names: object) -> str:
        return fill(_known(words, key), names)

    def n(key: str, number: int, **names: object) -> str:
        told = _known(words, f"{key}.{'one' if number == 1 else 'other'}")
        return fill(told, {"n": f"{number:,}", **names})

    def word(table: str, value: str) -> str:
        return words.word(table, value)

    return {"t": t, "n": n, "word": word}


def in_html(text: str, names: Mapping[str, object]) -> str:
    """Fill names into words for HTML: what is not markup already is made safe to read, and escaped."""
    return Markup(text).format(  # noqa: S704 - the words are ours; what is filled in is escaped
        **{name: value if isinstance(value, Markup) else clean(value) for name, value in names.items()}
    )


def clean(value: object) -> str:
    """Make a value safe to read: no control characters, and not longer than anybody reads."""
    return escape_terminal(clip(str(value), LONGEST))


def _known(words: Messages, key: str) -> str:
    try:
        return words.texts[key]
    except KeyError:
        raise jinja2.UndefinedError(f"there are no words {key!r} in reports/messages") from None
