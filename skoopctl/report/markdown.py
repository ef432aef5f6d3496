"""Words and raw lines in Markdown: nothing that a node said can become markup (CommonMark 0.31, GitHub's tables)."""

from __future__ import annotations

import re

from markupsafe import Markup

from skoopctl.report.escape import clip, escape_terminal

_ACTIVE = re.compile(r"([\\`*_\[\]<>|#~&!])")
_TICKS = re.compile(r"`+")
LONGEST_LINE = 2000


def escape_markdown(text: str) -> Markup:
    """Return text in which every character that could be markup is escaped (section 2.4).

    To Jinja, `Markup` is text that is escaped already, for whichever language the template writes.
    """
    return Markup(_ACTIVE.sub(r"\\\1", text))  # noqa: S704


def fenced(text: str) -> Markup:
    """Return a fenced block that its content cannot close (section 4.5)."""
    shown = escape_terminal(clip(text, LONGEST_LINE))
    fence = "`" * max(3, _longest_run(shown) + 1)
    return Markup(  # noqa: S704
        f"{fence}\n{shown}\n{fence}"
    )


def in_code(text: str) -> Markup:
    """Return a code span that its content cannot close (section 6.1), fit for a cell of a table."""
    shown = escape_terminal(clip(text, LONGEST_LINE)).replace("|", "\\|")
    if not shown.strip():
        return Markup("")
    ticks = "`" * (_longest_run(shown) + 1)
    space = " " if "`" in shown[:1] + shown[-1:] else ""
    return Markup(  # noqa: S704
        f"{ticks}{space}{shown}{space}{ticks}"
    )


def _longest_run(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)
