"""Why kernels reset connections: ``enum sk_rst_reason`` of Linux 6.10 to 6.18, a row each."""

from __future__ import annotations

from skoopctl.checks.finding import Severity

Row = tuple[str, str, str, Severity]
"""Name, meaning, what usually causes it, severity."""

_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_LATE = "a segment of a connection of the past, or one that a device on the way has changed"
_LISTEN = "a program that is not there, a wrong port, an endpoint that is gone, a connection of another time"
_MPTCP = "a middlebox or a peer that does not follow multipath TCP"

RESET_ROWS: tuple[Row, ...] = (
    ("NOT_SPECIFIED", "the kernel tells no reason", "it can be any", _INFO),
    ("NO_SOCKET", "nobody has a socket for the segment", _LISTEN, _WARNING),
    ("TCP_INVALID_ACK_SEQUENCE", "the segment acknowledges what was not sent", _LATE, _WARNING),
    ("TCP_RFC7323_PAWS", "the segment's timestamp is older than the last one", _LATE, _WARNING),
    ("TCP_TOO_OLD_ACK", "the ACK is far older than the last one", _LATE, _WARNING),
    ("TCP_ACK_UNSENT_DATA", "the segment acknowledges data that was never sent", _LATE, _WARNING),
    ("TCP_FLAGS", "the TCP flags do not fit the connection's state", _LATE, _WARNING),
    ("TCP_OLD_ACK", "the ACK is older than the last one", _LATE, _INFO),
    (
        "TCP_ABORT_ON_DATA",
        "data came after the program had closed its socket",
        "a program that does not read to the end, such as a server that times a request out",
        _INFO,
    ),
    (
        "TCP_TIMEWAIT_SOCKET",
        "the segment is for a connection in TIME_WAIT and does not fit it",
        "ports that are used again soon, with clocks or timestamps that NAT has mixed",
        _WARNING,
    ),
    ("INVALID_SYN", "a SYN came in the middle of a connection", _LATE, _WARNING),
    (
        "TCP_ABORT_ON_CLOSE",
        "the program closed its socket with data unread",
        "a program that ends a request early, or was ended",
        _INFO,
    ),
    (
        "TCP_ABORT_ON_LINGER",
        "the program asked for a reset in place of an orderly end (SO_LINGER 0)",
        "proxies and health checks that want no TIME_WAIT",
        _INFO,
    ),
    (
        "TCP_ABORT_ON_MEMORY",
        "TCP was short of memory, or had too many sockets without a program",
        "net.ipv4.tcp_mem or tcp_max_orphans reached",
        _CRITICAL,
    ),
    ("TCP_STATE", "the socket was destroyed in a state in which the other side waits", _LISTEN, _INFO),
    (
        "TCP_KEEPALIVE_TIMEOUT",
        "the other side did not answer keepalives",
        "a peer that is gone, or a device on the way that has forgotten the connection",
        _WARNING,
    ),
    (
        "TCP_DISCONNECT_WITH_DATA",
        "the program disconnected while data was not sent or not acknowledged",
        "a program that gives a connection up, or was ended",
        _INFO,
    ),
    ("MPTCP_RST_EUNSPEC", "multipath TCP ended a subflow and says no reason", _MPTCP, _INFO),
    ("MPTCP_RST_EMPTCP", "multipath TCP ended a subflow: an option was wrong", _MPTCP, _WARNING),
    ("MPTCP_RST_ERESOURCE", "multipath TCP ended a subflow: no resources", _MPTCP, _WARNING),
    ("MPTCP_RST_EPROHIBIT", "multipath TCP ended a subflow: it is not allowed", _MPTCP, _WARNING),
    ("MPTCP_RST_EWQ2BIG", "multipath TCP ended a subflow: too much was outstanding", _MPTCP, _WARNING),
    ("MPTCP_RST_EBADPERF", "multipath TCP ended a subflow: it was too slow", _MPTCP, _INFO),
    ("MPTCP_RST_EMIDDLEBOX", "multipath TCP ended a subflow: a middlebox interferes", _MPTCP, _WARNING),
    ("ERROR", "the kernel met an error of its own", "it can be any", _WARNING),
)
