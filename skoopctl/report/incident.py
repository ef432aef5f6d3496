"""The context of an incident report: plain data, versioned as ``skoopctl.report/1``. Templates see nothing else.

Pure: the same diagnosis and the same words about it give the same context. docs/reports.md describes every key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.diagnosis import Coverage, Diagnosis, Endpoint
from skoopctl.checks.finding import Finding
from skoopctl.dataplane.trace import Branch, Evidence
from skoopctl.report.jsonout import SCHEMA as DATA_SCHEMA
from skoopctl.report.messages import Messages
from skoopctl.report.overview_in import coverage_sentence, detail_in, overview_in
from skoopctl.report.svg import render_svg
from skoopctl.report.verdict_in import label_in, verdict_in
from skoopctl.report.way_context import branch_context, evidence_context

SCHEMA = "skoopctl.report/1"
SCHEMA_FILE = "report-1.schema.json"
BRANCHES_SHOWN = 24
RAW_LINES_SHOWN = 500

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """What people say about a report: a ``title`` of their own, and who asked. Never taken from the machine."""

    title: str = ""
    asked_by: str = ""


def incident_context(diagnosis: Diagnosis, words: Messages, about: About | None = None) -> Json:
    """Return everything that an incident report tells, in the language of ``words`` where there are words for it."""
    about = about or About()
    path = diagnosis.path
    causes = [finding_context(each, words) for each in diagnosis.findings if each.cause]
    others = [finding_context(each, words) for each in diagnosis.findings if not each.cause]
    return {
        "schema": SCHEMA,
        "kind": "incident",
        "lang": words.lang,
        "title": about.title or _title(diagnosis, words),
        "asked_by": about.asked_by,
        "collected_at": diagnosis.collected_at,
        "overview": overview_in(diagnosis, words),
        "question": {
            "source": _end(diagnosis.source, words),
            "destination": _end(diagnosis.destination, words),
            "protocol": path.flow.protocol,
            "port": path.flow.port,
        },
        "verdict": path.verdict.value,
        "sentence": verdict_in(diagnosis, words),
        "outcome": path.outcome.value,
        "disposition": path.disposition.value,
        "picture": render_svg(diagnosis, captioned=False, words=words),
        "causes": causes,
        "others": others,
        "changes": [_change(each) for each in (*causes, *others) if each["fix"]],
        **_ways(diagnosis, words),
        "timeline": [
            {
                "host": host.host,
                "began_s": host.began_s,
                "took_s": host.took_s,
                "status": host.status,
                "detail": detail_in(host.detail, words),
            }
            for host in diagnosis.coverage.hosts
        ],
        "coverage": coverage_context(diagnosis.coverage, words),
        "unknowns": [words.sentence(each) for each in path.unknowns],
        "conditions": [words.sentence(each) for each in path.conditions],
        "assumptions": [words.sentence(each) for each in path.assumptions],
        "detected": {
            "network_plugin": diagnosis.detected.network_plugin,
            "underlay_interfaces": list(diagnosis.detected.underlay_interfaces),
            "proxy_mode": diagnosis.detected.proxy_mode,
            "backend": diagnosis.detected.backend,
        },
        **_raw(path.branches, words),
        "tool_version": diagnosis.tool_version,
        "data_schema": DATA_SCHEMA,
    }


def finding_context(finding: Finding, words: Messages) -> Json:
    """Return a finding: what is from the catalogue or known to a pattern is in the language of ``words``."""
    doc = DOCS.get(finding.id)
    why = words.documented(finding.id, "why", doc.why if doc else "", finding.why)
    fix: Json | None = None
    if finding.fix is not None:
        fix = {
            "summary": words.documented(finding.id, "fix", doc.fix if doc else "", finding.fix.summary),
            "node": finding.fix.node,
            "commands": list(finding.fix.commands),
            "checked": finding.fix.checked,
        }
    return {
        "id": finding.id,
        "severity": finding.severity.word,
        "title": words.title(finding.id, doc.title if doc else ""),
        "node": finding.where.node,
        "namespace": finding.where.namespace,
        "summary": words.sentence(finding.summary),
        "evidence": [evidence_context(each, words) for each in finding.evidence],
        "why": why,
        "fix": fix,
        "confidence": finding.confidence.value,
        "cause": finding.cause,
    }


def coverage_context(coverage: Coverage, words: Messages) -> Json:
    """Return what was seen of each host, and a sentence that sums it up."""
    return {
        "sentence": coverage_sentence(coverage, words),
        "api": detail_in(coverage.api, words),
        "hosts": [
            {
                "host": host.host,
                "status": host.status,
                "detail": detail_in(host.detail, words),
                "gaps": [detail_in(gap, words) for gap in host.gaps],
            }
            for host in coverage.hosts
        ],
    }


def _change(finding: Json) -> Json:
    return {"finding": finding["id"], **finding["fix"]}


def _title(diagnosis: Diagnosis, words: Messages) -> str:
    return words.text(
        "title.incident",
        verdict=words.word("verdict", diagnosis.path.verdict.value),
        source=label_in(diagnosis.source, words),
        destination=label_in(diagnosis.destination, words),
    )


def _end(end: Endpoint, words: Messages) -> Json:
    return {
        "asked": end.asked,
        "label": label_in(end, words),
        "address": end.address,
        "kind": end.kind,
        "name": end.name,
        "node": end.node,
    }


def _ways(diagnosis: Diagnosis, words: Messages) -> Json:
    path = diagnosis.path
    order = sorted(path.branches, key=lambda branch: (branch.works, -branch.weight))
    drawn = path.representative
    return {
        "first": branch_context(drawn, path, words, drawn=True),
        "branches": [
            branch_context(each, path, words, drawn=each is drawn) for each in order[:BRANCHES_SHOWN]
        ],
        "more_branches": max(0, len(order) - BRANCHES_SHOWN),
    }


def _raw(branches: tuple[Branch, ...], words: Messages) -> Json:
    """Return every raw line on any way, once, in the order of the ways."""
    lines: list[Evidence] = list(
        dict.fromkeys(
            entry
            for branch in branches
            for walk in branch.walks
            for step in walk.steps
            for entry in step.evidence
        )
    )
    return {
        "raw": [evidence_context(each, words) for each in lines[:RAW_LINES_SHOWN]],
        "more_raw": max(0, len(lines) - RAW_LINES_SHOWN),
    }
