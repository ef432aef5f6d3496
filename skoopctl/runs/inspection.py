"""The context of an inspection report: plain data from a run's JSON, versioned as ``skoopctl.report/1``.

Pure: the same run and the same earlier runs give the same context. docs/reports.md describes every key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from skoopctl.checks.finding import Severity
from skoopctl.checks.inspections import INSPECTIONS
from skoopctl.errors import EvidenceError
from skoopctl.report.incident import SCHEMA, About, finding_context
from skoopctl.report.messages import Messages
from skoopctl.report.overview_in import detail_in
from skoopctl.runs.kept_finding import finding_of

Json = dict[str, Any]
WORDS = tuple(severity.word for severity in reversed(Severity))


def inspection_context(
    run: Json,
    earlier: Sequence[Json],
    words: Messages,
    about: About | None = None,
    *,
    source: str = "the run",
) -> Json:
    """Return everything that an inspection report tells. Raises `EvidenceError`, naming ``source``, for half a run."""
    try:
        return _context(run, earlier, words, about or About())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EvidenceError(
            f"{source}: lacks something or has it in another form: {error}", hint="was it changed by hand?"
        ) from error


def _context(run: Json, earlier: Sequence[Json], words: Messages, about: About) -> Json:
    findings = [_finding(each, words) for each in run["findings"]]
    counts = _counts(findings)
    worst = next((row["severity"] for row in counts if row["findings"]), None)
    plan, cluster = str(run["plan"]), str(run["cluster"])
    coverage = seen_context(run["coverage"], words)
    number = words.counted("findings", len(findings))
    title = words.text("title.inspection", plan=plan, cluster=cluster, findings=number)
    return {
        "schema": SCHEMA,
        "kind": "inspection",
        "lang": words.lang,
        "title": about.title or title,
        "asked_by": about.asked_by,
        "plan": plan,
        "cluster": cluster,
        "inventory": str(run["inventory"]),
        "started": str(run["started"]),
        "duration_s": float(run["duration_s"]),
        "overview": _overview(coverage, words),
        "worst": worst,
        "number": len(findings),
        "counts": counts,
        "kinds": _kinds(findings),
        "findings": findings,
        "nodes": _nodes(findings, coverage["hosts"]),
        "trend": [_trend(each) for each in (*earlier, run)],
        "changes": _changes(run["changes"], words),
        "paths": [path_context(each, words) for each in run["paths"]],
        "looked": [looked_context(each, words) for each in run["inspections"]],
        "coverage": coverage,
        "tool_version": str(run["tool_version"]),
        "data_schema": str(run["schema"]),
    }


def _texts(entry: Mapping[str, Any], *keys: str) -> Json:
    return {key: str(entry[key]) for key in keys}


def path_context(entry: Mapping[str, Any], words: Messages) -> Json:
    """Return one of the plan's paths: what was expected of it, and what was found."""
    said = str(entry["said"])
    told = words.texts.get(f"outcome.{said}") or words.sentence(said)
    return {**_texts(entry, "name", "expect", "state"), "said": told}


def _finding(entry: Mapping[str, Any], words: Messages) -> Json:
    return {
        "key": str(entry["key"]),
        **finding_context(finding_of(entry), words),
        "new": None if entry["new"] is None else bool(entry["new"]),
        "inspections": [str(each) for each in entry["inspections"]],
        "affects": [str(each) for each in entry["affects"]],
        "affected": int(entry["affected"]),
    }


def _counts(findings: Sequence[Mapping[str, Any]]) -> list[Json]:
    number = Counter(str(finding["severity"]) for finding in findings)
    return [{"severity": word, "findings": number[word]} for word in WORDS]


def _kinds(findings: Sequence[Json]) -> list[Json]:
    """Return the findings by id: the worst and the most frequent first."""
    groups: dict[str, list[Json]] = {}
    for finding in findings:
        groups.setdefault(finding["id"], []).append(finding)
    rows = [
        {
            "id": identifier,
            "title": group[0]["title"],
            "severity": min((each["severity"] for each in group), key=WORDS.index),
            "findings": len(group),
            "nodes": len({each["node"] for each in group if each["node"]}),
            "new": sum(each["new"] is True for each in group),
        }
        for identifier, group in groups.items()
    ]
    return sorted(
        rows, key=lambda row: (WORDS.index(str(row["severity"])), -int(str(row["findings"])), row["id"])
    )


def _nodes(findings: Sequence[Json], hosts: Sequence[Json]) -> list[Json]:
    """Return every host of the coverage and every node of a finding, with its findings' places in the list."""
    status = {host["host"]: host["status"] for host in hosts}
    places: dict[str, list[int]] = {name: [] for name in status}
    for place, finding in enumerate(findings):
        places.setdefault(finding["node"], []).append(place)
    return [
        {
            "node": node,
            "status": status.get(node, ""),
            "findings": len(listed),
            "counts": _counts([findings[place] for place in listed]),
            "listed": listed,
        }
        for node, listed in places.items()
    ]


def _trend(run: Mapping[str, Any]) -> Json:
    hosts = run["coverage"]["hosts"]
    return {
        "started": str(run["started"]),
        "counts": _counts(run["findings"]),
        "findings": len(run["findings"]),
        "collected": sum(host["status"] in {"ok", "partial"} for host in hosts),
        "hosts": len(hosts),
    }


def _changes(changes: Mapping[str, Any] | None, words: Messages) -> Json | None:
    if changes is None:
        return None
    return {
        "since": str(changes["since"]),
        "new": int(changes["new"]),
        "unchanged": int(changes["unchanged"]),
        "gone": [_short(each, words) for each in changes["gone"]],
        "unseen": [_short(each, words) for each in changes["unseen"]],
    }


def _short(entry: Mapping[str, Any], words: Messages) -> Json:
    return {**_texts(entry, "id", "severity", "node"), "summary": words.sentence(str(entry["summary"]))}


def looked_context(entry: Mapping[str, Any], words: Messages) -> Json:
    """Return what one inspection asks, and how much it looked at."""
    counts = [
        {
            "what": words.word("counted", str(each["what"])),
            "looked_at": int(each["looked_at"]),
            "there_are": int(each["there_are"]),
        }
        for each in entry["counts"]
    ]
    return {**_texts(entry, "name", "fault"), "title": _title(entry, words), "counts": counts}


def _title(entry: Mapping[str, Any], words: Messages) -> str:
    """Return what an inspection asks: translated where it is the registry's own words."""
    name, title = str(entry["name"]), str(entry["title"])
    known = INSPECTIONS.get(name)
    return words.texts.get(f"inspection.{name}", title) if known and known.title == title else title


def seen_context(coverage: Mapping[str, Any], words: Messages) -> Json:
    """Return what was seen of each host, and a sentence that sums it up."""
    hosts = [
        {
            **_texts(host, "host", "status"),
            "detail": detail_in(str(host["detail"]), words),
            "gaps": [detail_in(str(gap), words) for gap in host["gaps"]],
        }
        for host in coverage["hosts"]
    ]
    collected = sum(host["status"] in {"ok", "partial"} for host in hosts)
    sentence = words.text("coverage.sentence", collected=collected, total=len(hosts))
    if coverage.get("redacted"):
        sentence = words.text("coverage.redacted", sentence=sentence)
    return {"sentence": sentence, "api": detail_in(str(coverage["api"]), words), "hosts": hosts}


def _overview(coverage: Json, words: Messages) -> str:
    return f"{coverage['sentence']} · {words.text('coverage.api', api=words.word('api', coverage['api']))}"
