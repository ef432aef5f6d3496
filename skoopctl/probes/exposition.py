"""Pages for Prometheus: text format 0.0.4 and OpenMetrics 1.0.

KubeSkoop's names have no type: OpenMetrics wants a counter to end in ``_total``, and these do not.
"""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.probes.catalogue import METRICS
from skoopctl.probes.metric import Kind, Metric
from skoopctl.probes.node_series import NodeSeries

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def page(nodes: Iterable[NodeSeries], *, openmetrics: bool = False) -> bytes:
    """Return all series of nodes, families in the catalogue's order, nodes in theirs.

    OpenMetrics' last line (``# EOF``) is left to the caller, who may have series of his own. A node whose ``k8s_node``
    another one before it has already would repeat its series, and is left out.
    """
    families: dict[str, list[str]] = {}
    labels: set[str] = set()
    for node in nodes:
        if node.label not in labels:
            labels.add(node.label)
            for name, text in node.texts():
                families.setdefault(name, []).append(text)
    pieces: list[str] = []
    for name, metric in METRICS.items():
        if name in families:
            pieces.append(family_head(metric, openmetrics=openmetrics))
            pieces += families[name]
    return "".join(pieces).encode()


def family_head(metric: Metric, *, openmetrics: bool = False) -> str:
    """Return a family's HELP and TYPE lines."""
    name, kind = metric.name, str(metric.kind)
    if metric.compatible:
        kind = "unknown" if openmetrics else "untyped"
    elif openmetrics and metric.kind is Kind.COUNTER:
        name = name.removesuffix("_total")
    text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
