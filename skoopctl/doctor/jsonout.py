"""A report as JSON, schema ``skoopctl.doctor/1`` (doctor-1.schema.json)."""

from __future__ import annotations

from typing import Any

from skoopctl import __version__
from skoopctl.doctor.catalogue import CHECKS, fix_of
from skoopctl.doctor.check import Judgement
from skoopctl.doctor.examine import Examination, Report

SCHEMA = "skoopctl.doctor/1"


def report_object(report: Report) -> dict[str, Any]:
    """Return the one object that ``doctor --json`` prints."""
    return {
        "schema": SCHEMA,
        "tool_version": __version__,
        "created": report.created.isoformat(),
        "coverage": {"nodes": len(report.nodes), "answered": report.answered, "fine": report.fine},
        "nodes": [_node(node) for node in report.nodes],
    }


def _node(node: Examination) -> dict[str, Any]:
    who = node.identity
    return {
        "node": node.host.name,
        "address": node.host.address,
        "status": str(node.status),
        "elapsed_s": round(node.elapsed_s, 3),
        "login_s": round(node.timing.login_s, 3),
        "answer_s": round(node.timing.answer_s, 3),
        "system": None
        if who is None
        else {
            "hostname": who.hostname,
            "os": who.os,
            "kernel": who.kernel,
            "machine": who.machine,
            "python": who.python,
            "uid": who.uid,
        },
        "abilities": {
            each.ability.id: {"answer": str(each.answer), "because": list(each.because)}
            for each in node.prospects
        },
        "checks": [_check(name, row) for name, row in node.rows.items()],
    }


def _check(name: str, row: Judgement) -> dict[str, Any]:
    return {
        "id": name,
        "title": CHECKS[name].title,
        "level": str(row.level),
        "detail": row.detail,
        "fix": fix_of(name, row) or None,
    }
