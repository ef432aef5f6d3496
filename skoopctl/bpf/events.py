"""Events: what the kernel's programs wrote, as one type. Nodes are not trusted.

A batch is a head and records of one size (``struct record`` of bpf/record.h, little endian on both architectures), of
``remote/bpf_session.py``. Addresses of the kernel become names by what the node has said of them before.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skoopctl.bpf.addresses import address_text
from skoopctl.bpf.calls import callers, function_of, is_loss, netfilter_hook
from skoopctl.bpf.catalogue import FRAMES, RECORD_BYTES, BpfProbe
from skoopctl.bpf.inner import Inner, inner_of
from skoopctl.errors import EvidenceError
from skoopctl.evidence.untrusted import printable

BATCH = struct.Struct("<IIqQ")
BATCH_VERSION = 1
RECORD = struct.Struct("<QQQQIIIIBBBBBBHHHi16s16s")
STACK = struct.Struct(f"<{FRAMES}Q")
DELAY = struct.Struct("<QIIII16s")
"""What ``struct delay`` of bpf/latency.h has behind the record."""
MAX_RECORDS = 1 << 20
MOST_WAYS = 4096
"""Stacks of calls whose names are kept."""
_FRAGMENT, _UNDECIDED = 1, 2
_MAX_NS = 1 << 63
_MAX_TASK = 16
_PREFIXES = ("SKB_DROP_REASON_", "SK_RST_REASON_")


@dataclass(frozen=True, slots=True)
class Delay:
    """How long something took until the event's time, and who it was."""

    latency_ns: int
    cpu: int
    """The CPU on which it ended."""
    pid: int
    """The task that it happened to, as the first PID namespace numbers it; 0 where the kernel does not tell."""
    task: str
    """That task's name (``comm``)."""
    device: str
    """The block device as ``major:minor``; empty where it is about none."""


@dataclass(slots=True)  # not frozen: that takes 2 us an event more, a tenth of all that is done with one
class BpfEvent:
    """One event. Times in nanoseconds, ports in host order; addresses are empty where the packet has none.

    Source and destination are those of the packet that it is about: of a reset, the end that sent it.
    """

    probe: str
    kind: str
    wall_ns: int
    mono_ns: int
    netns: int
    """Inode of the network namespace."""
    net_cookie: int
    """What tells namespaces apart that had the same inode one after the other; 0 before 5.12."""
    cgroup: int
    """Id of the socket's cgroup (version 2); 0 where it is not known."""
    ifindex: int
    family: int
    """4, 6, or 0 without addresses."""
    ethertype: int
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    tcp_flags: int
    tcp_state: int
    length: int
    reason: int
    reason_name: str
    """As the kernel's enumeration on that node has it, without its prefix; empty where the kernel tells none."""
    location: int
    function: str
    hook: str
    """The netfilter hook whose rules dropped the packet."""
    error: int
    """What sending returned: 0, or an errno below zero."""
    fragment: bool
    undecided: bool
    """Whether this kernel does not show what would tell the kind apart from another."""
    calls: tuple[str, ...]
    """The functions that led there, the innermost first."""
    delay: Delay | None = None
    """How long it took; None where that is not what the probe tells."""
    inner: Inner | None = None
    """What the packet carries, where it is one of a tunnel and its inside could be read."""
    details: Mapping[str, str | int] = field(default_factory=dict)
    """What one probe alone tells, of those that are no eBPF."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events of one probe."""

    probe: str
    events: tuple[BpfEvent, ...]
    lost: int
    """How many samples of the probe found no room since it began; they are counted."""
    ignored: int
    """How many records were of packets that are freed in the normal course of things (`calls.is_loss`)."""


@dataclass(frozen=True, slots=True)
class Way:
    """The calls that led to an event, by name, and what they tell."""

    function: str
    """In which it happened."""
    calls: tuple[str, ...]
    hook: str


@dataclass(slots=True)
class Names:
    """What a node has said of its numbers: functions by address, reasons by number, for each probe."""

    functions: dict[int, str] = field(default_factory=dict)
    reasons: dict[str, Mapping[int, str]] = field(default_factory=dict)
    _ways: dict[tuple[int, bytes], Way] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """How many ways are kept."""
        return len(self._ways)

    def learn(self, functions: Iterable[tuple[int, str]]) -> None:
        """Take names of functions that were not known before."""
        self.functions.update(functions)
        self._ways.clear()

    def way(self, location: int, stack: bytes) -> Way:
        """Return the calls of a record. They are few ones again and again: each is named once."""
        known = self._ways.get((location, stack))
        if known is None:
            if len(self._ways) >= MOST_WAYS:
                self._ways.clear()
            known = self._ways[location, stack] = self._named(location, stack)
        return known

    def _named(self, location: int, stack: bytes) -> Way:
        addresses = callers(location, STACK.unpack(stack) if stack else ())
        calls = tuple(function_of(self.functions.get(address, "")) for address in addresses)
        return Way(function_of(self.functions.get(location, "")), calls, netfilter_hook(calls))


