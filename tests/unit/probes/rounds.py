"""Rounds made by hand: a node with pods, and what its kernel counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change, Round

CASES = Path(__file__).with_name("cases")
HOST_NETNS = 4026531840
SECOND = 10**9

_SNMP = "Tcp: ActiveOpens PassiveOpens AttemptFails RetransSegs OutSegs OutRsts\nTcp: {} {} {} {} {} {}\n"


def uid(number: int) -> str:
    """Return the UID of a pod."""
    return f"{number:08x}-1111-4222-8333-{number:012x}"


def cgroup(pod: str, container: str = "a") -> str:
    """Return the cgroup of one container of a pod, as systemd names it."""
    slice_ = f"kubepods-burstable-pod{pod.replace('-', '_')}.slice"
    return f"0::/kubepods.slice/kubepods-burstable.slice/{slice_}/cri-containerd-{container}.scope"


def place(inode: int, *uids: str, host: bool = False, named: bool = True) -> dict[str, Any]:
    """Return one entry of ``places``."""
    names = [f"cni-{inode}"] if named and not host else []
    return {"inode": inode, "host": host, "names": names, "cgroups": [cgroup(each) for each in uids]}


def places(*pods: dict[str, Any], host_uids: Iterable[str] = ()) -> Change:
    """Return the item ``places`` of a node with these, and the host's namespace."""
    found = [place(HOST_NETNS, *host_uids, host=True), *pods]
    return item("places", json.dumps(found))


def folders(names: Mapping[str, str]) -> Change:
    """Return the item ``pods``: ``NAMESPACE_NAME`` by UID."""
    return item("pods", "\n".join(f"{name}_{pod}" for pod, name in names.items()))


def item(
    name: str, payload: str | bytes, netns: int = HOST, status: ItemStatus = ItemStatus.OK, detail: str = ""
) -> Change:
    """Return one item."""
    return Change(netns, name, status, detail, payload.encode() if isinstance(payload, str) else payload)


def lacking(name: str, status: ItemStatus, detail: str, netns: int = HOST) -> Change:
    """Return an item that was not read."""
    return Change(netns, name, status, detail, b"")


def tcp(netns: int, *, opens: int = 1, retransmitted: int = 0, sent: int = 10, resets: int = 0) -> Change:
    """Return ``snmp`` with only TCP in it."""
    return item("snmp", _SNMP.format(opens, opens, 0, retransmitted, sent, resets), netns)


def case(name: str, what: str, netns: int = HOST) -> Change:
    """Return an item out of the decoders' cases."""
    return item(what, (CASES / f"{name}.{what}").read_bytes(), netns)


def node_round(number: int, *changes: Change, gone: Iterable[int] = (), at_s: float | None = None) -> Round:
    """Return a round, a second after the one before."""
    mono = int((number if at_s is None else at_s) * SECOND)
    return Round(
        number, 1_700_000_000 * SECOND + mono, mono, 1.0, 1.0, 9000, 0, 100, changes, frozenset(gone)
    )
