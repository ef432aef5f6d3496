"""What was seen, in one line, in any language: every report and every picture that stands alone has it."""

from __future__ import annotations

from skoopctl.checks.diagnosis import Coverage, Diagnosis
from skoopctl.report.messages import Messages


def coverage_sentence(coverage: Coverage, words: Messages) -> str:
    """Return how many hosts were collected, and whether names were taken out."""
    sentence = words.text("coverage.sentence", collected=coverage.collected, total=len(coverage.hosts))
    return words.text("coverage.redacted", sentence=sentence) if coverage.redacted else sentence


def overview_in(diagnosis: Diagnosis, words: Messages) -> str:
    """Return what was seen and what it was found to be, as `words.overview` does in English."""
    found, coverage = diagnosis.detected, diagnosis.coverage
    plugin, devices = found.network_plugin, ", ".join(found.underlay_interfaces)
    over = words.text("coverage.over", plugin=plugin, devices=devices) if plugin and devices else plugin
    parts = [
        coverage_sentence(coverage, words),
        words.text("coverage.api", api=words.word("api", coverage.api)),
        over,
        f"kube-proxy {found.proxy_mode}" if found.proxy_mode else "",
        f"iptables-{found.backend}" if found.backend in ("nft", "legacy") else found.backend,
        diagnosis.collected_at,
    ]
    return " · ".join(part for part in parts if part)
