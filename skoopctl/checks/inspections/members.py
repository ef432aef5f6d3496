"""Which of the collected hosts are nodes of the cluster: an inventory may hold others too."""

from __future__ import annotations

from skoopctl.checks.snapshot import Snapshot


def node_hosts(snapshot: Snapshot) -> list[str]:
    """Return the hosts that are nodes, by name or by address; all of them where the API was not asked."""
    nodes = snapshot.cluster.nodes
    if not nodes:
        return list(snapshot.hosts)
    known = {name for name in nodes if name in snapshot.hosts}
    for node in nodes.values():
        for _, address in node.addresses:
            owner = snapshot.owner(address)
            if owner is not None and snapshot.netns(owner).is_host:
                known.add(owner[0])
    return [name for name in snapshot.hosts if name in known]
