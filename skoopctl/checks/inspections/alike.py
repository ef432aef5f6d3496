"""Nodes of one cluster are set up alike, and hold the pods that the API says they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Finding, Where
from skoopctl.checks.inspections.members import node_hosts
from skoopctl.checks.inspections.registry import Inspected, Noted, inspection
from skoopctl.cluster.detect import (
    HostNetwork,
    IptablesBackend,
    NetworkPlugin,
    ProxyMode,
    detect,
)
from skoopctl.cluster.objects import Pod
from skoopctl.dataplane.trace import Evidence

_SILENT = {NetworkPlugin.UNKNOWN, ProxyMode.NONE, ProxyMode.UNKNOWN, IptablesBackend.NONE}
_CHOICES: dict[str, Callable[[HostNetwork], str]] = {
    "network plugin": lambda found: found.plugin,
    "proxy mode": lambda found: found.proxy_mode,
    "iptables backend": lambda found: found.backend,
}


@inspection("nodes-alike", "whether all nodes have one network plugin, proxy mode and iptables backend")
def nodes_alike(inspected: Inspected) -> Iterator[Noted]:
    """Compare what is detected on each node with what most nodes have."""
    nodes = {name: inspected.snapshot.hosts[name] for name in node_hosts(inspected.snapshot)}
    hosts = detect(nodes, inspected.snapshot.cluster).hosts
    for what, value_of in _CHOICES.items():
        told = {name: value_of(found) for name, found in hosts.items() if value_of(found) not in _SILENT}
        inspected.count("settings of nodes", len(told), len(hosts))
        if len(set(told.values())) < 2:
            continue
        usual, number = Counter(told.values()).most_common(1)[0]
        for name, value in told.items():
            if value != usual:
                summary = f"{name} has the {what} {value}, and {number} of {len(told)} nodes have {usual}"
                yield _differs(name, summary, hosts[name].reasons)


def _differs(node: str, summary: str, reasons: tuple[str, ...]) -> Noted:
    doc = DOCS["nodes-differ"]
    evidence = tuple(Evidence("detected", reason, "detected", node=node) for reason in reasons)
    return Noted(Finding(doc.id, doc.severity, Where(node, "host"), summary, evidence, doc.why))


@inspection("pods", "whether each pod's address is on a device of its node")
def pods(inspected: Inspected) -> Iterator[Noted]:
    """Compare the API's running pods with the namespaces of their nodes, as far as those were collected."""
    snapshot = inspected.snapshot
    running = [p for p in snapshot.cluster.pods.values() if p.phase == "Running" and not p.host_network]
    collected = [pod for pod in running if pod.node in snapshot.hosts and pod.ips]
    for pod in collected:
        owner = snapshot.owner(pod.ips[0])
        if owner is None or owner[0] != pod.node:
            if not _all_addresses_read(inspected, pod.node):
                continue
            yield _missing(pod, owner[0] if owner is not None else "")
    inspected.count("running pods", len(collected), len(running))


def _all_addresses_read(inspected: Inspected, node: str) -> bool:
    host = inspected.snapshot.hosts[node]
    return not host.gaps and all("addr" not in netns.gaps for netns in host.namespaces.values())


def _missing(pod: Pod, elsewhere: str) -> Noted:
    doc = DOCS["pod-address-missing"]
    where = f"is on {elsewhere}" if elsewhere else "is nowhere"
    name = f"{pod.namespace}/{pod.name}"
    summary = f"Pod {name} of {pod.node} has the address {pod.ips[0]}, which {where}"
    evidence = (Evidence("object", f"pod {name} {pod.ips[0]} on {pod.node}", f"pod {name}", node=pod.node),)
    return Noted(Finding(doc.id, doc.severity, Where(pod.node, name), summary, evidence, doc.why))
