"""The probes: what each tells, its hooks in the order of preference, its kinds of events.

docs/ebpf.md is printed from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.bpf.metric import SOFTIRQ_LABELS, TUPLE_LABELS, EventMetric

RECORD_BYTES = 96
FRAMES = 14
"""``struct record`` and the addresses behind it: bpf/record.h."""
INNER_BYTES = 48
"""What ``struct inner`` has behind those addresses: bpf/tunnel.h."""
BPF = "bpf"
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
    whole: bool = False
    """Whether a part of an alternative shows nothing."""
    by: str = ""
    """What shows it where that is no program of eBPF."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """One kind of event. ``number`` is ``enum kind`` of bpf/record.h, ``compatible`` is KubeSkoop's name or empty."""

    number: int
    name: str
    compatible: str
    tells: str
    sampled: bool = True
    """Whether it comes as an event; else it is only counted, by namespace."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From how many microseconds on something is told. ``name`` is ``skoop_NAME_us`` in the source."""

    name: str
    default_us: int
    tells: str


@dataclass(frozen=True, slots=True)
class BpfProbe:
    """One probe; by eBPF, where it does not say otherwise."""

    name: str
    title: str
    hooks: tuple[Hook, ...]
    kinds: tuple[EventKind, ...]
    reasons: str = ""
    """The kernel's enumeration that its reasons are of."""
    stack: bool = False
    """Whether the record has the calls that led there."""
    inner: bool = False
    """Whether the record has what a packet of a tunnel carries."""
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
    metrics: tuple[EventMetric, ...] = ()
    """KubeSkoop's names for what it counts."""
    notes: str = ""
    """What its numbers are, where the table does not tell."""
    cost: str = ""
    """What a run costs, as the kernel measured it on a small virtual machine (``BPF_ENABLE_STATS``)."""
    source: str = BPF
    """What it is made by: eBPF, or the node's file ``ev_SOURCE.py``, which needs neither BTF nor CAP_BPF."""
    backend: str = "core"
    """How its results name that."""

    @property
    def is_bpf(self) -> bool:
        """Whether programs have to be loaded for it."""
        return self.source == BPF

    @property
    def record_bytes(self) -> int:
        """The size of a record."""
        return self.inner_at + (INNER_BYTES if self.inner else 0) + (DELAY_BYTES if self.delay else 0)

    @property
    def inner_at(self) -> int:
        """Where in a record stands what it carries: behind the calls."""
        return RECORD_BYTES + (8 * FRAMES if self.stack else 0)


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
    inner=True,
    proof=("packet-loss",),
    metrics=(
        EventMetric("kubeskoop_packetloss_total", (1,), ("k8s_node", *TUPLE_LABELS)),
        EventMetric(
            "kubeskoop_packetloss_netfilter",
            (1,),
            ("k8s_node", *TUPLE_LABELS),
            reasons=("NETFILTER_DROP",),
            functions=("nf_hook_slow",),
        ),
    ),
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
    metrics=(EventMetric("kubeskoop_tcpretrans_total", (20, 21, 22), TUPLE_LABELS),),
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
    metrics=(
        EventMetric("kubeskoop_softirq_schedslow", (30, 31), SOFTIRQ_LABELS),
        EventMetric("kubeskoop_softirq_schedslow100ms", (31,), SOFTIRQ_LABELS),
        EventMetric("kubeskoop_softirq_excuteslow", (32, 33), SOFTIRQ_LABELS),
        EventMetric("kubeskoop_softirq_excuteslow100ms", (33,), SOFTIRQ_LABELS),
    ),
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
    metrics=(
        EventMetric("kubeskoop_netiftxlat_qdiscslow100ms", (40,)),
        EventMetric("kubeskoop_netiftxlat_netdevslow100ms", (41,)),
    ),
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
_SOCKET = BpfProbe(
    name="socketlatency",
    title="data that waits in a TCP socket: received, until the program reads it; written, until the kernel sends it",
    hooks=(
        Hook(
            "when a program reads, and when there was something to read",
            (("on_tcp_rcv_space_adjust", "on_sk_data_ready"), ("on_tcp_rcv_space_adjust", "on_tcp_probe")),
            since="6.3, else 4.17 while a connection is established",
            whole=True,
        ),
        Hook(
            "when a program writes, and when a packet with that leaves",
            (
                ("on_tcp_sendmsg_locked", "on_net_dev_queue"),
                ("in_tcp_sendmsg_locked", "on_net_dev_queue"),
                ("at_tcp_sendmsg_locked", "on_net_dev_queue"),
            ),
            since="6.16; before, fentry, else a kprobe",
            whole=True,
        ),
        Hook("when a socket ends", (("on_tcp_destroy_sock",),), since="4.17"),
    ),
    kinds=(
        EventKind(80, "read-slow", "", "a program let data wait before it read it", sampled=False),
        EventKind(81, "read-very-slow", "SOCKETLAT_READSLOW", "a program let data wait very long"),
        EventKind(82, "write-slow", "", "what a program wrote waited before it was sent", sampled=False),
        EventKind(83, "write-very-slow", "SOCKETLAT_SENDSLOW", "what a program wrote waited very long"),
    ),
    delay=True,
    thresholds=(
        Threshold("slow", 1_000, "a wait is counted as slow"),
        Threshold("very_slow", 100_000, "it is very slow, and told"),
    ),
    histograms=(("read", ""), ("write", "")),
    metrics=(
        EventMetric("kubeskoop_socketlatency_read1ms", (80, 81)),
        EventMetric("kubeskoop_socketlatency_read100ms", (81,)),
        EventMetric("kubeskoop_socketlatency_write1ms", (82, 83)),
        EventMetric("kubeskoop_socketlatency_write100ms", (83,)),
    ),
    notes=(
        "A read ends the wait of all that was there; what is left waits anew since then. One byte of the queue that "
        "is sent is watched at a time, and the next one is the last that was written by then. So no wait is told "
        "longer than it was, and a queue that never gets empty is measured all the same. Of more than 16,384 sockets "
        "those that were busy last are watched."
    ),
    cost="some 220 ns when data comes, 190 ns a read, 160 ns a write, 150 ns a packet that leaves",
)
_KERNEL = BpfProbe(
    name="kernellatency",
    title="packets that the kernel itself keeps: from a device to their socket, and from TCP to a device",
    hooks=(
        Hook(
            "packets that come from a device, and TCP's that reach an established connection",
            (("on_netif_receive_skb", "on_tcp_probe"),),
            since="4.17",
            whole=True,
        ),
        Hook(
            "UDP's that reach their socket",
            (("on_sk_data_ready",), ("in_udp_enqueue",), ("at_udp_enqueue",)),
            since="6.3; before, fentry, else a kprobe",
        ),
        Hook(
            "packets that TCP sends, and that come to a device's queue",
            (
                ("in_ip_queue_xmit", "in_inet6_csk_xmit", "on_net_dev_queue"),
                ("at_ip_queue_xmit", "at_inet6_csk_xmit", "on_net_dev_queue"),
                ("stamped_net_dev_queue",),
            ),
            since="fentry, else kprobes, else by TCP's own stamp, since 4.20",
            whole=True,
        ),
    ),
    kinds=(
        EventKind(90, "receive-slow", "RXKERNEL_SLOW", "a packet came slowly from its device to its socket"),
        EventKind(91, "receive-very-slow", "RXKERNEL_SLOW", "a packet came very slowly to its socket"),
        EventKind(92, "send-slow", "TXKERNEL_SLOW", "a packet came slowly from TCP to its device"),
        EventKind(93, "send-very-slow", "TXKERNEL_SLOW", "a packet came very slowly to its device"),
    ),
    delay=True,
    thresholds=(
        Threshold("slow", 10_000, "a way is slow"),
        Threshold("very_slow", 100_000, "it is very slow"),
    ),
    histograms=(("receive", ""), ("send", "")),
    metrics=(
        EventMetric("kubeskoop_kernellatency_rxslow", (90, 91)),
        EventMetric("kubeskoop_kernellatency_rxslow100ms", (91,)),
        EventMetric("kubeskoop_kernellatency_txslow", (92, 93)),
        EventMetric("kubeskoop_kernellatency_txslow100ms", (93,)),
    ),
    notes=(
        "What comes in may wait for netfilter, for a program that has it decide (NFQUEUE), and for the socket while a "
        "program is in a system call for it; what goes out for netfilter, and for the neighbour's address. TCP's own "
        "stamp is that of the first packet of those that it sends at once: those behind it seem a little slower. "
        "A packet has one of 65,536 places by its address; one whose place another has taken meanwhile is not counted."
    ),
    cost="some 100 ns a packet that comes in, 130 ns when it is at its socket, 200 ns one that leaves (by the stamp)",
)
_VIRTIO = BpfProbe(
    name="virtcmdlatency",
    title="commands to virtio network devices that take long, while all network settings are locked (RTNL)",
    hooks=(
        Hook(
            "commands, and when they are done",
            (
                ("at_virtnet_send_command_reply", "after_virtnet_send_command_reply"),
                ("at_virtnet_send_command", "after_virtnet_send_command"),
            ),
            since="with virtio_net; which of the two depends on the kernel",
            whole=True,
        ),
    ),
    kinds=(
        EventKind(100, "virtio-command-slow", "VIRTCMDEXCUTE", "a command to a virtio device took long"),
        EventKind(101, "virtio-command-very-slow", "VIRTCMDEXCUTE_100MS", "a command took very long"),
    ),
    words=("RX", "MAC", "VLAN", "ANNOUNCE", "MQ", "GUEST_OFFLOADS", "NOTF_COAL"),
    delay=True,
    thresholds=(
        Threshold("slow", 10_000, "a command is slow"),
        Threshold("very_slow", 100_000, "it is very slow"),
    ),
    histograms=(("command", ""),),
    whole_node=True,
    metrics=(
        EventMetric("kubeskoop_virtcmdlatency_latency", (100, 101)),
        EventMetric("kubeskoop_virtcmdlatency_latency100ms", (101,)),
    ),
)
_CONNTRACK = BpfProbe(
    name="conntrackevents",
    title="connections that conntrack begins, changes and ends, with both directions, NAT and state",
    hooks=(
        Hook(
            "entries of the table, and those that helpers expect",
            (),
            since="all; the module nf_conntrack_netlink has to be there",
            by="netlink: NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY, _EXP_NEW, _EXP_DESTROY",
        ),
    ),
    kinds=(
        EventKind(130, "conntrack-new", "ConntrackNew", "a connection was entered"),
        EventKind(131, "conntrack-update", "ConntrackUpdate", "its state or status changed"),
        EventKind(
            132, "conntrack-destroy", "ConntrackDestroy", "it was taken out: it timed out, or was deleted"
        ),
        EventKind(133, "expect-new", "ConntrackExpNew", "a helper expects a connection"),
        EventKind(134, "expect-destroy", "ConntrackExpDestroy", "it no longer expects it, or it came"),
    ),
    source="conntrack",
    backend="netlink",
)
_DNS = BpfProbe(
    name="dns",
    title="DNS over UDP: queries that get an error, no such name, no answer, or an answer that takes long",
    hooks=(
        Hook(
            "queries and answers of each namespace",
            (),
            since="all; the module af_packet has to be there",
            by="packet socket, classic BPF: UDP port 53",
        ),
    ),
    kinds=(
        EventKind(110, "dns-answer", "", "an answer came in time and without an error", sampled=False),
        EventKind(111, "dns-answer-slow", "", "an answer came without an error, after long"),
        EventKind(112, "dns-error", "", "an answer had a code other than NOERROR and NXDOMAIN"),
        EventKind(113, "dns-nxdomain", "", "there is no such name"),
        EventKind(114, "dns-timeout", "", "a query got no answer in time"),
    ),
    words=(
        *("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET"),
        *("NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "RCODE12", "RCODE13", "RCODE14", "RCODE15"),
        "NO_ANSWER",
    ),
    thresholds=(
        Threshold("slow", 100_000, "an answer is slow"),
        Threshold("timeout", 5_000_000, "a query is without an answer, since it was sent last"),
    ),
    histograms=(("answer", ""),),
    source="dns",
    backend="packet",
)
_FLOW = BpfProbe(
    name="flow",
    title="bytes and packets of TCP connections, as their sockets count them",
    hooks=(
        Hook(
            "connections that are there, at the beginning and whenever counts are sent",
            (),
            since="all; the module tcp_diag has to be there; bytes to the last one since 4.19",
            by="netlink: sock_diag",
        ),
        Hook(
            "connections that end",
            (),
            since="4.3; before, what came after the last snapshot is not seen",
            by="netlink: SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY",
        ),
    ),
    kinds=(
        EventKind(120, "flow-sent", "", "what a socket sent to its peer", sampled=False),
        EventKind(
            121,
            "flow-received",
            "",
            "what a socket received from its peer, with the peer as source",
            sampled=False,
        ),
    ),
    metrics=(
        EventMetric("kubeskoop_flow_bytes", (120, 121), TUPLE_LABELS, of="bytes"),
        EventMetric("kubeskoop_flow_packets", (120, 121), TUPLE_LABELS, of="packets"),
    ),
    source="flow",
    backend="netlink",
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
        _SOCKET,
        _KERNEL,
        _VIRTIO,
        _CONNTRACK,
        _DNS,
        _FLOW,
    )
}
KINDS = {kind.number: kind for probe in PROBES.values() for kind in probe.kinds}
NUMBERS = {kind.name: number for number, kind in KINDS.items()}
