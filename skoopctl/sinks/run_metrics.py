"""What a run leaves behind as metrics: findings, coverage, paths, and when it was."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from skoopctl.checks.expectations import State
from skoopctl.checks.finding import Severity
from skoopctl.runs.result import RunResult
from skoopctl.transport.base import HostStatus

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "skoopctl_finding": ("Findings of the last run, by id.", ("id", "severity", "node")),
    "skoopctl_findings": ("Findings of the last run, by severity; 0 where there are none.", ("severity",)),
    "skoopctl_hosts": ("Hosts of the last run, by how asking them went.", ("status",)),
    "skoopctl_paths": ("Paths of the plan, by whether they are as expected.", ("state",)),
    "skoopctl_path_expected": ("1 where a path of the plan is as expected, else 0.", ("path",)),
    "skoopctl_inspection_fault": ("1 where an inspection broke off, else 0.", ("inspection",)),
    "skoopctl_run_timestamp_seconds": ("When the last run began, in seconds since 1970.", ()),
    "skoopctl_run_duration_seconds": ("How long the last run took.", ()),
}
"""Name: help and labels. All are gauges; ``cluster`` and ``plan`` are the group's labels."""


def registry_of(result: RunResult) -> CollectorRegistry:
    """Return the metrics of a run. A path that could not be decided has no ``skoopctl_path_expected``."""
    from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415 - heavy

    registry = CollectorRegistry()
    gauges = {name: Gauge(name, text, labels, registry=registry) for name, (text, labels) in METRICS.items()}
    found = Counter((f.finding.id, f.finding.severity.word, f.finding.where.node) for f in result.findings)
    for labels, number in found.items():
        gauges["skoopctl_finding"].labels(*labels).set(number)
    for severity in Severity:
        gauges["skoopctl_findings"].labels(severity.word).set(result.count(severity))
    statuses = Counter(host.status for host in result.coverage.hosts)
    for status in HostStatus:
        gauges["skoopctl_hosts"].labels(status.value).set(statuses[status.value])
    for state in State:
        gauges["skoopctl_paths"].labels(state.value).set(result.paths_in(state))
    for judged in result.paths:
        if judged.state in {State.MET, State.UNMET}:
            met = judged.state is State.MET
            gauges["skoopctl_path_expected"].labels(judged.expectation.name).set(met)
    for looked in result.looked:
        gauges["skoopctl_inspection_fault"].labels(looked.name).set(bool(looked.fault))
    gauges["skoopctl_run_timestamp_seconds"].set(result.started.timestamp())
    gauges["skoopctl_run_duration_seconds"].set(result.duration_s)
    return registry


def page_of(result: RunResult) -> bytes:
    """Return the metrics of a run in Prometheus' text format."""
    from prometheus_client import generate_latest  # noqa: PLC0415 - heavy

    return bytes(generate_latest(registry_of(result)))
