"""A diagnosis as one JSON object, as ``diagnosis-1.schema.json`` describes it.

A packet's way is a list of hops; its last hop says in ``ends`` what became of the packet. ``forward`` and
``reply`` are those of the branch to look at first; ``branches`` has all.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from skoopctl.checks.diagnosis import Coverage, Detected, Diagnosis, Endpoint
from skoopctl.checks.finding import Finding, Fix
from skoopctl.dataplane.proof import Reason, proof_of
from skoopctl.dataplane.trace import Branch, Evidence, Flow, PacketView, PathMtu, PathResult, Step, Walk
from skoopctl.report.words import verdict_sentence

SCHEMA = "skoopctl.diagnosis/1"
SCHEMA_FILE = "diagnosis-1.schema.json"
ERROR_SCHEMA = "skoopctl.flow-error/1"

Json = dict[str, Any]


def to_json(diagnosis: Diagnosis) -> Json:
    """Return a diagnosis as an object for ``json.dumps``. Strings are as read: escape them to show them."""
    path = diagnosis.path
    first = path.representative
    return {
        "schema": SCHEMA,
        "tool_version": diagnosis.tool_version,
        "collected_at": diagnosis.collected_at,
        "source": _endpoint(diagnosis.source),
        "destination": _endpoint(diagnosis.destination),
        "protocol": path.flow.protocol,
        "port": path.flow.port,
        "verdict": path.verdict.value,
        "summary": verdict_sentence(diagnosis),
        "disposition": path.disposition.value,
        "outcome": path.outcome.value,
        "outcomes": _outcomes(path),
        "findings": [finding_to_json(finding) for finding in diagnosis.findings],
        "forward": _hops(first.forward),
        "reply": _hops(first.reply),
        "proof": [_reason(reason) for reason in proof_of(first)],
        "branches": [_branch(branch) for branch in path.branches],
        "mtu": _mtu(path.mtu),
        "unknowns": list(path.unknowns),
        "conditions": list(path.conditions),
        "assumptions": list(path.assumptions),
        "coverage": coverage_to_json(diagnosis.coverage),
        "detected": _detected(diagnosis.detected),
    }


def flow_error(flow: Flow, message: str, hint: str = "") -> Json:
    """Return the object that stands for a flow of ``--flows`` that cannot be diagnosed."""
    return {
        "schema": ERROR_SCHEMA,
        "source": flow.source,
        "destination": flow.destination,
        "protocol": flow.protocol,
        "port": flow.port,
        "error": message,
        "hint": hint,
    }


def schema() -> Json:
    """Return the JSON Schema (2020-12) of what `to_json` and `flow_error` return."""
    text = resources.files("skoopctl.report").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    loaded: Json = json.loads(text)
    return loaded


def _endpoint(end: Endpoint) -> Json:
    return {"asked": end.asked, "address": end.address, "kind": end.kind, "name": end.name, "node": end.node}


def _outcomes(path: PathResult) -> list[Json]:
    heaviest_first = sorted(path.outcomes().items(), key=lambda item: (-item[1], item[0]))
    return [{"outcome": outcome.value, "weight": round(weight, 6)} for outcome, weight in heaviest_first]


def _branch(branch: Branch) -> Json:
    return {
        "weight": round(branch.weight, 6),
        "choices": list(branch.choices),
        "unknowns": list(branch.unknowns),
        "disposition": branch.disposition.value,
        "outcome": branch.outcome.value,
        "errno": branch.errno,
        "proof": [{"label": reason.label, "hop": reason.hop} for reason in proof_of(branch)],
        "responder": branch.responder,
        "seen_source": branch.seen_source,
        "forward": _hops(branch.forward),
        "reply": _hops(branch.reply),
        "others": [_hops(walk) for walk in branch.others],
        "mtu": _mtu(branch.mtu),
    }


def _mtu(mtu: PathMtu | None) -> Json | None:
    if mtu is None:
        return None
    return {
        "forward": mtu.forward or None,
        "reply": mtu.reply or None,
        "segment": mtu.segment or None,
        "reply_segment": mtu.reply_segment or None,
        "stalls": mtu.stalls,
    }


def _hops(walk: Walk | None) -> list[Json]:
    return [] if walk is None else [_hop(step, walk.label) for step in walk.steps]


def _hop(step: Step, label: str) -> Json:
    return {
        "label": label,
        "kind": step.kind.value,
        "node": step.node,
        "namespace": step.namespace,
        "netns": step.netns,
        "device": step.device,
        "hook": step.hook,
        "depth": step.depth,
        "decision": step.decision,
        "evidence": [_evidence(item) for item in step.evidence],
        "before": _packet(step.before),
        "after": _packet(step.after),
        "unknown": step.unknown,
        "ends": step.ends.value if step.ends else None,
    }


def _reason(reason: Reason) -> Json:
    """Return a step of the proof: its place among the packet's hops, and what decided it there."""
    return {
        "label": reason.label,
        "hop": reason.hop,
        "kind": reason.step.kind.value,
        "node": reason.step.node,
        "namespace": reason.step.namespace,
        "hook": reason.step.hook,
        "decision": reason.step.decision,
        "evidence": [_evidence(item) for item in reason.evidence],
        "ends": reason.step.ends.value if reason.step.ends else None,
    }


def _packet(view: PacketView | None) -> Json | None:
    if view is None:
        return None
    return {
        "source": view.source,
        "source_port": view.source_port,
        "destination": view.destination,
        "destination_port": view.destination_port,
        "protocol": view.protocol,
        "flags": view.flags,
        "mark": view.mark,
        "state": view.state,
        "encapsulates": view.encapsulates,
    }


def _evidence(item: Evidence) -> Json:
    return {
        "kind": item.kind,
        "text": item.text,
        "location": item.location,
        "packets": item.packets,
        "octets": item.octets,
        "node": item.node,
        "netns": item.netns,
    }


def finding_to_json(finding: Finding) -> Json:
    """Return a finding as a plain object."""
    return {
        "id": finding.id,
        "severity": finding.severity.word,
        "where": {"node": finding.where.node, "namespace": finding.where.namespace},
        "summary": finding.summary,
        "evidence": [_evidence(item) for item in finding.evidence],
        "why": finding.why,
        "fix": _fix(finding.fix),
        "confidence": finding.confidence.value,
        "cause": finding.cause,
    }


def _fix(fix: Fix | None) -> Json | None:
    if fix is None:
        return None
    return {"summary": fix.summary, "node": fix.node, "commands": list(fix.commands), "checked": fix.checked}


def coverage_to_json(coverage: Coverage) -> Json:
    """Return what was seen of each host as a plain object."""
    return {
        "summary": coverage.sentence(),
        "collected": coverage.collected,
        "total": len(coverage.hosts),
        "api": coverage.api,
        "redacted": coverage.redacted,
        "hosts": [
            {"host": host.host, "status": host.status, "detail": host.detail, "gaps": list(host.gaps)}
            for host in coverage.hosts
        ],
    }


def _detected(found: Detected) -> Json:
    return {
        "network_plugin": found.network_plugin,
        "underlay_interfaces": list(found.underlay_interfaces),
        "proxy_mode": found.proxy_mode,
        "backend": found.backend,
    }
