"""Runs that were kept, read back from their JSON: on this machine or another one, a month later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skoopctl.errors import EvidenceError
from skoopctl.evidence.untrusted import printable
from skoopctl.runs.as_json import SCHEMA
from skoopctl.runs.store import newest_result, read_result

MOST_EARLIER = 11
"""Earlier runs in a report's trend; more would be a chart."""

Json = dict[str, Any]


def read_run(path: Path) -> Json:
    """Return a run as its JSON has it; of a folder of runs, the newest. Raises `EvidenceError` that names the file."""
    file = newest_result(path) if path.is_dir() else path
    found = read_result(file)
    schema = found.get("schema")
    if schema == SCHEMA:
        return found
    if str(schema).startswith("skoopctl.diagnosis/"):
        raise EvidenceError(
            f"{file}: is the JSON of a diagnosis",
            hint="a report of it is made from the bundle: --save FILE.skoop",
        )
    version = printable(str(found.get("tool_version", "?")), 40)
    raise EvidenceError(
        f"{file}: schema {printable(repr(schema), 60)}, this skoopctl reads {SCHEMA!r}",
        hint=f"skoopctl {version} wrote it: use that or a newer one",
    )


def earlier_runs(path: Path, run: Json) -> list[Json]:
    """Return the runs of the same plan on the same cluster before this one that are kept beside it, oldest first.

    One that cannot be read is no part of the trend.
    """
    folder = path if path.is_dir() else path.absolute().parent
    found = [each for file in sorted(folder.glob("*.json")) if (each := _same_plan(file, run)) is not None]
    return sorted(found, key=lambda each: str(each.get("started")))[-MOST_EARLIER:]


def _same_plan(file: Path, run: Json) -> Json | None:
    try:
        other = read_result(file)
    except EvidenceError:
        return None
    same = all(other.get(key) == run.get(key) for key in ("schema", "plan", "cluster"))
    return other if same and str(other.get("started")) < str(run.get("started")) else None
