"""When what happened is worth a word: thresholds of events, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Severity
from skoopctl.events.reasons import drop_reason
from skoopctl.events.subjects import Subject
from skoopctl.probes.thresholds import THRESHOLDS, checked_thresholds


@dataclass(frozen=True, slots=True)
class EventThreshold:
    """From ``default`` on, ``finding`` is reported for the node or pod to which it happened.

    A row is about drops for a reason of its ``subject``, or about ``kinds`` of events. ``says`` is put behind the
    number: ``12 packets were dropped by rules``.
    """

    name: str
    finding: str
    default: float
    says: str
    per_second: bool = False
    subject: Subject | None = None
    kinds: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """How bad it is, where the reason does not say so."""
        return DOCS[self.finding].severity

    @property
    def unit(self) -> str:
        """What ``default`` counts."""
        return "a second" if self.per_second else "in all"

    def takes(self, kind: str, reason: str) -> bool:
        """Tell whether an event, or a count of events, is of this row. Noise is of none."""
        if self.subject is not None:
            known = drop_reason(reason)
            return kind == "packet-loss" and known.subject is self.subject and not known.noise
        return kind in self.kinds


_S = Subject


def _drops(
    name: str, subject: Subject, says: str, default: float = 1, *, per_second: bool = False
) -> EventThreshold:
    return EventThreshold(
        name, subject.value.finding, default, f"packets were dropped {says}", per_second, subject=subject
    )


def _events(
    name: str, finding: str, says: str, *kinds: str, default: float = 1, per_second: bool = False
) -> EventThreshold:
    return EventThreshold(name, finding, default, says, per_second, kinds=kinds)


EVENT_THRESHOLDS: Mapping[str, EventThreshold] = {
    each.name: each
    for each in (
        _drops("dropped-by-rules", _S.RULES, "by rules of netfilter"),
        _drops("dropped-no-socket", _S.NO_SOCKET, "as nobody listens"),
        _drops("dropped-socket-full", _S.SOCKET_FULL, "as sockets had no room"),
        _drops("dropped-no-route", _S.ROUTE, "as there was no route"),
        _drops("dropped-source-check", _S.SOURCE, "for their addresses"),
        _drops("dropped-no-neighbour", _S.NEIGHBOUR, "as the next hop has no MAC address"),
        _drops("dropped-checksum", _S.CHECKSUM, "for wrong checksums"),
        _drops("dropped-size", _S.SIZE, "as they did not fit, or came in pieces"),
        _drops("dropped-malformed", _S.MALFORMED, "as malformed"),
        _drops("dropped-queue-full", _S.QUEUE, "by full queues"),
        _drops("dropped-by-programs", _S.PROGRAM, "by programs, filters or security modules"),
        _drops("dropped-by-tcp", _S.TCP, "by TCP, as they did not fit", per_second=True),
        _drops("dropped-unauthenticated", _S.SECURITY, "for want of authentication"),
        _drops("dropped-by-tunnel", _S.TUNNEL, "by tunnels or bridges"),
        _drops("dropped-by-device", _S.DEVICE, "by devices"),
        _drops("dropped-no-memory", _S.MEMORY, "for want of memory"),
        _drops("dropped-unsaid", _S.UNSAID, "without a reason told", per_second=True),
        _events(
            "resets-no-socket", "reset-for-no-socket", "resets were sent for no socket", "reset-no-socket"
        ),
        _events(
            "resets-by-program",
            "reset-by-program",
            "connections were ended here by resets",
            "reset-active",
            per_second=True,
        ),
        _events(
            "resets-by-protocol",
            "reset-by-protocol",
            "segments that did not fit were answered with resets",
            "reset-process",
        ),
        _events(
            "resets-received",
            "reset-received",
            "connections were reset by the other side",
            "reset-received",
            per_second=True,
        ),
        _events(
            "segments-sent-again",
            "segments-retransmitted",
            "segments were sent again",
            "retransmit",
            "retransmit-synack",
            default=0.2,
            per_second=True,
        ),
        _events("connects-failed", "connects-failed", "connections failed", "connect-failed"),
        _events("connects-abandoned", "connects-abandoned", "connections were given up", "connect-abandoned"),
        _events("connects-slow", "connects-slow", "connections took long to be made", "connect-slow"),
        _events(
            "softirqs-slow",
            "softirq-slow",
            "softirqs waited or ran long",
            "softirq-wait-slow",
            "softirq-run-slow",
            "softirq-wait-very-slow",
            "softirq-run-very-slow",
            default=0.5,
            per_second=True,
        ),
        _events(
            "transmits-slow",
            "transmit-slow",
            "packets left slowly",
            "transmit-qdisc-slow",
            "transmit-driver-slow",
        ),
        _events(
            "cpu-waits",
            "cpu-wait-slow",
            "times tasks waited long for a CPU",
            "runqueue-slow",
            default=0.5,
            per_second=True,
        ),
        _events(
            "block-requests-slow",
            "block-io-slow",
            "requests to block devices took long",
            "block-slow",
            default=1,
            per_second=True,
        ),
        _events(
            "kernel-paths-slow",
            "kernel-path-slow",
            "packets were long on their way through the kernel",
            "receive-very-slow",
            "send-very-slow",
            default=0.1,
            per_second=True,
        ),
        _events(
            "sockets-slow",
            "socket-slow",
            "times data waited long in a socket",
            "read-very-slow",
            "write-very-slow",
            default=0.5,
            per_second=True,
        ),
        _events(
            "nic-commands-slow",
            "nic-command-slow",
            "commands to a virtual network card took long",
            "virtio-command-slow",
            "virtio-command-very-slow",
        ),
        _events("dns-failures", "dns-failing", "DNS questions failed", "dns-timeout", "dns-error"),
        _events("dns-answers-slow", "dns-slow", "DNS answers took long", "dns-answer-slow"),
    )
}
"""All thresholds of events by their names, which people use to set others; no name is one of the metrics'."""

QUIET = {
    **dict.fromkeys(
        ("read-slow", "write-slow", "receive-slow", "send-slow"), "counted; the very slow ones tell"
    ),
    **dict.fromkeys(("conntrack-new", "conntrack-update", "conntrack-destroy"), "what conntrack is for"),
    **dict.fromkeys(("expect-new", "expect-destroy"), "what conntrack's helpers are for"),
    **dict.fromkeys(("dns-answer", "flow-sent", "flow-received"), "counted"),
    "dns-nxdomain": "the search list of a pod asks for names that do not exist",
    "retransmit-probe": "TLP sends its probe where all is well, too",
    "reset-sent": "counters do not tell why; the finding tcp-resets is of metrics",
}
"""Kinds that make no finding, and why."""


def split_thresholds(given: Mapping[str, float]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return thresholds that people set: those of metrics, and those of events.

    Raises UsageError for a name that neither has, or a number below 0.
    """
    checked_thresholds(given, (*THRESHOLDS, *EVENT_THRESHOLDS))
    metrics = {name: number for name, number in given.items() if name in THRESHOLDS}
    events = {name: number for name, number in given.items() if name in EVENT_THRESHOLDS}
    return metrics, events
