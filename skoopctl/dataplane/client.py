"""What the client's program sees: an ICMP error or a failed send as an outcome and an errno.

Sources: net/ipv4/icmp.c (icmp_err_convert), net/ipv6/icmp.c (tab_unreach, icmpv6_err_convert), tcp_ipv4.c
(tcp_v4_err), udp.c (udp_err), ping.c (ping_err), net/sctp/input.c (sctp_v4_err), net/ipv4/route.c and
net/ipv6/route.c (ip6_rt_type_to_error).
"""

from __future__ import annotations

from typing import NamedTuple

from skoopctl.dataplane.packet import Unreachable
from skoopctl.dataplane.trace import Disposition, Outcome


class Seen(NamedTuple):
    """An outcome with the errno that the program gets ('' where it gets none)."""

    outcome: Outcome
    errno: str = ""


TIMEOUT = Seen(Outcome.TIMEOUT)
CONNECTED = Seen(Outcome.CONNECTED)
UNDECIDED = Seen(Outcome.UNKNOWN)
REFUSED = Seen(Outcome.REFUSED, "ECONNREFUSED")
NO_SOURCE = Seen(Outcome.UNREACHABLE, "EADDRNOTAVAIL")

_ERRNO = {
    4: {
        Unreachable.NET: "ENETUNREACH",
        Unreachable.HOST: "EHOSTUNREACH",
        Unreachable.PROTO: "ENOPROTOOPT",
        Unreachable.PORT: "ECONNREFUSED",
        Unreachable.NET_PROHIBITED: "ENETUNREACH",
        Unreachable.HOST_PROHIBITED: "EHOSTUNREACH",
        Unreachable.ADMIN_PROHIBITED: "EHOSTUNREACH",
        Unreachable.TIME_EXCEEDED: "EHOSTUNREACH",
    },
    6: {
        Unreachable.NET: "ENETUNREACH",
        Unreachable.ADMIN_PROHIBITED: "EACCES",
        Unreachable.BEYOND_SCOPE: "EHOSTUNREACH",
        Unreachable.HOST: "EHOSTUNREACH",
        Unreachable.PORT: "ECONNREFUSED",
        Unreachable.POLICY_FAIL: "EACCES",
        Unreachable.REJECT_ROUTE: "EACCES",
        Unreachable.PROTO: "EPROTO",
        Unreachable.TIME_EXCEEDED: "EHOSTUNREACH",
    },
}
# The errors that are not fatal in those tables: a connected UDP socket without IP_RECVERR is not told of them.
_SOFT = frozenset({Unreachable.NET, Unreachable.HOST, Unreachable.BEYOND_SCOPE, Unreachable.TIME_EXCEEDED})
_NO_ROUTE = {
    Disposition.NO_ROUTE: "ENETUNREACH",
    Disposition.HOST_UNREACHABLE: "EHOSTUNREACH",
    Disposition.REJECTED: "EACCES",
    Disposition.BLACKHOLE: "EINVAL",
}


def told(protocol: str, family: int, error: Unreachable) -> Seen:
    """Return what a program sees when an ICMP error about its packet has come back to its host."""
    errno = _ERRNO[family].get(error, "EACCES" if family == 6 else "EHOSTUNREACH")
    if protocol == "udp" and error in _SOFT:
        return TIMEOUT
    if protocol == "sctp" and error is not Unreachable.PROTO:
        # Kept as sk_err_soft: the association goes on with its retransmissions until it gives up.
        return TIMEOUT
    refused = errno == "ECONNREFUSED" and protocol != "icmp"
    return Seen(Outcome.REFUSED if refused else Outcome.UNREACHABLE, errno)


def not_sent(disposition: Disposition, error: Unreachable | None = None) -> Seen:
    """Return what connect() or send() says when its own routing lookup ends without a way.

    A policy rule of type unreachable is ENETUNREACH, a route of that type EHOSTUNREACH (fib4_rule_action).
    """
    errno = "ENETUNREACH" if error is Unreachable.NET else _NO_ROUTE.get(disposition, "")
    return Seen(Outcome.UNREACHABLE, errno)


def not_permitted(protocol: str, family: int) -> Seen | None:
    """Return what send() says when netfilter drops or rejects on the way out of the sender.

    The error of the OUTPUT hook is send()'s own, and comes before any ICMP error. TCP and SCTP take no notice of
    it, and neither does an IPv6 ping socket (ping_v6_sendmsg). None: the program is told nothing.
    """
    sends_itself = protocol == "udp" or (protocol == "icmp" and family == 4)
    return Seen(Outcome.UNREACHABLE, "EPERM") if sends_itself else None
