"""Events to try things with: one that is full, and what differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from skoopctl.events.event import End, EndKind, Event, InnerPacket

WALL_NS = 1_700_000_000_123_456_789
WEB = End("10.244.1.5", 43210, EndKind.POD, "shop", "web-0", "node1")
API = End("10.244.2.7", 80, EndKind.POD, "shop", "api-0", "node2")
NODE2 = End("192.168.1.2", 8080, EndKind.NODE, "", "node2", "node2")
DROP = Event(
    probe="packetloss",
    kind="packet-loss",
    node="node1",
    wall_ns=WALL_NS,
    mono_ns=5_000_000_000,
    backend="core",
    namespace="shop",
    pod="web-0",
    netns=4026532000,
    cgroup=77,
    device="eth0",
    ifindex=2,
    ethertype=0x0800,
    protocol="TCP",
    source=WEB,
    destination=NODE2,
    tcp_flags="SYN",
    length=60,
    reason="NETFILTER_DROP",
    function="nf_hook_slow",
    hook="INPUT",
    calls=("nf_hook_slow", "ip_local_deliver"),
)
INNER = InnerPacket("VXLAN", 1, "TCP", WEB, API, "SYN")
"""What a packet between two nodes may carry."""


def made(**changes: Any) -> Event:
    """Return that drop with other values."""
    return replace(DROP, **changes)


def bare(**changes: Any) -> Event:
    """Return an event of which as good as nothing is known."""
    few = Event("packetloss", "packet-loss", "node1", WALL_NS, 5, "core")
    return replace(few, **changes)
