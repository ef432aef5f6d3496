"""The probes: what each tells, its hooks in the order of preference, its kinds of events.

docs/ebpf.md is printed from here.
"""

from __future__ import annotations

from dataclasses import dataclass

RECORD_BYTES = 96
FRAMES = 14
"""``struct record`` and the addresses behind it: bpf/record.h."""
DELAY_BYTES = 40
"""What ``struct delay`` has behind the record: bpf/latency.h."""

HISTOGRAMS = "histograms"
"""As a `BpfProbe.proof`: that something is in them."""


@dataclass(frozen=True, slots=True)
class Below:
    """Only where a tracepoint hands fewer than ``arguments`` to programs."""

    tracepoint: str
    arguments: int


@dataclass(frozen=True, slots=True)
class Hook:
    """One thing that a probe sees, and the programs that show it: of the alternatives, the first that works whole."""

    what: str
    alternatives: tuple[tuple[str, ...], ...]
    needed: Below | None = None
    since: str = ""
    """The kernels that have it, for people; the loader asks for features."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """One kind of event. ``number`` is ``enum kind`` of bpf/record.h, ``compatible`` is KubeSkoop's name or empty."""

    number: int
    name: str
    compatible: str
    tells: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """From how many microseconds on something is told. ``name`` is ``skoop_NAME_us`` in the source."""

    name: str
    default_us: int
    tells: str


@dataclass(frozen=True, slots=True)
class BpfProbe:
    """One probe by eBPF."""

    name: str
    title: str
    hooks: tuple[Hook, ...]
    kinds: tuple[EventKind, ...]
    reasons: str = ""
    """The kernel's enumeration that its reasons are of."""
    stack: bool = False
    """Whether the record has the calls that led there."""
    delay: bool = False
    """Whether the record has how long it took: ``struct delay`` of bpf/latency.h."""
    words: tuple[str, ...] = ()
    """The names of its reasons by number, where they are the same on all kernels."""
    thresholds: tuple[Threshold, ...] = ()
    histograms: tuple[tuple[str, str], ...] = ()
    """What each row of its histograms is of: a stage, and a type or nothing."""
    whole_node: bool = False
    """Whether what it sees belongs to no namespace, so that asking for some does not narrow it."""
    proof: tuple[str, ...] = ()
    """What it sees of the self-test (remote/bpf_selftest.py): kinds, `HISTOGRAMS`; empty where nothing harmless
    makes it see something."""
    cost: str = ""
    """What a run costs, as the kernel measured it on a small virtual machine (``BPF_ENABLE_STATS``)."""

    @property
    def record_bytes(self) -> int:
        """The size of a record."""
        return RECORD_BYTES + (8 * FRAMES if self.stack else 0) + (DELAY_BYTES if self.delay else 0)


_PACKET_LOSS = BpfProbe(
    name="packetloss",
    title="packets that the kernel frees because they go nowhere: why, in which function, in which netfilter hook",
    hooks=(
        Hook(
            "every packet that is dropped",
            (("on_kfree_skb",),),
            since="4.17; the reason since 5.17, the receiving socket since 6.11",
        ),
    ),
    kinds=(EventKind(1, "packet-loss", "PacketLoss", "a packet was dropped"),),
    reasons="skb_drop_reason",
    stack=True,
    proof=("packet-loss",),
)
_TCP_RESET = BpfProbe(
    name="tcpreset",
    title="TCP resets, sent and received",
    hooks=(
        Hook(
            "resets that are sent",
            (("on_tcp_send_reset",),),
            since="4.17; without a socket since 6.10, with the reason",
        ),
        Hook(
            "resets without a socket",
            (
                ("at_tcp_v4_send_reset", "at_tcp_v6_send_reset"),
                ("in_tcp_v4_send_reset", "in_tcp_v6_send_reset"),
            ),
            Below("tcp_send_reset", 3),
            since="before 6.10; kprobes, else fentry",
        ),
        Hook("resets that are received", (("on_tcp_receive_reset",),), since="4.17"),
    ),
    kinds=(
        EventKind(
            10, "reset-no-socket", "TCPRESET_NOSOCK", "a segment for no socket was answered with a reset"
        ),
        EventKind(11, "reset-active", "TCPRESET_ACTIVE", "a socket ended its connection with a reset"),
        EventKind(
            12,
            "reset-process",
            "TCPRESET_PROCESS",
            "a socket answered a segment that it cannot take with a reset",
        ),
        EventKind(13, "reset-received", "TCPRESET_RECEIVE", "a reset came in and ended a connection"),
        EventKind(14, "reset-sent", "", "a reset was sent; counters do not tell why"),
    ),
    reasons="sk_rst_reason",
    proof=("reset-no-socket", "reset-received"),
)
_TCP_RETRANSMIT = BpfProbe(
    name="tcpretrans",
    title="TCP segments that are sent again",
    hooks=(
        Hook(
            "data, SYN and probes", (("on_tcp_retransmit_skb",),), since="4.17; failures since it tells them"
        ),
        Hook("SYN-ACK", (("on_tcp_retransmit_synack",),), since="4.17"),
    ),
    kinds=(
        EventKind(20, "retransmit", "TCPRetrans", "a segment was sent again"),
        EventKind(
            21, "retransmit-probe", "TCPRetrans", "the last segment was sent again to provoke an answer (TLP)"
        ),
        EventKind(22, "retransmit-synack", "TCPRetrans", "a SYN-ACK was sent again"),
    ),
)

