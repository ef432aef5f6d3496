"""An event as KubeSkoop's exporter writes it, for whatever reads its events.

Names, misspellings included, are those of ``pkg/exporter/probe`` there; what it gets wrong is right here: both ends of
a packet have their names, ports are as they are, and IPv6 is told as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skoopctl.bpf.catalogue import PROBES
from skoopctl.events.event import End, EndKind, Event

COMPATIBLE: Mapping[str, str] = {
    kind.name: kind.compatible for probe in PROBES.values() for kind in probe.kinds if kind.compatible
}
"""Our kind, and KubeSkoop's type. A kind that is not here has no counterpart there."""
_PROTOCOLS = {"TCP": "TCP", "UDP": "UDP", "ICMP": "ICMP", "ICMPv6": "ICMP6", "ICMP6": "ICMP6"}
_STATES = frozenset({"ESTABLISHED", "SYN_SENT", "SYN_RECV", "LISTEN"})
_NOBODY = End("")

Labels = list[tuple[str, str]]


def kubeskoop_event(event: Event) -> dict[str, Any] | None:
    """Return an event in KubeSkoop's shape, or nothing for a kind that it does not have.

    ``timestamp`` is in nanoseconds since 1970, of the node's clock.
    """
    kind = COMPATIBLE.get(event.kind)
    if kind is None:
        return None
    labels, message = _SHAPES.get(event.probe, (_place, _tuple))
    return {
        "timestamp": event.wall_ns,
        "type": kind,
        "labels": [{"name": name, "value": value} for name, value in labels(event)],
        "msg": message(event),
    }


# --- labels -----------------------------------------------------------------------------------------------


def _place(event: Event) -> Labels:
    """Return whose network namespace it was, in this order: readers take them by their number."""
    return [("pod", event.pod), ("namespace", event.namespace), ("node", event.node)]


def _both_ends(event: Event) -> Labels:
    source, destination = event.source or _NOBODY, event.destination or _NOBODY
    return [
        ("protocol", _protocol(event)),
        *_end("src", source),
        *_end("dst", destination),
        ("sport", str(source.port)),
        ("dport", str(destination.port)),
    ]


def _end(side: str, end: End) -> Labels:
    """Return one end: a pod has no node there, and a service is nothing that it knows."""
    pod, node = end.kind is EndKind.POD, end.kind is EndKind.NODE
    return [
        (side, end.address),
        (f"{side}_type", end.kind.value if pod or node else "unknown"),
        (f"{side}_node", (end.node or end.name) if node else ""),
        (f"{side}_namespace", end.namespace if pod else ""),
        (f"{side}_pod", end.name if pod else ""),
    ]


def _softirq_type(event: Event) -> Labels:
    return [("type", event.reason.lower())]


def _none(_event: Event) -> Labels:
    return []


# --- messages ---------------------------------------------------------------------------------------------


def _tuple(event: Event) -> str:
    source, destination = event.source or _NOBODY, event.destination or _NOBODY
    return (
        f"protocol={_protocol(event)} saddr={source.address} sport={source.port} "
        f"daddr={destination.address} dport={destination.port} "
    )


def _reset(event: Event) -> str:
    state = event.tcp_state.removeprefix("TCP_")
    return f"{_tuple(event)} state:TCP_{state if state in _STATES else 'OTHER'} "


def _calls(event: Event) -> str:
    return "\n".join(event.calls)


def _slow_leave(event: Event) -> str:
    return f"{_tuple(event)} latency:{_human(event)}"


def _slow_socket(event: Event) -> str:
    return f"{_tuple(event)} latency={_human(event)}"


def _slow_kernel(event: Event) -> str:
    """Return the whole latency; its parts are not told apart here."""
    sign = "=" if COMPATIBLE.get(event.kind) == "TXKERNEL_SLOW" else ":"
    return f"{_tuple(event)} latency{sign}{_human(event)}"


def _slow_softirq(event: Event) -> str:
    return f"cpu={event.cpu or 0} pid={event.pid} latency={_human(event)} "


def _slow_command(event: Event) -> str:
    return f"cpu={event.cpu or 0}  pid={event.pid}  latency={_human(event)}"


def _slow_disk(event: Event) -> str:
    return f"{event.task} {event.pid} latency {_human(event)}"


def _connection(event: Event) -> str:
    """Return a connection's first direction, and TCP's state, for which the exporter itself always has ``UNKNOW``."""
    replied = "SEEN_REPLY" in str(event.details.get("status", "")).split(",")
    state = event.details.get("state", "") if event.protocol == "TCP" else ""
    source, destination = (_host_and_port(end or _NOBODY) for end in (event.source, event.destination))
    return (
        f"Proto = {_protocol(event)} Replied = {str(replied).lower()} "
        f"{f'State = {state} ' if state else ''}Src = {source}, Dst = {destination}"
    )


def _host_and_port(end: End) -> str:
    """Return an address as ``net.JoinHostPort`` does."""
    return f"[{end.address}]:{end.port}" if ":" in end.address else f"{end.address}:{end.port}"


def _protocol(event: Event) -> str:
    return _PROTOCOLS.get(event.protocol, "IP")


def _human(event: Event) -> str:
    """Return a latency as ``bpfutil.GetHumanTimes`` does."""
    latency_ns = event.latency_ns or 0
    if latency_ns > 1_000_000:
        return f"{latency_ns // 1_000_000} ms"
    return f"{latency_ns // 1000} us" if latency_ns > 1000 else f"{latency_ns} ns"


_SHAPES: Mapping[str, tuple[Callable[[Event], Labels], Callable[[Event], str]]] = {
    "packetloss": (_both_ends, _calls),
    "tcpretrans": (_both_ends, _calls),
    "tcpreset": (_place, _reset),
    "kernellatency": (_place, _slow_kernel),
    "netiftxlat": (_place, _slow_leave),
    "socketlatency": (_place, _slow_socket),
    "softirq": (_softirq_type, _slow_softirq),
    "virtcmdlatency": (_none, _slow_command),
    "biolatency": (_none, _slow_disk),
    "conntrack": (_place, _connection),
}
"""Probe: its labels, its message. Others have the place and the addresses."""
