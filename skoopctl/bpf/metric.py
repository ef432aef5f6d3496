"""What KubeSkoop's metrics of eBPF probes are sums of: its names and labels, our kinds of events."""

from __future__ import annotations

from dataclasses import dataclass

POD_LABELS = ("k8s_node", "k8s_namespace", "k8s_pod")
"""The namespace that it happened in; the last two are empty for the node itself."""
TUPLE_LABELS = (
    "protocol",
    *(f"{end}{of}" for end in ("src", "dst") for of in ("", "_type", "_node", "_namespace", "_pod")),
    "sport",
    "dport",
)
"""Both ends of the packet; the ports may be 0."""
SOFTIRQ_LABELS = ("k8s_node", "softirq_type")
"""The type is the event's reason."""


@dataclass(frozen=True, slots=True)
class EventMetric:
    """One counter: the sum of the totals of some kinds, since the probe began on that node.

    What took very long took long too: metrics of the lower threshold hold both kinds, as their help texts say.
    """

    name: str
    kinds: tuple[int, ...]
    """Numbers of `EventKind`."""
    labels: tuple[str, ...] = POD_LABELS
    reasons: tuple[str, ...] = ()
    """Only these reasons; none for all."""
    functions: tuple[str, ...] = ()
    """What tells the same where the kernel has no reasons."""
    of: str = "count"
    """What of flows is added up: how often, ``bytes`` or ``packets``."""

    def counts(self, kind: int, reason_name: str, function: str) -> bool:
        """Return whether a total is part of the sum."""
        if kind not in self.kinds:
            return False
        return not self.reasons or reason_name in self.reasons or function in self.functions
