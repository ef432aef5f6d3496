"""Remedies for connections whose large packets are lost: devices whose MTUs agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from skoopctl.checks.cause import Cause
from skoopctl.checks.remedies.registry import Remedy, proposes
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Disposition, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


@proposes("mtu-black-hole")
def matching_device(cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Give the device that drops the size of what is sent to it; a tunnel's, what its underlay carries."""
    key = cause.step.node, cause.step.netns
    netns = snapshot.netns(key)
    link = netns.link_named(cause.step.device)
    passes, sent = _sizes(branch)
    if link is None or not passes:
        return
    wraps = link.vxlan is not None or link.tunnel is not None
    wanted = passes if wraps else sent
    # Where a router found the packet too large for the way on, its device is as it should be.
    if link.mtu != wanted and (wraps or link.mtu < sent) and not _has_error(branch):
        yield _set_mtu(key, netns, link, wanted)


@proposes("mtu-black-hole")
def smaller_sender(_cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Give the sender's device what passes: its segments, and those that it asks for, fit then."""
    passes, _ = _sizes(branch)
    walk = branch.fatal_walk
    born = next((step for step in walk.steps if step.kind is StepKind.ROUTE and step.device), None)
    if born is None or not passes:
        return
    key = born.node, born.netns
    netns = snapshot.netns(key)
    link = netns.link_named(born.device)
    if link is not None and link.mtu > passes:
        yield _set_mtu(key, netns, link, passes)


def _sizes(branch: Branch) -> tuple[int, int]:
    """Return what passes in the direction that stalls, and what is sent there."""
    mtu = branch.mtu
    if mtu is None or not mtu.stalls:
        return 0, 0
    return (mtu.forward, mtu.segment) if mtu.stalls == "forward" else (mtu.reply, mtu.reply_segment)


def _has_error(branch: Branch) -> bool:
    """Tell whether an ICMP error was sent, and lost."""
    lost = (walk for walk in branch.others if walk.label.startswith("ICMP error"))
    return any(walk.disposition is not Disposition.DELIVERED for walk in lost)


def _set_mtu(key: NsKey, netns: NetNamespace, link: Link, mtu: int) -> Remedy:
    where = (
        f"on {key[0]}" if netns.is_host else f"in {netns.names[0] if netns.names else 'the pod'} on {key[0]}"
    )
    return Remedy(
        f"set the MTU of {link.name} to {mtu} {where}",
        key,
        edit.with_link(link.index, lambda each: replace(each, mtu=mtu)),
        (f"ip link set dev {link.name} mtu {mtu}",),
    )
