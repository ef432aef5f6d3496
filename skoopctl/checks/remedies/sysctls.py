"""Remedies in settings: forwarding, source checks, what a bridge shows to netfilter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skoopctl.checks.cause import Cause
from skoopctl.checks.remedies.registry import Remedy, family_of, key_of, proposes, steps_of
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, StepKind

_SYSCTL_PATH = str.maketrans("./", "/.")
"""From the name that sysctl(8) prints to the file under /proc/sys."""


def _sysctl_remedy(key: NsKey, values: Mapping[str, str], snapshot: Snapshot) -> Remedy:
    dotted = snapshot.netns(key).sysctls.dotted
    settings = [f"{dotted(path)}={value}" for path, value in values.items()]
    return Remedy(
        f"set {' and '.join(settings)} on {key[0]}",
        key,
        edit.with_sysctls(values),
        tuple(f"sysctl -w {setting}" for setting in settings),
    )


@proposes("forwarding-off")
def forward(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Turn forwarding on for the device that the packet came in on."""
    if family_of(cause.step) == 6:
        yield _sysctl_remedy(key_of(cause.step), {"net/ipv6/conf/all/forwarding": "1"}, snapshot)
        return
    device = cause.step.device
    values = {f"net/ipv4/conf/{device}/forwarding": "1"}
    netns = snapshot.netns(key_of(cause.step))
    if netns.sysctls.integer("net/ipv4/ip_forward") == 0:
        everywhere = {
            path: "1" for path in netns.sysctls.values if path.endswith("/forwarding") and "ipv4" in path
        }
        yield Remedy(
            f"set net.ipv4.ip_forward=1 on {cause.step.node}",
            key_of(cause.step),
            edit.with_sysctls({"net/ipv4/ip_forward": "1", **everywhere}),
            ("sysctl -w net.ipv4.ip_forward=1",),
        )
    yield _sysctl_remedy(key_of(cause.step), values, snapshot)


@proposes("rp-filter")
def loosen(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Make the reverse path filter loose, on the node that filters: of a question (ARP) that is not the step's."""
    path, key = f"net/ipv4/conf/{cause.step.device}/rp_filter", key_of(cause.step)
    for item in cause.evidence:
        if item.kind == "sysctl" and (item.node, item.netns) != key:
            path, key = item.location.translate(_SYSCTL_PATH), (item.node, item.netns)
    yield _sysctl_remedy(key, {path: "2"}, snapshot)


@proposes("martian")
def localnet(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Let loopback addresses in; IPv6 has no such setting."""
    if family_of(cause.step) == 6:
        return
    values = {f"net/ipv4/conf/{cause.step.device}/route_localnet": "1"}
    yield _sysctl_remedy(key_of(cause.step), values, snapshot)


@proposes("answer-not-translated", "answer-lost", "own-source")
def bridge_netfilter(_cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Let bridged packets meet conntrack."""
    for step in steps_of(branch):
        if step.kind is StepKind.BRIDGE:
            name = "iptables" if family_of(step) == 4 else "ip6tables"
            yield _sysctl_remedy(key_of(step), {f"net/bridge/bridge-nf-call-{name}": "1"}, snapshot)
            return


@proposes("echo-ignored", "ipv6-disabled")
def off(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Turn the sysctl off that decided."""
    for item in cause.evidence:
        path = item.location.translate(_SYSCTL_PATH)
        key = item.node, item.netns
        if item.kind == "sysctl" and snapshot.netns(key).sysctls.integer(path):
            yield _sysctl_remedy(key, {path: "0"}, snapshot)
