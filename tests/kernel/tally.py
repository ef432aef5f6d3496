"""Counts what a run of the harness came to, and prints it as a table or as JSON."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

TARGET_AGREEMENT = 0.999
TARGET_UNKNOWN = 0.05
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER = re.compile(r"\b[0-9a-f]*[0-9][0-9a-f.:/x]*\b")
_PLACE = re.compile(r"^\S+ \S+ rule # on \S+: |^.*? rule # \(handle #\)[^:]*: ")


def pattern_of(reason: str) -> str:
    """Return a reason without its names and numbers, so that equal reasons count together."""
    plain = _NUMBER.sub("#", _QUOTED.sub("'…'", reason))
    return _PLACE.sub("", plain)[:100]


@dataclass(slots=True)
class Disagreement:
    """One case that came out otherwise than predicted: its words, and the state and flow to see it again."""

    words: str
    state: str
    flow: int
    seed: str = ""

    @property
    def pattern(self) -> str:
        """What makes two disagreements alike: the words without addresses, ports and numbers."""
        return pattern_of(self.words.partition(": ")[2])


@dataclass(slots=True)
class Tally:
    """The figures of one run."""

    seed: str = ""
    states: int = 0
    agrees: int = 0
    unknown: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    rules_checked: int = 0
    rules_checked_alone: int = 0
    reasons_checked: int = 0
    elapsed_s: float = 0.0

    def add(self, result: dict[str, Any], seed: str) -> None:
        """Add the cases of one state."""
        if "error" in result:
            self.errors.append(f"{seed}: {result['error']}")
            return
        self.states += 1
        for case in result["cases"]:
            if case["answer"] == "agrees":
                self.agrees += 1
            elif case["answer"] == "unknown":
                self.unknown += 1
                self.reasons.update(
                    {pattern_of(reason) for reason in case["unknowns"]} or {"(no reason given)"}
                )
            else:
                self.disagreements.append(Disagreement(case["words"], result["state"], case["flow"], seed))
        for text in result["refused"]:
            self.refused[text] += 1
        self.seen.update(result["seen"])
        self.retried += result["retried"]
        self.rules_checked += result["rules_checked"]
        self.rules_checked_alone += result["rules_checked_alone"]
        self.reasons_checked += result["reasons_checked"]

    @property
    def cases(self) -> int:
        """All cases."""
        return self.agrees + self.unknown + len(self.disagreements)

    @property
    def agreement(self) -> float:
        """The share of decided cases that agree."""
        decided = self.agrees + len(self.disagreements)
        return self.agrees / decided if decided else 0.0

    @property
    def unknown_share(self) -> float:
        """The share of cases that the model does not decide."""
        return self.unknown / self.cases if self.cases else 1.0

    @property
    def met(self) -> bool:
        """Whether the target is met: decided verdicts, unknowns that all have a reason, no crash."""
        return (
            self.agreement >= TARGET_AGREEMENT
            and self.unknown_share < TARGET_UNKNOWN
            and "(no reason given)" not in self.reasons
            and not self.errors
        )

    def figures(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "seed": self.seed,
            "cases": self.cases,
            "states": self.states,
            "agreements": self.agrees,
            "disagreements": len(self.disagreements),
            "unknowns": self.unknown,
            "agreement_of_decided": round(self.agreement, 6),
            "unknown_share": round(self.unknown_share, 6),
            "rules_checked": self.rules_checked,
            "rules_checked_alone": self.rules_checked_alone,
            "drop_reasons_checked": self.reasons_checked,
            "tried_again_alone": self.retried,
            "lines_refused": sum(self.refused.values()),
            "elapsed_s": round(self.elapsed_s, 1),
            "target_met": self.met,
            "reasons": dict(self.reasons.most_common()),
            "covered": dict(sorted(self.seen.items())),
            "different_disagreements": dict(Counter(d.pattern for d in self.disagreements).most_common()),
            "errors": self.errors[:20],
        }

    def table(self, *, full: bool = False) -> str:
        """Return the figures for people."""
        share = f"{self.agreement:.4%} of the decided, target {TARGET_AGREEMENT:.1%}"
        checks = (
            f"{self.rules_checked:,} by counters, {self.rules_checked_alone:,} of flows alone, "
            f"{self.reasons_checked:,} drop reasons"
        )
        rows = [
            ("cases", f"{self.cases:,} (flows) in {self.states:,} states, seed {self.seed}"),
            ("agreements", f"{self.agrees:,} ({share})"),
            ("disagreements", f"{len(self.disagreements):,}"),
            ("unknowns", f"{self.unknown:,} ({self.unknown_share:.2%}; target below {TARGET_UNKNOWN:.0%})"),
            ("rules checked", checks),
            ("tried again", f"{self.retried:,} flows, alone"),
            ("lines", f"{sum(self.refused.values()):,} were refused by the kernel or its tools"),
            ("time", f"{self.elapsed_s:.0f} s"),
        ]
        lines = [f"{name:<14} {text}" for name, text in rows]
        if self.reasons:
            lines += ["", "Why unknown:", *(f"{n:>7,}  {text}" for text, n in self.reasons.most_common(25))]
        if self.disagreements:
            alike = Counter(d.pattern for d in self.disagreements)
            lines += ["", "Disagreements, alike ones together:"]
            lines += [f"{n:>7,}  {text}" for text, n in alike.most_common(25)]
        if full or self.refused:
            lines += [
                "",
                "Refused lines (the first):",
                *(f"{n:>7,}  {t[:150]}" for t, n in self.refused.most_common(8)),
            ]
        lines += ["", "Covered (states or cases with it):", *_columns(self.seen)]
        if self.errors:
            lines += ["", f"Errors of the harness itself: {len(self.errors)}", *self.errors[:3]]
        return "\n".join(lines)


def _columns(seen: Counter[str]) -> list[str]:
    """Return what was covered, one line for each first word."""
    groups: dict[str, list[str]] = {}
    for name, count in sorted(seen.items()):
        head, _, rest = name.partition(" ")
        groups.setdefault(head, []).append(f"{rest or head} {count}")
    return [f"  {head}: {', '.join(entries)}" for head, entries in groups.items()]
