"""What was seen, in one line, in any language: every report and every picture that stands alone has it."""

from __future__ import annotations

import re
from itertools import islice

from skoopctl.checks.diagnosis import Coverage, Diagnosis
from skoopctl.report.messages import Messages

_BRACKET = re.compile(r" \(")
_BRACKETS = 8
"""So many brackets of a line are tried as the one before the advice."""


def coverage_sentence(coverage: Coverage, words: Messages) -> str:
    """Return how many hosts were collected, and whether names were taken out."""
    sentence = words.text("coverage.sentence", collected=coverage.collected, total=len(coverage.hosts))
    return words.text("coverage.redacted", sentence=sentence) if coverage.redacted else sentence


def detail_in(detail: str, words: Messages) -> str:
    """Return what is said of a host, an unread item or the API: the sentence, and the advice in brackets behind it.

    What a node or the kernel has said stands in it as it is.
    """
    if detail.endswith(")"):
        for bracket in islice(_BRACKET.finditer(detail), _BRACKETS):
            advice = detail[bracket.end() : -1]
            told = words.sentence(advice)
            if told != advice:
                what = words.sentence(detail[: bracket.start()])
                return words.text("coverage.advised", what=what, advice=told)
    return words.sentence(detail)


def overview_in(diagnosis: Diagnosis, words: Messages) -> str:
    """Return what was seen and what it was found to be, as `words.overview` does in English."""
    found, coverage = diagnosis.detected, diagnosis.coverage
    plugin, devices = found.network_plugin, ", ".join(found.underlay_interfaces)
    over = words.text("coverage.over", plugin=plugin, devices=devices) if plugin and devices else plugin
    parts = [
        coverage_sentence(coverage, words),
        words.text("coverage.api", api=words.word("api", detail_in(coverage.api, words))),
        over,
        f"kube-proxy {found.proxy_mode}" if found.proxy_mode else "",
        f"iptables-{found.backend}"
        if found.backend in ("nft", "legacy")
        else words.word("backend", found.backend),
        diagnosis.collected_at,
    ]
    return " · ".join(part for part in parts if part)
