"""Write docs/findings.md from the table of findings; with ``--check``, only say whether it is fresh.

Run it with ``make docs``.
"""

from __future__ import annotations

from pathlib import Path

from docs.pages import write_or_check
from skoopctl.checks.catalogue import DOCS, Doc

PAGE = Path(__file__).with_name("findings.md")

_OPENING = """\
# Findings

<!-- Written by `make docs` from skoopctl/checks/catalogue/. Edit there. -->

A finding says what is wrong, where, on what evidence, what the kernel does with it, and what would fix it.
Its id never changes, so scripts may rely on it. `skoopctl explain ID` prints the same text.

The finding that decides the flow in question is marked as its cause and comes first.
"""


def page() -> str:
    """Return the page: a table of all findings, then one section each."""
    table = ["| id | severity | what |", "|---|---|---|"]
    table += [f"| [`{doc.id}`](#{doc.id}) | {doc.severity.word} | {doc.title} |" for doc in DOCS.values()]
    return "\n".join([_OPENING, *table, "", *map(_section, DOCS.values())])


def _section(doc: Doc) -> str:
    """Return one finding's section."""
    lines = [
        f"## {doc.id}",
        "",
        f"**{doc.title}** ({doc.severity.word})",
        "",
        doc.why,
        "",
        f"*Fix.* {doc.fix}",
        "",
    ]
    if doc.look:
        lines += ["Look, without changing anything:", "", "```sh", *doc.look, "```", ""]
    return "\n".join(lines)


def main() -> None:
    """Write the page, or check it."""
    write_or_check({PAGE: page()})


if __name__ == "__main__":
    main()
