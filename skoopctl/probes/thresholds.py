"""When a number is worth a word: thresholds, as data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Severity
from skoopctl.errors import UsageError


class Compared(StrEnum):
    """What of a threshold's metrics is compared with it."""

    GROWTH = "how much they grew"
    PER_SECOND = "how much they grew, per second"
    SHARE = "how much they grew, as a part of how much others grew"
    VALUE = "what they are now"
    USED = "what they are now, as a part of what others are"


@dataclass(frozen=True, slots=True)
class Threshold:
    """From ``default`` on, ``finding`` is reported, for the node or the pod whose metrics these are.

    ``metrics`` are added up, and so are those of ``of`` for parts; with less than ``least`` of these, a part says
    nothing. ``says`` is put behind the number: ``of 1,200 segments were sent again``, with ``{of}`` for the sum of
    ``of``.
    """

    name: str
    finding: str
    compared: Compared
    metrics: tuple[str, ...]
    default: float
    unit: str
    says: str
    of: tuple[str, ...] = ()
    least: float = 0

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return DOCS[self.finding].severity


def _named(probe: str, *names: str) -> tuple[str, ...]:
    return tuple(f"kubeskoop_{probe}_{name}" for name in names)


_GROWTH, _PER_SECOND, _SHARE = Compared.GROWTH, Compared.PER_SECOND, Compared.SHARE
_VALUE, _USED = Compared.VALUE, Compared.USED

