"""What takes long: histograms of everything, events of what is slow."""

from __future__ import annotations

from skoopctl.bpf.metric import SOFTIRQ_LABELS, EventMetric
from skoopctl.bpf.probe import HISTOGRAMS, BpfProbe, EventKind, Hook, Threshold

_SOFTIRQS = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU")
"""include/linux/interrupt.h, in the order of the kernel's numbers."""
SOFTIRQ = BpfProbe(
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
TRANSMIT = BpfProbe(
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
TCP_CONNECT = BpfProbe(
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
RUNQUEUE = BpfProbe(
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
BLOCK = BpfProbe(
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
SOCKET = BpfProbe(
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
KERNEL = BpfProbe(
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
VIRTIO = BpfProbe(
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
