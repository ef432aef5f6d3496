"""Findings that are new, gone or as they were since the last run of the same plan on the same cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skoopctl.runs.result import PROBES, RunResult


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed. ``since`` is when the last run was; ``gone`` are its findings, as its JSON has them.

    ``unseen`` are findings of hosts that gave no answer this time, or whose metrics were not watched: nobody knows
    whether they are gone.
    """

    since: str
    new: frozenset[str]
    unchanged: frozenset[str]
    gone: tuple[Mapping[str, Any], ...]
    unseen: tuple[Mapping[str, Any], ...]

    def is_new(self, key: str) -> bool:
        """Tell whether a finding was not there in the last run."""
        return key in self.new

    def to_json(self) -> dict[str, Any]:
        """Return the changes as a plain object."""
        return {
            "since": self.since,
            "new": len(self.new),
            "unchanged": len(self.unchanged),
            "gone": [dict(each) for each in self.gone],
            "unseen": [dict(each) for each in self.unseen],
        }


def compare(result: RunResult, last: Mapping[str, Any]) -> Changes:
    """Compare a result with what was kept of the last one."""
    before = {str(each.get("key")): each for each in last.get("findings", []) if isinstance(each, dict)}
    now = {each.key for each in result.findings}
    silent = {host.host for host in result.coverage.hosts if host.status not in {"ok", "partial"}}
    lost = [each for key, each in before.items() if key not in now]
    unseen = [each for each in lost if _short(each)["node"] in (silent | _unwatched(each, result))]
    return Changes(
        since=str(last.get("started", "")),
        new=frozenset(now - set(before)),
        unchanged=frozenset(now & set(before)),
        gone=tuple(_short(each) for each in lost if each not in unseen),
        unseen=tuple(map(_short, unseen)),
    )


def _unwatched(finding: Mapping[str, Any], result: RunResult) -> frozenset[str]:
    """Return the hosts on which this finding could not have been made again."""
    return result.unwatched if finding.get("inspections") == [PROBES] else frozenset()


def _short(finding: Mapping[str, Any]) -> dict[str, Any]:
    where = finding.get("where")
    node = where.get("node", "") if isinstance(where, dict) else ""
    kept = {name: str(finding.get(name, "")) for name in ("key", "id", "severity", "summary")}
    return {**kept, "node": str(node)}