THRESHOLDS: Mapping[str, Threshold] = {
    each.name: each
    for each in (
        Threshold(
            "tcp-retransmit-rate",
            "tcp-retransmissions",
            _SHARE,
            _named("tcp", "retranssegs"),
            0.01,
            "of the segments sent",
            "of {of} TCP segments were sent again",
            of=_named("tcp", "outsegs"),
            least=100,
        ),
        Threshold(
            "syn-retransmits",
            "tcp-syn-retransmissions",
            _PER_SECOND,
            _named("tcpext", "tcpsynretrans"),
            0.2,
            "a second",
            "SYNs were sent again",
        ),
        Threshold(
            "listen-overflows",
            "tcp-listen-overflow",
            _GROWTH,
            _named("tcpext", "listenoverflows"),
            1,
            "handshakes",
            "handshakes were dropped: an accept queue was full",
        ),
        Threshold(
            "request-queue-full",
            "tcp-request-queue-full",
            _GROWTH,
            ("skoopctl_tcp_request_queue_full_drops_total", "skoopctl_tcp_request_queue_full_cookies_total"),
            1,
            "SYNs",
            "SYNs found the queue of half-open connections full",
        ),
        Threshold(
            "resets",
            "tcp-resets",
            _PER_SECOND,
            _named("tcp", "outrsts"),
            10,
            "a second",
            "resets were sent",
        ),
        Threshold(
            "connect-failures",
            "tcp-connect-failures",
            _SHARE,
            _named("tcp", "attemptfails"),
            0.1,
            "of the connections begun",
            "of {of} connections failed before they were established",
            of=_named("tcp", "activeopens", "passiveopens"),
            least=20,
        ),
        Threshold(
            "receive-drops",
            "tcp-receive-drops",
            _GROWTH,
            _named("tcpext", "tcpbacklogdrop", "tcprcvqdrop", "tcpzerowindowdrop"),
            1,
            "segments",
            "TCP segments arrived and were dropped: the socket had no room",
        ),
        Threshold(
            "memory-pressure",
            "tcp-memory-pressure",
            _GROWTH,
            _named("tcpext", "tcpmemorypressures", "tcpabortonmemory", "pfmemallocdrop"),
            1,
            "times",
            "times TCP was short of memory",
        ),
        Threshold(
            "close-wait",
            "tcp-close-wait",
            _VALUE,
            _named("tcpsummary", "tcpclosewaitconn"),
            100,
            "connections",
            "connections are in CLOSE_WAIT",
        ),
        Threshold(
            "udp-receive-buffer",
            "udp-receive-buffer-full",
            _GROWTH,
            _named("udp", "rcvbuferrors"),
            1,
            "datagrams",
            "UDP datagrams were dropped: a receive buffer was full",
        ),
        Threshold(
            "udp-send-buffer",
            "udp-send-buffer-full",
            _GROWTH,
            _named("udp", "sndbuferrors"),
            1,
            "datagrams",
            "UDP datagrams were not sent: a send buffer was full",
        ),
        Threshold(
            "udp-no-listener",
            "udp-no-listener",
            _PER_SECOND,
            _named("udp", "noports"),
            1,
            "a second",
            "UDP datagrams came for ports on which nobody listens",
        ),
        Threshold(
            "softnet-drops",
            "softnet-drops",
            _GROWTH,
            _named("softnet", "dropped"),
            1,
            "packets",
            "packets were dropped: a CPU's input queue was full",
        ),
        Threshold(
            "softnet-squeezed",
            "softnet-squeezed",
            _PER_SECOND,
            ("skoopctl_softnet_time_squeezed_total",),
            10,
            "a second",
            "times a CPU stopped receiving with packets left",
        ),
        Threshold(
            "device-drops",
            "netdev-drops",
            _PER_SECOND,
            _named("netdev", "rxdropped", "txdropped"),
            1,
            "a second",
            "packets were dropped by devices",
        ),
        Threshold(
            "device-errors",
            "netdev-errors",
            _GROWTH,
            _named("netdev", "rxerrors", "txerrors"),
            1,
            "packets",
            "errors were counted by devices",
        ),
        Threshold(
            "qdisc-drops",
            "qdisc-drops",
            _GROWTH,
            _named("qdisc", "drops"),
            1,
            "packets",
            "packets were dropped by queueing disciplines",
        ),
        Threshold(
            "qdisc-backlog",
            "qdisc-backlog",
            _VALUE,
            _named("qdisc", "backlog"),
            1 << 20,
            "bytes",
            "bytes wait to be sent",
        ),
        Threshold(
            "qdisc-overlimits",
            "qdisc-overlimits",
            _PER_SECOND,
            _named("qdisc", "overlimits"),
            100,
            "a second",
            "times a packet had to wait for a limit of bandwidth",
        ),
        Threshold(
            "conntrack-insert-failed",
            "conntrack-insert-failed",
            _GROWTH,
            _named("conntrack", "insertfailed"),
            1,
            "packets",
            "packets were dropped: conntrack had an entry like theirs",
        ),
        Threshold(
            "conntrack-drops",
            "conntrack-drops",
            _GROWTH,
            _named("conntrack", "drop", "earlydrop"),
            1,
            "entries",
            "connections were dropped by conntrack, or thrown out of its table",
        ),
        Threshold(
            "conntrack-usage",
            "conntrack-table-filling",
            _USED,
            _named("conntrack", "entries"),
            0.8,
            "of nf_conntrack_max",
            "of {of} entries of conntrack's table are used",
            of=_named("conntrack", "maxentries"),
        ),
        Threshold(
            "reassembly-failures",
            "ip-reassembly-failures",
            _GROWTH,
            _named("ip", "reasmfails"),
            1,
            "failures",
            "times fragments could not be put together",
        ),
        Threshold(
            "fragmentation-needed",
            "ip-fragmentation-needed",
            _GROWTH,
            _named("ip", "fragfails"),
            1,
            "packets",
            "packets were too large for their device, and might not be cut",
        ),
        Threshold(
            "no-route",
            "ip-no-route-out",
            _GROWTH,
            _named("ip", "outnoroutes"),
            1,
            "packets",
            "packets had no route",
        ),
        Threshold(
            "reverse-path-drops",
            "reverse-path-drops",
            _GROWTH,
            ("skoopctl_ip_reverse_path_drops_total",),
            1,
            "packets",
            "packets were dropped by the reverse path filter",
        ),
    )
}
"""All thresholds by their names, which people use to set others."""


def checked_thresholds(
    given: Mapping[str, float], known: Collection[str] = THRESHOLDS.keys()
) -> Mapping[str, float]:
    """Return thresholds that people set. Raises UsageError for a name that is not there, or a number below 0."""
    for name, number in given.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"there is no threshold {name!r}", hint=hint)
        if not number >= 0:
            raise UsageError(f"threshold {name}: {number} is below 0", hint="give 0 or more")
    return given
