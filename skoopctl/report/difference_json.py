"""A difference as one JSON object, as ``diff-1.schema.json`` describes it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from skoopctl import __version__
from skoopctl.changes import Change, Difference, Section, Sign, Unseen
from skoopctl.report.difference import summary_sentence

SCHEMA = "skoopctl.diff/1"
SCHEMA_FILE = "diff-1.schema.json"

Json = dict[str, Any]


def difference_json(found: Difference, *, a: str, b: str) -> Json:
    """Return a difference as an object for ``json.dumps``; ``a`` and ``b`` are the bundles' files.

    Strings are as read: escape them to show them.
    """
    return {
        "schema": SCHEMA,
        "tool_version": __version__,
        "a": {"file": a, "collected_at": found.collected_a},
        "b": {"file": b, "collected_at": found.collected_b},
        "differs": found.differs,
        "summary": summary_sentence(found),
        "compared": {"hosts": found.hosts, "namespaces": found.namespaces, "objects": found.objects},
        "counts": {sign.value: found.counts[sign] for sign in Sign},
        "sections": [_section(section) for section in found.sections],
    }


def difference_schema() -> Json:
    """Return the JSON schema of `difference_json`'s result."""
    text = resources.files("skoopctl.report").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    schema: Json = json.loads(text)
    return schema


def _section(section: Section) -> Json:
    return {
        "host": section.host or None,
        "namespace": section.namespace or None,
        "changes": [_change(change) for change in section.changes],
        "unseen": [_unseen(each) for each in section.unseen],
    }


def _change(change: Change) -> Json:
    return {
        "change": change.sign.value,
        "kind": change.kind,
        "place": change.place,
        "text": change.text,
        "before": change.before or None,
        "fields": [{"name": name, "a": old, "b": new} for name, old, new in change.fields],
        "number": change.number or None,
        "number_before": change.number_before or None,
    }


def _unseen(each: Unseen) -> Json:
    return {"side": each.side, "part": each.part, "reason": each.reason, "withheld": each.withheld}
