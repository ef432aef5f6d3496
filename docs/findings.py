"""Write docs/findings.md from the table of findings; with ``--check``, only say whether it is fresh.

Run it with ``make docs``.
"""

from __future__ import annotations

from pathlib import Path

from docs.pages import write_or_check
from skoopctl.checks.catalogue import DOCS, Doc
from skoopctl.events.thresholds import EVENT_THRESHOLDS, EventThreshold

PAGE = Path(__file__).with_name("findings.md")

_OPENING = """\
# Findings

<!-- Written by `make docs` from skoopctl/checks/catalogue/. Edit there. -->

A finding says what is wrong, where, on what evidence, what the kernel does with it, and what would fix it.
Its id never changes, so scripts may rely on it. `skoopctl explain ID` prints the same text.

The finding that decides the flow in question is marked as its cause and comes first.
"""


_EVENTS = """\
## Thresholds of events

`skoopctl probe run` reports what events tell from these numbers on; `--threshold NAME=N` sets others. What is normal,
such as data that was received twice, counts for none of them. Those of metrics are in [metrics.md](metrics.md).

| threshold | default | of what | finding |
|---|---|---|---|
"""


def page() -> str:
    """Return the page: a table of all findings, then one section each, then thresholds."""
    table = ["| id | severity | what |", "|---|---|---|"]
    table += [f"| [`{doc.id}`](#{doc.id}) | {doc.severity.word} | {doc.title} |" for doc in DOCS.values()]
    rows = "\n".join(map(_threshold, EVENT_THRESHOLDS.values()))
    return "\n".join([_OPENING, *table, "", *map(_section, DOCS.values())]) + f"\n{_EVENTS}{rows}\n"


def _threshold(each: EventThreshold) -> str:
    number = f"{each.default:g}{' a second' if each.per_second else ''}"
    return f"| `{each.name}` | {number} | {each.says} | [`{each.finding}`](#{each.finding}) |"


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
