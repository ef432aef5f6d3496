"""Services work from every node, and their rules send to the endpoints that the API has."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.diagnose import Question, walk_between
from skoopctl.checks.finding import Finding, Where
from skoopctl.checks.inspections.members import node_hosts
from skoopctl.checks.inspections.mesh import pod_of_each_node
from skoopctl.checks.inspections.paths import broken_paths
from skoopctl.checks.inspections.registry import Inspected, Noted, inspection
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.objects import Service, ServicePort
from skoopctl.dataplane.trace import Branch, Evidence
from skoopctl.errors import TargetError

_DNS_NAMES = frozenset(
    {("kube-system", "kube-dns"), ("kube-system", "coredns"), ("kube-system", "rke2-coredns-rke2-coredns")}
)
_DNS_LABELS = frozenset({"kube-dns", "coredns"})
_DNS_PORT = 53

Published = tuple[Service, ServicePort]


def service_ports(snapshot: Snapshot) -> list[Published]:
    """Return every port of every service that has a cluster IP and ready endpoints, in a fixed order."""
    cluster = snapshot.cluster
    return [
        (service, port)
        for _, service in sorted(cluster.services.items())
        if service.cluster_ips and service.type != "ExternalName"
        for port in service.ports
        if port.protocol.lower() in {"tcp", "udp", "sctp"}
        and any(each.endpoint.ready for each in cluster.endpoints(service, port))
    ]


def sample(published: list[Published], limit: int) -> list[Published]:
    """Return at most ``limit`` of them: the same ones on every run, and no alphabet's favourites."""
    if len(published) <= limit:
        return published
    ranked = sorted(published, key=lambda each: zlib.crc32(_key(each).encode()))
    return sorted(ranked[:limit], key=_key)


def _key(published: Published) -> str:
    service, port = published
    return f"{service.namespace}/{service.name}:{port.port}/{port.protocol}"


def _serves(node: str, published: Published, snapshot: Snapshot) -> bool:
    """Tell whether a node's clients should reach a service: with a Local policy only those beside an endpoint do."""
    service, port = published
    if service.internal_traffic_policy != "Local":
        return True
    return any(
        e.endpoint.ready and e.endpoint.node == node for e in snapshot.cluster.endpoints(service, port)
    )


def _sources(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return who asks: each node and one pod of it, with the node's name."""
    pods = [(each.address, node) for node, each in pod_of_each_node(snapshot).items()]
    return [*((f"node/{name}", name) for name in node_hosts(snapshot)), *pods]


def _asked(published: list[Published], snapshot: Snapshot) -> list[Question]:
    return [
        _question(source, each)
        for source, node in _sources(snapshot)
        for each in published
        if _serves(node, each, snapshot)
    ]


def _question(source: str, published: Published) -> Question:
    service, port = published
    return Question(source, service.cluster_ips[0], port.protocol.lower(), port.port)


@inspection("services", "whether services with ready endpoints work from every node")
def services(inspected: Inspected) -> Iterator[Noted]:
    """Walk from each node, and from one pod of it, to each service's cluster IP and back."""
    snapshot = inspected.snapshot
    published = service_ports(snapshot)
    chosen = sample(published, int(inspected.threshold("service-limit")))
    inspected.count("service ports with endpoints", len(chosen), len(published))
    yield from broken_paths(inspected, _asked(chosen, snapshot), "paths to services")


@inspection("endpoints", "whether each node's rules send to the endpoints that the API has")
def endpoints(inspected: Inspected) -> Iterator[Noted]:
    """Compare where the walk from each node to a service ends with the ready endpoints of its slices."""
    snapshot = inspected.snapshot
    published = service_ports(snapshot)
    chosen = sample(published, int(inspected.threshold("service-limit")))
    inspected.count("service ports with endpoints", len(chosen), len(published))
    for host in node_hosts(snapshot):
        for each in chosen:
            yield from _compared(host, each, snapshot)


def _compared(host: str, published: Published, snapshot: Snapshot) -> Iterator[Noted]:
    service, port = published
    wanted = {
        e.address for e in snapshot.cluster.endpoints(service, port) if e.endpoint.ready or e.endpoint.serving
    }
    try:
        path = walk_between(_question(f"node/{host}", published), snapshot).path
    except TargetError:
        return
    used = {address for branch in path.branches if (address := _translated(branch))}
    foreign = sorted(used - wanted - set(service.cluster_ips))
    if foreign and not path.unknowns:
        doc = DOCS["stale-endpoint"]
        name = f"{service.namespace}/{service.name}"
        summary = f"{host} sends service {name} port {port.port} to {', '.join(foreign)}, which is no endpoint of it"
        evidence = tuple(
            Evidence("endpoint", f"{name} {port.port} -> {ip}", f"service {name}", node=host)
            for ip in foreign
        )
        yield Noted(Finding(doc.id, doc.severity, Where(host, "host"), summary, evidence, doc.why))


def _translated(branch: Branch) -> str:
    """Return where a branch's request goes in the end: what the packet itself is for, whatever tunnel it is in."""
    views = [step.after for step in branch.forward.steps if step.depth == 0 and step.after is not None]
    return views[-1].destination if views else ""


@inspection("dns", "whether the cluster's DNS service is reached from every node and its pods")
def dns(inspected: Inspected) -> Iterator[Noted]:
    """Walk from each node and one pod of it to the DNS service, over UDP and TCP."""
    snapshot = inspected.snapshot
    found = [
        (service, port)
        for service, port in service_ports(snapshot)
        if port.port == _DNS_PORT
        and (
            (service.namespace, service.name) in _DNS_NAMES or service.selector.get("k8s-app") in _DNS_LABELS
        )
    ]
    inspected.count("DNS service ports", len(found), max(len(found), 1))
    yield from broken_paths(inspected, _asked(found, snapshot), "paths to DNS")
