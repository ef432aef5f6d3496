"""Which finding explains what a panel shows: its id, which the panel links to and ``skoopctl explain`` knows."""

from __future__ import annotations

from collections.abc import Mapping

EXPLAINED: Mapping[str, str] = {
    "Segments sent again": "tcp-retransmissions",
    "TCP segments sent again": "tcp-retransmissions",
    "Most segments sent again": "tcp-retransmissions",
    "Listen queue overflows": "tcp-listen-overflow",
    "Most listen queue overflows": "tcp-listen-overflow",
    "TCPListenDrops": "tcp-listen-overflow",
    "ListenOverflows": "tcp-listen-overflow",
    "Accept queue": "tcp-listen-overflow",
    "Half-open queue full": "tcp-request-queue-full",
    "Reverse path filter": "reverse-path-drops",
    "TCPSynRetrans": "tcp-syn-retransmissions",
    "TCPRcvQDrop": "tcp-receive-drops",
    "TCPBacklogDrop": "tcp-receive-drops",
    "TCP Memory Alloc Fail": "tcp-memory-pressure",
    "TCP Connections": "tcp-close-wait",
    "TCP resets and failures": "tcp-connect-failures",
    "UDP receive buffers full": "udp-receive-buffer-full",
    "Most full UDP buffers": "udp-receive-buffer-full",
    "UDP RCV-Buffer exceeded": "udp-receive-buffer-full",
    "UDP SND-Buffer exceeded": "udp-send-buffer-full",
    "UDP No-Ports": "udp-no-listener",
    "Device and queue drops": "netdev-drops",
    "Network Device RX and TX drops": "netdev-drops",
    "Drops by device": "netdev-drops",
    "Network Device RX and TX errors": "netdev-errors",
    "Queueing discipline drops": "qdisc-drops",
    "Queueing discipline backlog": "qdisc-backlog",
    "Conntrack table": "conntrack-table-filling",
    "Conntrack entries": "conntrack-table-filling",
    "Fullest conntrack tables": "conntrack-table-filling",
    "Conntrack drops": "conntrack-insert-failed",
    "Dropped before the stack": "softnet-drops",
    "Softnet": "softnet-drops",
    "CPUs out of budget": "softnet-squeezed",
    "Why packets are dropped": "packets-dropped-by-rules",
    "Why connections fail": "connects-failed",
    "Names that were not answered well": "dns-failing",
}
"""A panel's title, on whatever dashboard, and the finding."""
