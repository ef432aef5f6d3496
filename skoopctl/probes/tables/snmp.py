"""tcp, udp and ip: what RFC 1213 counts, as /proc/net/snmp tells it (net/ipv4/proc.c: snmp_seq_show)."""

from __future__ import annotations

from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import GAUGE, Row, readings

_NEEDS = "root, to enter the pods' namespaces"
_COST = "one file a namespace, 0.03 ms"

TCP_READINGS = readings(
    "tcp",
    "snmp",
    (
        Row("ActiveOpens", "Connections that were begun here: SYNs sent."),
        Row("PassiveOpens", "Connections that were accepted here."),
        Row("RetransSegs", "Segments that were sent again."),
        Row("AttemptFails", "Connections that ended before they were established."),
        Row("EstabResets", "Connections that went from ESTABLISHED or CLOSE_WAIT straight to CLOSED."),
        Row("CurrEstab", "Connections in ESTABLISHED or CLOSE_WAIT now.", GAUGE),
        Row("InSegs", "Segments received, damaged ones too."),
        Row("OutSegs", "Segments sent, those that were sent again among them."),
        Row("InErrs", "Segments received damaged."),
        Row("OutRsts", "Segments sent with RST."),
        Row(
            "InCsumErrors",
            "Segments received with a wrong checksum.",
            name="skoopctl_tcp_checksum_errors_total",
        ),
    ),
    where="Tcp",
)

UDP_READINGS = readings(
    "udp",
    "snmp",
    (
        Row("InDatagrams", "Datagrams given to a socket."),
        Row("NoPorts", "Datagrams for a port on which nobody listens."),
        Row("InErrors", "Datagrams that could not be given to a socket, for whatever reason."),
        Row("OutDatagrams", "Datagrams sent."),
        Row("RcvbufErrors", "Datagrams dropped because the socket's receive buffer was full."),
        Row("SndbufErrors", "Datagrams not sent because the socket's send buffer was full."),
        Row("InCsumErrors", "Datagrams received with a wrong checksum."),
        Row("IgnoredMulti", "Multicast datagrams that no socket wanted."),
        Row(
            "MemErrors",
            "Datagrams dropped because all UDP sockets together had used up their memory (udp_mem).",
            name="skoopctl_udp_memory_errors_total",
            only="kernels from 5.11 on",
        ),
    ),
    where="Udp",
)

IP_READINGS = readings(
    "ip",
    "snmp",
    (
        Row(
            "Forwarding",
            "Whether packets are forwarded: 1 yes, 2 no.",
            GAUGE,
            differs="KubeSkoop's help says 0 for no; the kernel says 2, here as there",
        ),
        Row("DefaultTTL", "The TTL that packets are sent with.", GAUGE),
        Row("InReceives", "Packets received, damaged ones too."),
        Row("InHdrErrors", "Packets dropped for their header: checksum, version, TTL run out."),
        Row("InAddrErrors", "Packets dropped for their address: not ours, and not to be forwarded."),
        Row("ForwDatagrams", "Packets forwarded."),
        Row("InUnknownProtos", "Packets for a protocol that nobody handles."),
        Row("InDiscards", "Good packets dropped on their way in, for want of memory above all."),
        Row("InDelivers", "Packets given to a protocol above IP."),
        Row("OutRequests", "Packets that protocols above IP wanted sent; forwarded ones are not among them."),
        Row("OutDiscards", "Good packets dropped on their way out, for want of memory above all."),
        Row("OutNoRoutes", "Packets dropped because there was no route for them."),
        Row("ReasmTimeout", "Packets given up because fragments of them did not come in time."),
        Row("ReasmReqds", "Fragments received that had to be put together."),
        Row("ReasmOKs", "Packets put together from fragments."),
        Row("ReasmFails", "Failures to put fragments together."),
        Row("FragOKs", "Packets cut into fragments."),
        Row("FragFails", "Packets that should have been cut and were not, most for their DF bit."),
        Row("FragCreates", "Fragments made."),
    ),
    where="Ip",
)

TCP = Probe(
    "tcp",
    "TCP: connections opened and failed, segments, retransmissions, resets",
    Scope.NAMESPACE,
    ("snmp",),
    tuple(reading.metric for reading in TCP_READINGS),
    "/proc/net/snmp",
    _COST,
    _NEEDS,
)
UDP = Probe(
    "udp",
    "UDP: datagrams, full buffers, ports without a listener",
    Scope.NAMESPACE,
    ("snmp",),
    tuple(reading.metric for reading in UDP_READINGS),
    "/proc/net/snmp",
    f"{_COST}; the same file as tcp's",
    _NEEDS,
)
IP = Probe(
    "ip",
    "IPv4: packets, drops by cause, fragments",
    Scope.NAMESPACE,
    ("snmp",),
    tuple(reading.metric for reading in IP_READINGS),
    "/proc/net/snmp",
    f"{_COST}; the same file as tcp's",
    _NEEDS,
)
