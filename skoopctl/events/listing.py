"""The event probes as ``probe list --json`` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skoopctl.bpf.catalogue import BpfProbe, Hook
from skoopctl.events.metrics import EVENT_METRICS

NEEDS = (
    "root, or CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before 5.8), and CAP_SYSLOG for the names of functions; "
    "Linux 4.17 or newer with its types (/sys/kernel/btf/vmlinux)"
)


def event_probes_object(probes: Iterable[BpfProbe]) -> list[dict[str, Any]]:
    """Return each probe with its hooks, its events and its metrics."""
    return [_probe(probe) for probe in probes]


def ways_of(hook: Hook) -> list[str]:
    """Return the programs that show a hook, best first; those of one way are joined by ``and``."""
    return [" and ".join(names) for names in hook.alternatives]


def _probe(probe: BpfProbe) -> dict[str, Any]:
    return {
        "name": probe.name,
        "title": probe.title,
        "whole_node": probe.whole_node,
        "needs": NEEDS,
        "cost": probe.cost,
        "hooks": [{"what": hook.what, "by": ways_of(hook), "since": hook.since} for hook in probe.hooks],
        "events": [
            {"type": kind.name, "kubeskoop": kind.compatible or None, "tells": kind.tells}
            for kind in probe.kinds
        ],
        "thresholds": [
            {"name": f"{probe.name}.{each.name}", "default_us": each.default_us, "tells": each.tells}
            for each in probe.thresholds
        ],
        "metrics": [
            {"name": metric.name, "labels": list(EVENT_METRICS[metric.name].labels)}
            for metric in probe.metrics
        ],
    }
