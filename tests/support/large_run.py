"""A run of a large cluster on a bad night, as its JSON has it: thousands of findings, each with evidence and a fix."""

from __future__ import annotations

from typing import Any

from skoopctl.checks.catalogue import DOCS
from skoopctl.runs.as_json import SCHEMA

Json = dict[str, Any]


def large_run(findings: int = 5000, nodes: int = 200, day: int = 30) -> Json:
    """Return a run in which every node has its share of the findings, of every kind in the catalogue."""
    hosts = [
        {"host": f"node-{number:03}", "status": "ok", "detail": "", "gaps": []} for number in range(nodes)
    ]
    listed = sorted(
        (_finding(number, nodes) for number in range(findings)),
        key=lambda found: ("fatal", "critical", "warning", "info").index(found["severity"]),
    )
    return {
        "schema": SCHEMA,
        "tool_version": "0.1.0",
        "plan": "nightly",
        "cluster": "prod",
        "inventory": "inventory.yaml",
        "started": f"2026-11-{day:02}T02:30:00+00:00",
        "duration_s": 74.5,
        "coverage": {
            "summary": f"{nodes} of {nodes} hosts collected",
            "collected": nodes,
            "total": nodes,
            "api": "ok",
            "redacted": False,
            "hosts": hosts,
        },
        "inspections": [
            {
                "name": "mesh",
                "title": "whether pods reach each other",
                "counts": [{"what": "paths", "looked_at": 9, "there_are": 9}],
                "fault": "",
            }
        ],
        "findings": listed,
        "paths": [],
        "changes": None,
    }


def _finding(number: int, nodes: int) -> Json:
    doc = list(DOCS.values())[number % len(DOCS)]
    node = f"node-{number % nodes:03}"
    rule = f"-A INPUT -s 10.{number % 250}.{number // 250}.0/24 -m comment --comment finding-{number} -j DROP"
    return {
        "id": doc.id,
        "severity": doc.severity.word,
        "where": {"node": node, "namespace": f"shop/web-{number}"},
        "summary": f"Rule {number} of INPUT (table filter) on {node} drops VXLAN packets from 192.168.3.87",
        "evidence": [
            {
                "kind": "iptables-rule",
                "text": rule,
                "location": f"filter INPUT rule {number}",
                "packets": number,
                "octets": 60 * number,
                "node": node,
                "netns": 4026531840,
            }
        ],
        "why": doc.why,
        "fix": {
            "summary": f"delete rule {number} of INPUT (table filter) on {node}",
            "node": node,
            "commands": [f"iptables -D INPUT {number}"],
            "checked": number % 2 == 0,
        },
        "confidence": "certain",
        "cause": False,
        "key": f"{number:016x}",
        "inspections": ["mesh"],
        "affects": [f"pod a -> pod {number}"],
        "affected": 1,
        "new": number % 7 == 0,
    }
