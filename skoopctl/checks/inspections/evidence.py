"""What was not read, and rules that cannot be trusted as they were dumped: on every node, not on one path."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.inspections.registry import Inspected, Noted, inspection
from skoopctl.checks.integrity import clocks_apart, namespace_findings

_HOOKS = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})


@inspection("evidence", "whether everything was read, and can be trusted as it was dumped")
def evidence(inspected: Inspected) -> Iterator[Noted]:
    """Yield the gaps and the doubtful rules of every namespace of every node."""
    snapshot = inspected.snapshot
    for finding in clocks_apart(snapshot.hosts, snapshot):
        yield Noted(finding)
    namespaces = 0
    for host in snapshot.hosts.values():
        for inode in host.namespaces:
            namespaces += 1
            for finding in namespace_findings((host.name, inode), _HOOKS, snapshot):
                yield Noted(finding)
    inspected.count("namespaces", namespaces, namespaces)
