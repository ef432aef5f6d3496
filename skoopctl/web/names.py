"""The names that the form offers: every node, service and pod that the evidence knows of."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.checks.snapshot import Snapshot

MOST_NAMES = 1500
"""A browser has to hold them all; whatever else there is can be typed."""


@dataclass(frozen=True, slots=True)
class Offered:
    """Names as SRC and DST are written. ``total`` is how many there are."""

    names: tuple[str, ...]
    total: int


def offered(snapshot: Snapshot) -> Offered:
    """Return the names to choose from: nodes, services, pods; where no API was asked, the pods' addresses."""
    cluster = snapshot.cluster
    nodes = sorted({*snapshot.hosts, *cluster.nodes})
    names = [f"node/{name}" for name in nodes]
    names += sorted(f"svc/{space}/{name}" for space, name in cluster.services)
    names += sorted(f"pod/{space}/{name}" for space, name in cluster.pods)
    if not cluster:
        names += _addresses(snapshot)
    return Offered(tuple(names[:MOST_NAMES]), len(names))


def _addresses(snapshot: Snapshot) -> list[str]:
    return [
        str(address.ip)
        for host in snapshot.hosts.values()
        for netns in host.namespaces.values()
        if not netns.is_host
        for address in netns.addresses
        if not (address.ip.is_loopback or address.ip.is_link_local)
    ]
