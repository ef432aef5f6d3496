"""One line for one event, for a terminal or a log: what happened, why, to which packet or program.

Node and time are not in it: whoever shows lines has columns for them. All text of nodes is made printable.
"""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.bpf.catalogue import KINDS
from skoopctl.events.event import End, EndKind, Event, InnerPacket
from skoopctl.evidence.untrusted import printable

MAX_LINE = 480
_MAX_WORD = 64
_MAX_DETAILS = 12

_PHRASES = {
    "packet-loss": "packet dropped",
    "reset-no-socket": "reset sent, for a segment without a socket",
    "reset-active": "reset sent, by a socket that ended its connection",
    "reset-process": "reset sent, for a segment that the socket cannot take",
    "reset-received": "reset received",
    "retransmit": "segment sent again",
    "retransmit-probe": "last segment sent again as a probe (TLP)",
    "retransmit-synack": "SYN-ACK sent again",
    "softirq-wait-slow": "softirq {reason} waited {latency} for its turn on CPU {cpu}",
    "softirq-wait-very-slow": "softirq {reason} waited {latency} for its turn on CPU {cpu}",
    "softirq-run-slow": "softirq {reason} ran {latency} on CPU {cpu}",
    "softirq-run-very-slow": "softirq {reason} ran {latency} on CPU {cpu}",
    "transmit-qdisc-slow": "packet waited {latency} in the queue of {device}",
    "transmit-driver-slow": "the driver of {device} took {latency} for a packet",
    "connect-slow": "connection made after {latency}",
    "connect-failed": "connection failed with {error} after {latency}",
    "connect-abandoned": "connection given up without an answer after {latency}",
    "runqueue-slow": "{task} waited {latency} for CPU {cpu}",
    "block-slow": "{reason} of {disk} took {latency}",
    "read-slow": "data waited {latency} until a program read it",
    "read-very-slow": "data waited {latency} until a program read it",
    "write-slow": "what a program wrote waited {latency} before it was sent",
    "write-very-slow": "what a program wrote waited {latency} before it was sent",
    "receive-slow": "packet took {latency} from its device to its socket",
    "receive-very-slow": "packet took {latency} from its device to its socket",
    "send-slow": "packet took {latency} from TCP to its device",
    "send-very-slow": "packet took {latency} from TCP to its device",
    "virtio-command-slow": "command to a virtio device took {latency}",
    "virtio-command-very-slow": "command to a virtio device took {latency}",
    "conntrack-new": "connection entered",
    "conntrack-update": "connection changed",
    "conntrack-destroy": "connection taken out",
    "expect-new": "connection expected",
    "expect-destroy": "connection expected no longer",
    "dns-answer-slow": "DNS answer after {latency}",
    "dns-error": "DNS answer {reason}",
    "dns-nxdomain": "DNS answer: no such name",
    "dns-timeout": "DNS query without an answer",
}
"""By kind; other kinds are told by the catalogue's words and everything that is known."""
_FIELDS = ("reason", "latency", "cpu", "device", "error", "task")
_TOLD = {
    kind: frozenset(name for name in _FIELDS if f"{{{name}}}" in text) for kind, text in _PHRASES.items()
}
_TELLS = {kind.name: kind.tells for kind in KINDS.values()}
_UNITS = ((10**9, "s"), (10**6, "ms"), (10**3, "µs"))


def line_of(event: Event) -> str:
    """Return one event in one line: ``packet dropped: NETFILTER_DROP in INPUT: TCP SYN a -> b, on cni0``."""
    known = _known(event)
    phrase = _PHRASES.get(event.kind)
    head = phrase.format(**known) if phrase else _TELLS.get(event.kind, word(event.kind))
    told = _TOLD.get(event.kind, frozenset())
    line = ": ".join(part for part in (head, *_why(event, told), _packet(event)) if part)
    return printable(", ".join((line, *_rest(event, known, told))), MAX_LINE)