def decode_batch(probe: BpfProbe, body: bytes, names: Names) -> Batch:
    """Decode a batch. Raises `EvidenceError` when it is not one of the probe's."""
    if len(body) < BATCH.size:
        raise EvidenceError(f"a batch of events of {probe.name} is cut")
    version, size, offset_ns, lost = BATCH.unpack_from(body)
    if version != BATCH_VERSION or size != probe.record_bytes:
        raise EvidenceError(
            f"events of {probe.name} have version {version} and {size} bytes, not {BATCH_VERSION} and "
            f"{probe.record_bytes}",
            hint="the node program is another skoopctl's",
        )
    count, rest = divmod(len(body) - BATCH.size, size)
    if rest or count > MAX_RECORDS:
        raise EvidenceError(f"a batch of events of {probe.name} does not hold whole records")
    events = tuple(_events(probe, body, names, offset_ns))
    return Batch(probe.name, events, lost, count - len(events))


def _events(probe: BpfProbe, body: bytes, names: Names, offset_ns: int) -> Iterator[BpfEvent]:
    numbered = dict(enumerate(probe.words)) or names.reasons.get(probe.name, {})
    reasons: dict[int, str] = {}
    mine = {kind.number: kind.name for kind in probe.kinds}
    stack_bytes = STACK.size if probe.stack else 0
    for at in range(BATCH.size, len(body), probe.record_bytes):
        row = RECORD.unpack_from(body, at)
        behind = at + RECORD_BYTES
        way = names.way(row[1], body[behind : behind + stack_bytes])
        reason = reasons.get(row[6])
        if reason is None:
            reason = reasons[row[6]] = reason_name(row[6], numbered)
        delay = _delay(*DELAY.unpack_from(body, behind)) if probe.delay else None
        inner = inner_of(body, at + probe.inner_at) if probe.inner else None
        event = _event(probe.name, row, mine, offset_ns, reason, way, delay, inner)
        if is_loss(way.function, reason):
            yield event


def _event(
    probe: str,
    row: tuple[Any, ...],
    mine: Mapping[int, str],
    offset_ns: int,
    reason: str,
    way: Way,
    delay: Delay | None,
    inner: Inner | None,
) -> BpfEvent:
    """Return one record as an event. The order of ``row`` is that of ``struct record``."""
    mono_ns, location, cookie, cgroup, netns, ifindex, number, length = row[:8]
    kind, family, protocol, tcp_flags, state, flags, ethertype, sport, dport, error = row[8:18]
    if kind not in mine or family not in {0, 4, 6} or mono_ns >= _MAX_NS:
        raise EvidenceError(f"a record of {probe} has kind {kind} and family {family}")
    return BpfEvent(
        probe=probe,
        kind=mine[kind],
        wall_ns=mono_ns + offset_ns,
        mono_ns=mono_ns,
        netns=netns,
        net_cookie=cookie,
        cgroup=cgroup,
        ifindex=ifindex,
        family=family,
        ethertype=ethertype,
        protocol=protocol,
        source=address_text(family, row[18]),
        source_port=sport,
        destination=address_text(family, row[19]),
        destination_port=dport,
        tcp_flags=tcp_flags,
        tcp_state=state,
        length=length,
        reason=number,
        reason_name=reason,
        location=location,
        function=way.function,
        hook=way.hook,
        error=error,
        fragment=bool(flags & _FRAGMENT),
        undecided=bool(flags & _UNDECIDED),
        calls=way.calls,
        delay=delay,
        inner=inner,
    )


def _delay(latency_ns: int, cpu: int, pid: int, device: int, _unused: int, task: bytes) -> Delay:
    """Return the end of a record; block devices are numbered as in include/linux/kdev_t.h."""
    word = printable(task.split(b"\0")[0].decode("utf-8", "replace"), _MAX_TASK)
    return Delay(latency_ns, cpu, pid, word, f"{device >> 20}:{device & 0xFFFFF}" if device else "")


def reason_name(number: int, names: Mapping[int, str]) -> str:
    """Return a reason in the kernel's words. From 6.4 on, the high half is the subsystem whose reason it is."""
    name = names.get(number, "")
    if name:
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        return name
    if not names:
        return ""
    return f"{number & 0xFFFF} of subsystem {number >> 16}" if number >> 16 else str(number)
