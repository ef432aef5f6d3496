"""Packets that are lost, and what TCP does about it."""

from __future__ import annotations

from skoopctl.bpf.metric import TUPLE_LABELS, EventMetric
from skoopctl.bpf.probe import Below, BpfProbe, EventKind, Hook

PACKET_LOSS = BpfProbe(
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
TCP_RESET = BpfProbe(
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
TCP_RETRANSMIT = BpfProbe(
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
