"""Every single pod: rules, routes and cables that break one pod and no other."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from skoopctl.checks.diagnose import Question
from skoopctl.checks.inspections.members import node_hosts
from skoopctl.checks.inspections.mesh import pod_of_each_node
from skoopctl.checks.inspections.paths import broken_paths
from skoopctl.checks.inspections.registry import Inspected, Noted, inspection
from skoopctl.checks.inspections.services import service_ports
from skoopctl.checks.snapshot import Snapshot


def pods_found(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the node and the address of every pod whose namespace was collected, in a fixed order."""
    found: dict[tuple[str, str], None] = {}
    for host in snapshot.hosts.values():
        for netns in host.namespaces.values():
            key = host.name, netns.inode
            if netns.is_host or not (netns.pod_uids or key in snapshot.labels):
                continue
            ips = [a.ip for a in netns.addresses if not a.ip.is_loopback and not a.ip.is_link_local]
            if ips:
                found[host.name, str(ips[0])] = None
    return sorted(found)


def _sample(pods: list[tuple[str, str]], limit: int) -> list[tuple[str, str]]:
    if len(pods) <= limit:
        return pods
    return sorted(sorted(pods, key=lambda pod: zlib.crc32("/".join(pod).encode()))[:limit])


@inspection(
    "each-pod", "whether every pod reaches its node and a pod of another node, and is reached from there"
)
def each_pod(inspected: Inspected) -> Iterator[Noted]:
    """Walk an echo request from each pod to its own node and to a pod elsewhere, and one from that pod back."""
    snapshot = inspected.snapshot
    every = pods_found(snapshot)
    chosen = _sample(every, int(inspected.threshold("pod-limit")))
    others = {node: each.address for node, each in sorted(pod_of_each_node(snapshot).items())}
    nodes = set(node_hosts(snapshot))
    questions = []
    for node, address in chosen:
        if node in nodes:
            questions.append(Question(address, f"node/{node}", "icmp"))
        elsewhere = next((ip for other, ip in others.items() if other != node), None)
        if elsewhere is not None:
            questions += [Question(address, elsewhere, "icmp"), Question(elsewhere, address, "icmp")]
    inspected.count("pods", len(chosen), len(every))
    yield from broken_paths(inspected, questions, "paths of pods")


@inspection("hairpin", "whether pods reach themselves through their own services")
def hairpin(inspected: Inspected) -> Iterator[Noted]:
    """Walk from each endpoint, where it is a pod that was collected, to its service's cluster IP."""
    snapshot = inspected.snapshot
    pods = {address for _, address in pods_found(snapshot)}
    every = [
        Question(endpoint.address, service.cluster_ips[0], port.protocol.lower(), port.port)
        for service, port in service_ports(snapshot)
        for endpoint in snapshot.cluster.endpoints(service, port)
        if endpoint.endpoint.ready and endpoint.address in pods
    ]
    limit = int(inspected.threshold("service-limit"))
    chosen = (
        every if len(every) <= limit else sorted(every, key=lambda q: zlib.crc32(repr(q).encode()))[:limit]
    )
    inspected.count("endpoints", len(chosen), len(every))
    yield from broken_paths(inspected, chosen, "paths of pods to themselves")
