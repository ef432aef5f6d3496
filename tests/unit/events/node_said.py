"""What a node says of its events, by hand: rounds that tell where things are, events, and counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.histogram import SLOTS, Histogram
from skoopctl.bpf.stream import Counts, FlowCount, Setup, Total
from skoopctl.cluster.cluster import Cluster
from skoopctl.cluster.objects import Node, Pod, Service
from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change
from tests.unit.probes.rounds import HOST_NETNS, place, places, uid

WEB, API, HOST_POD = 7, 8, 99
"""Namespaces of two pods, and the number of the cgroup of a third on the host's network."""
COOKIES = {WEB: 70, API: 80, HOST_NETNS: 1}
PATH = f"/kubepods/pod{uid(3)}/c"
CLUSTER = Cluster(
    nodes={"node1": Node("node1", addresses=(("InternalIP", "192.168.1.1"),))},
    pods={
        ("shop", "web-0"): Pod("shop", "web-0", uid=uid(1), node="node1", ips=("10.0.0.1",), phase="Running"),
        ("shop", "api-0"): Pod("shop", "api-0", uid=uid(2), node="node1", ips=("10.0.0.2",), phase="Running"),
        ("infra", "agent"): Pod(
            "infra",
            "agent",
            uid=uid(3),
            node="node1",
            ips=("192.168.1.1",),
            phase="Running",
            host_network=True,
        ),
    },
    services={("shop", "api"): Service("shop", "api", cluster_ips=("10.96.0.10",))},
)


def identity(*, whole_machine: bool = True) -> Change:
    """Return the item ``identity``."""
    told = {"root_netns": HOST_NETNS, "machine": "x86_64", "whole_machine": whole_machine}
    return Change(HOST, "identity", ItemStatus.OK, "", json.dumps(told).encode())


def cookies(found: Mapping[int, int] | None = None) -> list[Change]:
    """Return the items ``netns-cookie``."""
    known = COOKIES if found is None else found
    return [
        Change(inode, "netns-cookie", ItemStatus.OK, "", b"%d" % cookie) for inode, cookie in known.items()
    ]


def lives(*, whole_machine: bool = True, pods: Iterable[int] = (WEB, API)) -> list[Change]:
    """Return what the first round tells: two pods with namespaces, and one on the host's network."""
    numbers = {WEB: 1, API: 2}
    return [
        identity(whole_machine=whole_machine),
        places(*(place(inode, uid(numbers[inode])) for inode in pods), host_uids=[uid(3)]),
        Change(HOST, "cgroup-ids", ItemStatus.OK, "", f"{HOST_POD} {PATH}\n".encode()),
        *cookies({inode: COOKIES[inode] for inode in (*pods, HOST_NETNS)}),
    ]


def seen(netns: int, **more: Any) -> BpfEvent:
    """Return an event as a node's numbers tell it."""
    fields: dict[str, Any] = {
        "probe": "packetloss",
        "kind": "packet-loss",
        "wall_ns": 1_700_000_000_000_000_000,
        "mono_ns": 5_000_000_000,
        "netns": netns,
        "net_cookie": COOKIES.get(netns, 0),
        "cgroup": 0,
        "ifindex": 2,
        "family": 4,
        "ethertype": 0x800,
        "protocol": 6,
        "source": "10.0.0.1",
        "source_port": 4242,
        "destination": "10.96.0.10",
        "destination_port": 80,
        "tcp_flags": 2,
        "tcp_state": 0,
        "length": 60,
        "reason": 12,
        "reason_name": "NETFILTER_DROP",
        "location": 1,
        "function": "nf_hook_slow",
        "hook": "INPUT",
        "error": 0,
        "fragment": False,
        "undecided": False,
        "calls": (),
        **more,
    }
    return BpfEvent(**fields)


def batch(*events: BpfEvent) -> Batch:
    """Return a batch of them."""
    return Batch("packetloss", events, 0, 0)


def setup(probe: str = "packetloss", ms: float = 1.0, **more: Any) -> Setup:
    """Return how starting a probe went: well, unless ``more`` says otherwise."""
    fields: dict[str, Any] = {
        "status": "ok",
        "detail": "",
        "backend": "core",
        "buffer": "ring",
        "hooks": (),
        "ms": {"all": ms},
        **more,
    }
    return Setup(probe, **fields)


def counts(
    *totals: Total,
    flows: Iterable[FlowCount] = (),
    lost: int = 0,
    missed: int = 0,
    probe: str = "packetloss",
    histograms: Iterable[Histogram] = (),
) -> Counts:
    """Return what a probe has counted."""
    return Counts(probe, totals, tuple(flows), 0, lost, 0, 0, 0, {}, tuple(histograms), missed)


def total(netns: int, count: int, reason: str = "NETFILTER_DROP", kind: str = "packet-loss") -> Total:
    """Return one count by place and reason."""
    return Total(kind, netns, 12 if reason == "NETFILTER_DROP" else 3, reason, 1, "nf_hook_slow", count)


def flow(netns: int, count: int, **more: Any) -> FlowCount:
    """Return one count between two ends."""
    fields: dict[str, Any] = {
        "kind": "packet-loss",
        "netns": netns,
        "protocol": 6,
        "source": "10.0.0.1",
        "source_port": 4242,
        "destination": "10.96.0.10",
        "destination_port": 80,
        "count": count,
        **more,
    }
    return FlowCount(**fields)


def histogram(**slots: int) -> Histogram:
    """Return a histogram of ``softirq`` waits with so many in the slots ``s0`` and others."""
    row = [0] * SLOTS
    for name, number in slots.items():
        row[int(name[1:])] = number
    return Histogram("wait", "NET_RX", tuple(row), 1000 * sum(row))
