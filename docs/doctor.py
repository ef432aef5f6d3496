"""Write docs/doctor.md from the table of checks; with ``--check``, only say whether it is fresh.

Run it with ``make docs``.
"""

from __future__ import annotations

from pathlib import Path

from docs.pages import write_or_check
from skoopctl.doctor.ability import ABILITIES
from skoopctl.doctor.catalogue import CHECKS
from skoopctl.doctor.check import Check

PAGE = Path(__file__).with_name("doctor.md")

_OPENING = """\
# What works on a node: skoopctl doctor

<!-- Written by `make docs` from skoopctl/doctor/. Edit there. -->

`skoopctl doctor -i INVENTORY` logs in to each node once, runs the node program once, and says what works, what
would, and what to do about the rest. It reads what `collect` reads and a little more, and changes nothing: tools of
the node are started for their version only where that cannot load a kernel module, and the map, the program and the
link of the eBPF self-test are closed at once.

Each check is `ok`, `degraded` (it works, with less), `missing`, or `unknown` (it could not be found out; that is never
taken for ok). People see what is not ok; `-v` shows all, `--json` prints
[`skoopctl.doctor/1`](schema/doctor-1.schema.json). Ids never change.

Exit status: 0 every node has what a diagnosis needs, 1 some have not, 3 some gave no answer, 4 none did.

## What would work

A check that is missing makes it *no*; one that is unknown makes it *unknown*, and a degraded one *partly*.

| | stands on |
|---|---|
"""

_PREPARE = """\
## Missing packages

`skoopctl node prepare` installs packages on nodes, and is the only command that changes one: see [node.md](node.md).
"""


def page() -> str:
    """Return the page: what would work, a table of all checks, then one section each."""
    abilities = [
        f"| {each.title} | {', '.join(f'[{name}](#{name})' for name in each.checks)} |" for each in ABILITIES
    ]
    table = ["## Checks", "", "| id | ok means |", "|---|---|"]
    table += [f"| [`{check.id}`](#{check.id}) | {check.title} |" for check in CHECKS.values()]
    sections = [_section(check) for check in CHECKS.values()]
    return _OPENING + "\n".join([*abilities, "", *table, "", *sections, _PREPARE])


def _section(check: Check) -> str:
    """Return one check's section."""
    lines = [
        f"### {check.id}",
        "",
        f"**{check.title}**",
        "",
        f"*Needs* {check.needs}.",
        "",
        f"*Judged* {check.judged}.",
        "",
        f"*What to do.* {check.fix}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the page, or check it."""
    write_or_check({PAGE: page()})


if __name__ == "__main__":
    main()
