"""What a probe and a metric are: rows of the tables that everything else is printed from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

POD_LABELS = ("k8s_node", "k8s_namespace", "k8s_pod")
"""The labels of nearly all series; the last two are empty for the node itself."""


class Kind(StrEnum):
    """What a metric is, whatever type it is exposed with."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    The names that KubeSkoop gave are exposed untyped, because a counter's name would have to end in ``_total``;
    those of our own (``skoopctl_…``) have their types, and units in their names.
    """

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...] = POD_LABELS
    source: str = ""
    """Where the number stands: ``TcpExt: ListenDrops``."""

    @property
    def compatible(self) -> bool:
        """Whether the name is KubeSkoop's, and is exposed without a type."""
        return self.name.startswith("kubeskoop_")


class Scope(StrEnum):
    """Of what a probe has one value each."""

    NAMESPACE = "namespace"
    """Of the node, and of each pod with a network namespace of its own."""
    HOST = "host"
    """Of the node alone."""
    CGROUP = "cgroup"
    """Of each pod by its processes, host-network pods too."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe: what is read on a node, and the metrics that come out of it."""

    name: str
    title: str
    """What it tells, in one line."""
    scope: Scope
    items: tuple[str, ...]
    """The items that a node is asked for."""
    metrics: tuple[Metric, ...]
    source: str
    """Which files or netlink messages of the kernel it reads."""
    cost: str
    """What it costs a node, in words, with the figure that was measured."""
    needs: str
    """Privileges, modules, kernel versions."""