_SOFTIRQS = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU")
"""include/linux/interrupt.h, in the order of the kernel's numbers."""
_SOFTIRQ = BpfProbe(
    name="softirq",
    title="softirqs that wait long for their turn, or run long, by type and CPU",
    hooks=(
        Hook("when a softirq is asked for", (("on_softirq_raise",),), since="4.17"),
        Hook("when it begins", (("on_softirq_entry",),), since="4.17"),
        Hook("when it ends", (("on_softirq_exit",),), since="4.17"),
    ),
    kinds=(
        EventKind(30, "softirq-wait-slow", "SOFTIRQ_SCHED_SLOW", "a softirq waited for its turn"),
        EventKind(31, "softirq-wait-very-slow", "SOFTIRQ_SCHED_100MS", "a softirq waited very long"),
        EventKind(32, "softirq-run-slow", "SOFTIRQ_EXCUTE_SLOW", "a softirq ran long"),
        EventKind(33, "softirq-run-very-slow", "SOFTIRQ_EXCUTE_100MS", "a softirq ran very long"),
    ),
    words=_SOFTIRQS,
    delay=True,
    thresholds=(
        Threshold("slow", 10_000, "a wait or a run is slow"),
        Threshold("very_slow", 100_000, "it is very slow"),
    ),
    histograms=tuple((stage, word) for stage in ("wait", "run") for word in _SOFTIRQS),
    whole_node=True,
    proof=(HISTOGRAMS,),
    cost="some 80 ns when a softirq is asked for, 100 ns when it begins, 100 ns when it ends",
)
_TRANSMIT = BpfProbe(
    name="netiftxlat",
    title="packets that leave slowly: kept by the queueing discipline, or by the driver",
    hooks=(
        Hook("when a packet comes to a device's queue", (("on_net_dev_queue",),), since="4.17"),
        Hook("when the driver gets it", (("on_net_dev_start_xmit",),), since="4.17"),
        Hook(
            "when the driver is done; the packet is gone by then, so that there is its device only",
            (("on_net_dev_xmit",),),
            since="4.17",
        ),
    ),
    kinds=(
        EventKind(
            40, "transmit-qdisc-slow", "NETIFTXLAT_QDISC", "a packet was long in the queue of a device"
        ),
        EventKind(41, "transmit-driver-slow", "NETIFTXLAT_XMIT", "a driver took long to take a packet"),
    ),
    delay=True,
    thresholds=(Threshold("slow", 100_000, "a packet leaves slowly"),),
    histograms=(("qdisc", ""), ("driver", "")),
    proof=(HISTOGRAMS,),
    cost="some 600 ns a packet: 310 when it comes to the queue, 120 when the driver gets it, 160 when that is done",
)
_TCP_CONNECT = BpfProbe(
    name="tcpconnect",
    title="TCP connections that are made: how long it takes, why it fails, who wanted it",
    hooks=(Hook("connections that are begun here", (("on_inet_sock_set_state",),), since="4.17"),),
    kinds=(
        EventKind(50, "connect-slow", "", "a connection was made, after long"),
        EventKind(51, "connect-failed", "", "a connection failed, with the errno that its program gets"),
        EventKind(
            52,
            "connect-abandoned",
            "",
            "a connection was given up without an answer: its program closed it, or had no local port",
        ),
    ),
    delay=True,
    thresholds=(Threshold("slow", 100_000, "making a connection is slow"),),
    histograms=(("established", ""), ("failed", "")),
    proof=(HISTOGRAMS,),
    cost="some 130 ns when a socket changes its state, which a connection's ends do four or five times each",
)
_RUNQUEUE = BpfProbe(
    name="runqueue",
    title="tasks that could run and wait long for a CPU",
    hooks=(
        Hook("tasks that wake up", (("on_sched_wakeup",),), since="4.17"),
        Hook("new tasks", (("on_sched_wakeup_new",),), since="4.17"),
        Hook("tasks that leave a CPU, and get one", (("on_sched_switch",),), since="4.17"),
    ),
    kinds=(EventKind(60, "runqueue-slow", "", "a task waited long for a CPU"),),
    delay=True,
    thresholds=(Threshold("slow", 50_000, "waiting for a CPU is slow"),),
    histograms=(("wait", ""),),
    proof=(HISTOGRAMS,),
    cost="some 320 ns when a task wakes up, 160 ns when a CPU changes from one task to another",
)
_BLOCK = BpfProbe(
    name="biolatency",
    title="requests to block devices that take long, by operation and device",
    hooks=(
        Hook("when the driver gets a request", (("on_block_rq_issue",),), since="4.17"),
        Hook("when it is done", (("on_block_rq_complete",),), since="4.17"),
    ),
    kinds=(EventKind(70, "block-slow", "BIOLAT_10MS", "a request to a block device took long"),),
    delay=True,
    words=("READ", "WRITE", "FLUSH", "DISCARD", "", "SECURE_ERASE", "", "WRITE_SAME", "", "WRITE_ZEROES"),
    thresholds=(Threshold("slow", 10_000, "a request is slow"),),
    histograms=tuple(("request", word) for word in ("READ", "WRITE", "FLUSH", "DISCARD", "others")),
    cost="some 350 ns when a request goes to the driver, 190 ns when it is done",
    whole_node=True,
)

PROBES = {
    probe.name: probe
    for probe in (
        _PACKET_LOSS,
        _TCP_RESET,
        _TCP_RETRANSMIT,
        _SOFTIRQ,
        _TRANSMIT,
        _TCP_CONNECT,
        _RUNQUEUE,
        _BLOCK,
    )
}
KINDS = {kind.number: kind for probe in PROBES.values() for kind in probe.kinds}
