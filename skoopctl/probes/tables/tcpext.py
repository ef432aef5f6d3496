"""tcpext: what Linux counts beyond RFC 1213 (include/uapi/linux/snmp.h: LINUX_MIB_*), out of /proc/net/netstat."""

from __future__ import annotations

from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import Row, readings

TCPEXT_READINGS = readings(
    "tcpext",
    "netstat",
    (
        Row(
            "ListenDrops",
            "SYNs and handshakes dropped by a listener: its queue was full, or memory was short.",
        ),
        Row("ListenOverflows", "Handshakes dropped because the accept queue was full."),
        Row("TCPSynRetrans", "SYNs and SYN-ACKs sent again."),
        Row("TCPFastRetrans", "Segments sent again because of duplicate ACKs."),
        Row("TCPRetransFail", "Segments that should have been sent again and could not be."),
        Row("TCPTimeouts", "Retransmission timers that ran out."),
        Row("TCPAbortOnClose", "Connections reset because the program closed with data unread."),
        Row("TCPAbortOnMemory", "Connections reset because TCP's memory or the orphans' limit was used up."),
        Row("TCPAbortOnTimeout", "Connections given up after too many retransmissions or keepalives."),
        Row("TCPAbortOnLinger", "Connections reset after their time in FIN_WAIT2 was over."),
        Row("TCPAbortOnData", "Connections reset because data came after the program had closed."),
        Row("TCPAbortFailed", "Resets that could not be sent for want of memory."),
        Row("TCPACKSkippedSynRecv", "ACKs held back in SYN_RECV: duplicates came too fast."),
        Row("TCPACKSkippedPAWS", "ACKs held back for segments whose timestamp was too old (PAWS)."),
        Row("TCPACKSkippedSeq", "ACKs held back for segments outside of the window."),
        Row("TCPACKSkippedFinWait2", "ACKs held back in FIN_WAIT2."),
        Row("TCPACKSkippedTimeWait", "ACKs held back in TIME_WAIT."),
        Row("TCPACKSkippedChallenge", "Challenge ACKs held back by their limit."),
        Row(
            "TCPRcvQDrop",
            "Segments dropped because the receive queue was full.",
            only="kernels from 4.19 on",
        ),
        Row("TCPMemoryPressures", "Times that TCP came under memory pressure (tcp_mem)."),
        Row("TCPMemoryPressuresChrono", "Milliseconds that TCP was under memory pressure."),
        Row("PAWSActive", "Answers to SYNs of ours that were refused for their timestamp (PAWS)."),
        Row("PAWSEstab", "Segments of connections dropped for a timestamp that was too old (PAWS)."),
        Row("EmbryonicRsts", "Resets received for half-open connections."),
        Row("TCPWinProbe", "Probes sent of a window that was closed."),
        Row("TCPKeepAlive", "Keepalives sent."),
        Row("TCPMTUPFail", "MTU probes that failed."),
        Row("TCPMTUPSuccess", "MTU probes that got through."),
        Row(
            "TCPZeroWindowDrop",
            "Segments dropped because our window was closed.",
            only="kernels from 4.19 on",
        ),
        Row("TCPBacklogDrop", "Segments dropped because a busy socket's backlog was full."),
        Row("PFMemallocDrop", "Segments dropped because they lay in memory that was kept for emergencies."),
        Row(
            "TCPWqueueTooBig",
            "Segments not cut further because the write queue was too large.",
            only="kernels from 5.2 on, and older ones with that fix",
        ),
        Row(
            "TCPSpuriousRtxHostQueues",
            "Retransmissions held back because the first copy was still in this host's queues.",
            name="skoopctl_tcp_spurious_host_queue_retransmits_total",
        ),
        Row(
            "TCPReqQFullDrop",
            "SYNs dropped because the queue of half-open connections was full, and SYN cookies are off.",
            name="skoopctl_tcp_request_queue_full_drops_total",
        ),
        Row(
            "TCPReqQFullDoCookies",
            "SYNs answered with a cookie because the queue of half-open connections was full.",
            name="skoopctl_tcp_request_queue_full_cookies_total",
        ),
        Row(
            "TCPOFOQueue",
            "Segments that came out of order.",
            name="skoopctl_tcp_out_of_order_total",
        ),
        Row(
            "TCPLostRetransmit",
            "Retransmissions that were lost again.",
            name="skoopctl_tcp_lost_retransmits_total",
        ),
        Row(
            "TCPTimeWaitOverflow",
            "Connections that got no TIME_WAIT because there were too many (tcp_max_tw_buckets).",
            name="skoopctl_tcp_time_wait_overflows_total",
        ),
        Row(
            "IPReversePathFilter",
            "Packets dropped by the reverse path filter (rp_filter).",
            name="skoopctl_ip_reverse_path_drops_total",
        ),
    ),
    where="TcpExt",
)

TCPEXT = Probe(
    "tcpext",
    "TCP in depth: listen queues, timeouts, aborts, memory pressure",
    Scope.NAMESPACE,
    ("netstat",),
    tuple(reading.metric for reading in TCPEXT_READINGS),
    "/proc/net/netstat",
    "one file a namespace, 0.03 ms",
    "root, to enter the pods' namespaces",
)
