"""Old connections in conntrack's table: the cause that they are, and the command that forgets them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from skoopctl.checks.cause import Cause
from skoopctl.checks.remedies.registry import Remedy, proposes
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.edit import Change
from skoopctl.dataplane.trace import Branch
from skoopctl.kernel.conntrack import Connection, connection_table
from skoopctl.kernel.netns import NetNamespace


@proposes("stale-conntrack")
def forget(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Delete the old entries between the two addresses of the one that took the packet."""
    old = next((item for item in cause.evidence if item.kind == "conntrack"), None)
    if old is None:
        return
    key = (old.node, old.netns)
    table = snapshot.netns(key).conntrack
    entry = next((e for e in table.entries if e.text == old.text), None) if table is not None else None
    if entry is None:
        return
    way = entry.original
    words = [f"-p {old.text.split()[0]}", f"-s {way.source}", f"-d {way.destination}"]
    words += [f"--dport {way.destination_port}", *([f"-w {way.zone}"] if way.zone else [])]
    yield Remedy(
        f"delete the old connections from {way.source} to {way.destination} on {key[0]}",
        key,
        _without(entry),
        (f"conntrack -D {' '.join(words)}",),
    )


def _without(entry: Connection) -> Change:
    way = entry.original
    pair = entry.protocol, way.source, way.destination, way.destination_port, way.zone

    def is_like(other: Connection) -> bool:
        its = other.original
        return pair == (other.protocol, its.source, its.destination, its.destination_port, its.zone)

    def change(netns: NetNamespace) -> NetNamespace:
        if netns.conntrack is None:
            return netns
        kept = tuple(e for e in netns.conntrack.entries if not is_like(e))
        table = connection_table(kept, complete=netns.conntrack.complete, detail=netns.conntrack.detail)
        return replace(netns, conntrack=table)

    return change
