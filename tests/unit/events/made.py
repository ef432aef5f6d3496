"""Events made by hand, and made of what a probe of this machine has seen."""

from __future__ import annotations

import errno
from typing import Any

from skoopctl.bpf.events import BpfEvent
from skoopctl.events.event import End, EndKind, Event, FlowTally, Tally

NODE = "node1"
WEB = End("10.0.0.1", 4242, EndKind.POD, "shop", "web-0", NODE)
API = End("10.0.0.2", 80, EndKind.SERVICE, "shop", "api")
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")


def event(kind: str = "packet-loss", **more: Any) -> Event:
    """Return an event of a kind; ``more`` are its fields."""
    probe = more.pop("probe", "packetloss")
    return Event(probe, kind, NODE, 1_700_000_000_000_000_000, 5_000_000_000, "core", **more)


def tally(kind: str = "packet-loss", count: int = 5, **more: Any) -> Tally:
    """Return a count of something in a pod, or in another place that ``more`` says."""
    fields: dict[str, Any] = {
        "probe": "packetloss",
        "namespace": "shop",
        "pod": "web-0",
        "netns": 4026532100,
        "reason": "",
        "function": "",
        **more,
    }
    return Tally(kind=kind, count=count, **fields)


def flow_tally(kind: str = "packet-loss", count: int = 5, **more: Any) -> FlowTally:
    """Return a count between two ends."""
    fields: dict[str, Any] = {
        "probe": "packetloss",
        "namespace": "shop",
        "pod": "web-0",
        "netns": 4026532100,
        "protocol": "TCP",
        "source": WEB,
        "destination": API,
        **more,
    }
    return FlowTally(kind=kind, count=count, **fields)


def named(seen: BpfEvent, node: str, device: str = "") -> Event:
    """Return what a probe saw as an event, its addresses without names."""
    flags = ",".join(name for bit, name in enumerate(FLAGS) if seen.tcp_flags >> bit & 1)
    return Event(
        probe=seen.probe,
        kind=seen.kind,
        node=node,
        wall_ns=seen.wall_ns,
        mono_ns=seen.mono_ns,
        backend="core",
        netns=seen.netns,
        cgroup=seen.cgroup,
        device=device,
        ifindex=seen.ifindex,
        ethertype=seen.ethertype,
        protocol=PROTOCOLS.get(seen.protocol, str(seen.protocol)),
        source=End(seen.source, seen.source_port) if seen.source else None,
        destination=End(seen.destination, seen.destination_port) if seen.destination else None,
        tcp_flags=flags,
        length=seen.length,
        reason=seen.reason_name,
        function=seen.function,
        hook=seen.hook,
        error=errno.errorcode.get(-seen.error, "") if seen.error else "",
        calls=seen.calls,
        fragment=seen.fragment,
        undecided=seen.undecided,
    )
