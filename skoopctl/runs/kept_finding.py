"""A finding of a kept run, read back from what ``skoopctl run`` wrote down. The file may come from anybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skoopctl.checks.finding import Confidence, Finding, Fix, Severity, Where
from skoopctl.dataplane.trace import Evidence

Json = Mapping[str, Any]


def finding_of(row: Json) -> Finding:
    """Return a row of a run's ``findings``.

    Raises KeyError, TypeError, ValueError or AttributeError for what is not as the schema says; which file it was,
    the caller knows.
    """
    where, fix = row["where"], row["fix"]
    return Finding(
        id=str(row["id"]),
        severity=Severity[str(row["severity"]).upper()],
        where=Where(str(where["node"]), str(where["namespace"])),
        summary=str(row["summary"]),
        evidence=tuple(_evidence(item) for item in row["evidence"]),
        why=str(row["why"]),
        fix=_fix(fix) if fix is not None else None,
        confidence=Confidence(row["confidence"]),
        cause=bool(row["cause"]),
    )


def _fix(row: Json) -> Fix:
    commands = tuple(str(each) for each in row["commands"])
    return Fix(str(row["summary"]), str(row["node"]), commands, bool(row["checked"]))


def _evidence(item: Json) -> Evidence:
    packets = item["packets"]
    return Evidence(
        kind=str(item["kind"]),
        text=str(item["text"]),
        location=str(item["location"]),
        packets=None if packets is None else int(packets),
        node=str(item["node"]),
    )
