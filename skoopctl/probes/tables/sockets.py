"""tcpsummary and sock: how many sockets there are, in which states, and what waits in them."""

from __future__ import annotations

from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import GAUGE, Reading, Row, readings

_QUEUES = "KubeSkoop adds what /proc/net/tcp shows for listeners, which are connections, to the bytes"

TCPSUMMARY_READINGS = readings(
    "tcpsummary",
    "tcp-states",
    (
        Row("tcpestablishedconn", "TCP sockets in ESTABLISHED.", GAUGE, where="sockets in state 1"),
        Row("tcptimewaitconn", "TCP sockets in TIME_WAIT.", GAUGE, where="sockets in state 6"),
        Row("tcpclosewaitconn", "TCP sockets in CLOSE_WAIT.", GAUGE, where="sockets in state 8"),
        Row("tcpsynsentconn", "TCP sockets in SYN_SENT.", GAUGE, where="sockets in state 2"),
        Row("tcpsynrecvconn", "TCP sockets in SYN_RECV.", GAUGE, where="sockets in states 3 and 12"),
        Row(
            "tcptxqueue",
            "Bytes sent and not acknowledged yet, over all TCP sockets but listeners.",
            GAUGE,
            differs=_QUEUES,
            where="tx_queue of all states but LISTEN",
        ),
        Row(
            "tcprxqueue",
            "Bytes received and not read yet, over all TCP sockets but listeners.",
            GAUGE,
            differs=_QUEUES,
            where="rx_queue of all states but LISTEN",
        ),
        Row(
            "acceptqueue",
            "Connections that wait for accept(), over all listeners.",
            GAUGE,
            name="skoopctl_tcp_accept_queue",
            where="rx_queue of LISTEN",
        ),
    ),
)

_PODS_TOO = "KubeSkoop has it for the node only, though its dashboards ask for pods"

SOCK_READINGS: tuple[Reading, ...] = (
    *readings(
        "sock",
        "sockstat",
        (
            Row(
                "inuse",
                "TCP sockets in use, IPv4 and IPv6.",
                GAUGE,
                differs=_PODS_TOO,
                where="sockstat TCP: inuse + sockstat6 TCP6: inuse",
            ),
            Row("tw", "TCP sockets in TIME_WAIT.", GAUGE, differs=_PODS_TOO, where="sockstat TCP: tw"),
            Row(
                "alloc",
                "TCP sockets allocated, on the whole node.",
                GAUGE,
                where="the host's sockstat TCP: alloc",
            ),
            Row(
                "mem",
                "Pages of memory that TCP's buffers hold, on the whole node.",
                GAUGE,
                where="the host's sockstat TCP: mem",
            ),
        ),
    ),
    *readings(
        "sock",
        "tcp-states",
        (
            Row(
                "orphan",
                "TCP sockets that no process holds any more and that are not closed yet.",
                GAUGE,
                differs="of the namespace; KubeSkoop has sockstat's, which is the whole node's",
                where="sockets without an inode, but TIME_WAIT and SYN_RECV",
            ),
        ),
    ),
)

TCPSUMMARY = Probe(
    "tcpsummary",
    "TCP sockets by state, and the bytes and connections that wait in them",
    Scope.NAMESPACE,
    ("tcp-states",),
    tuple(reading.metric for reading in TCPSUMMARY_READINGS),
    "sock_diag (TCPDIAG_GETSOCK), or /proc/net/tcp and tcp6",
    "one dump a namespace, 0.03 ms; with 262,144 buckets of sockets 0.2 ms, without tcp_diag 1.5 ms",
    "root; host-network pods told apart: Linux 5.9 or newer and cgroup v2",
)
SOCK = Probe(
    "sock",
    "TCP sockets in use, orphans, TIME_WAIT, memory",
    Scope.NAMESPACE,
    ("sockstat", "sockstat6", "tcp-states"),
    tuple(reading.metric for reading in SOCK_READINGS),
    "/proc/net/sockstat and sockstat6; sock_diag for the orphans",
    "two small files a namespace, 0.02 ms each, and the dump of tcpsummary",
    "root, to enter the pods' namespaces",
)