def duration(nanoseconds: int) -> str:
    """Return a time in the unit that people would take: ``850 ns``, ``12.3 ms``, ``1.02 s``."""
    for size, unit in _UNITS:
        if nanoseconds >= size:
            number = nanoseconds / size
            return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
    return f"{nanoseconds} ns"


def end_words(end: End) -> str:
    """Return one end with its name and its address: ``shop/web-0 (10.0.0.1:80)``."""
    address = word(end.socket_address)
    return f"{word(end.place, 2 * _MAX_WORD)} ({address})" if end.kind is not EndKind.UNKNOWN else address


def tunnel_words(inner: InnerPacket) -> str:
    """Return a tunnel with its number: ``VXLAN 1``, ``IPIP``."""
    return word(inner.tunnel) if inner.id is None else f"{word(inner.tunnel)} {inner.id}"


def _known(event: Event) -> dict[str, str]:
    task = word(event.task) or "a task"
    disk = str(event.details.get("disk", "")) or event.device
    return {
        "reason": word(event.reason) or "(unknown)",
        "latency": duration(event.latency_ns) if event.latency_ns is not None else "(unknown)",
        "cpu": str(event.cpu) if event.cpu is not None else "(unknown)",
        "device": _device(event) or "a device",
        "error": word(event.error) or "an error that is not known",
        "task": f"{task} (pid {event.pid})" if event.pid else task,
        "disk": f"disk {word(disk) or '(unknown)'}",
    }


def _why(event: Event, told: frozenset[str]) -> Iterator[str]:
    """Yield the reason with the place, and how long it took, where the phrase has not told it."""
    if "reason" not in told:
        place = f" in {word(event.hook)}" if event.hook else ""
        if not place and event.function and event.kind == "packet-loss":
            place = f" in {word(event.function)}()"
        if event.reason or place:
            yield f"{word(event.reason) or 'no reason told,'}{place}"
    if event.latency_ns is not None and event.kind not in _PHRASES:
        yield duration(event.latency_ns)


def _packet(event: Event) -> str:
    """Return what it was and between whom; empty where it is about no packet."""
    kind = _kind(event)
    if event.source is None and event.destination is None:
        return kind or (f"ethertype {event.ethertype:#06x}" if event.ethertype else "")
    ends = [end_words(end) if end else "?" for end in (event.source, event.destination)]
    return f"{kind} {' -> '.join(ends)}".strip()


def _kind(packet: Event | InnerPacket) -> str:
    words = (word(packet.protocol), word(packet.tcp_flags), "fragment" if packet.fragment else "")
    return " ".join(part for part in words if part)


def _carried(inner: InnerPacket) -> str:
    """Return what a packet carries: ``TCP SYN a -> b in VXLAN 1``."""
    ends = f"{end_words(inner.source)} -> {end_words(inner.destination)}"
    return f"{_kind(inner)} {ends} in {tunnel_words(inner)}".strip()


def _rest(event: Event, known: dict[str, str], told: frozenset[str]) -> Iterator[str]:
    """Yield what else is known and the phrase has not told."""
    if event.inner is not None:
        yield f"carrying {_carried(event.inner)}"
    if _device(event) and "device" not in told and event.kind != "block-slow":
        yield f"on {known['device']}"
    if event.tcp_state and event.kind != "packet-loss":
        yield f"in {word(event.tcp_state)}"
    if event.error and "error" not in told:
        yield f"failed with {known['error']}"
    if event.task and "task" not in told:
        yield f"by {known['task']}"
    if event.undecided:
        yield "or another kind: this kernel does not tell"
    for name, value in list(event.details.items())[:_MAX_DETAILS]:
        if event.kind != "block-slow":
            yield f"{word(name)} {word(str(value), 2 * _MAX_WORD)}"


def _device(event: Event) -> str:
    return word(event.device) or (f"device {event.ifindex}" if event.ifindex else "")


def word(text: str, limit: int = _MAX_WORD) -> str:
    """Return a word of a node's as it may stand in a line."""
    return printable(text, limit)
