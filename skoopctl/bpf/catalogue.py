"""The probes: what each tells, its hooks in the order of preference, its kinds of events.

docs/ebpf.md is printed from here.
"""

from __future__ import annotations

from skoopctl.bpf.probe import FRAMES, INNER_BYTES, RECORD_BYTES, BpfProbe, EventKind, Hook
from skoopctl.bpf.tables.latencies import (
    BLOCK,
    KERNEL,
    RUNQUEUE,
    SOCKET,
    SOFTIRQ,
    TCP_CONNECT,
    TRANSMIT,
    VIRTIO,
)
from skoopctl.bpf.tables.sockets import CONNTRACK, DNS, FLOW
from skoopctl.bpf.tables.tcp import PACKET_LOSS, TCP_RESET, TCP_RETRANSMIT

__all__ = [
    "FRAMES",
    "INNER_BYTES",
    "KINDS",
    "NUMBERS",
    "PROBES",
    "RECORD_BYTES",
    "BpfProbe",
    "EventKind",
    "Hook",
]

PROBES = {
    probe.name: probe
    for probe in (
        PACKET_LOSS,
        TCP_RESET,
        TCP_RETRANSMIT,
        SOFTIRQ,
        TRANSMIT,
        TCP_CONNECT,
        RUNQUEUE,
        BLOCK,
        SOCKET,
        KERNEL,
        VIRTIO,
        CONNTRACK,
        DNS,
        FLOW,
    )
}
KINDS = {kind.number: kind for probe in PROBES.values() for kind in probe.kinds}
NUMBERS = {kind.name: number for number, kind in KINDS.items()}
