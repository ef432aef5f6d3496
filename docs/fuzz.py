"""Put the figures of the last ``make fuzz`` into README.md; with ``--check``, only say whether they are there.

``make fuzz ARGS='--save docs/fuzz.json'`` keeps the figures of a run; ``make readme`` shows them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FIGURES = ROOT / "docs" / "fuzz.json"
BEGIN, END = "<!-- fuzz:begin -->", "<!-- fuzz:end -->"


def sentence(figures: dict[str, Any]) -> str:
    """Return the figures as a paragraph."""
    reasons = list(figures["reasons"].items())[:4]
    unknown = "; ".join(f"{count} times {text}" for text, count in reasons) or "none"
    return (
        f"The last run (`make fuzz N={figures['cases']} SEED={figures['seed']}`): "
        f"**{figures['cases']:,} flows in {figures['states']:,} states, "
        f"{figures['agreement_of_decided']:.3%} of the decided verdicts agree** "
        f"({figures['disagreements']:,} do not), {figures['unknown_share']:.2%} unknown. "
        f"The counter of the blamed rule was checked {figures['rules_checked']:,} times, "
        f"{figures['rules_checked_alone']:,} of them with the flow alone, the kernel's drop reason "
        f"{figures['drop_reasons_checked']:,} times. Unknown were: {unknown}."
    )


def wrapped(text: str, width: int = 110) -> str:
    """Break lines between words."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def with_figures(readme: str) -> str:
    """Return the README with the figures between their marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{README}: the marks {BEGIN} and {END} are not there: put them where the figures belong")
    text = wrapped(sentence(json.loads(FIGURES.read_text(encoding="utf-8"))))
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main() -> None:
    """Write the README, or check it."""
    readme = README.read_text(encoding="utf-8")
    fresh = with_figures(readme)
    if "--check" not in sys.argv[1:]:
        README.write_text(fresh, encoding="utf-8")
    elif readme != fresh:
        sys.exit(f"{README}: the figures are not those of {FIGURES}: run 'make readme'")


if __name__ == "__main__":
    main()
