"""What the kernel tells by sockets, without eBPF."""

from __future__ import annotations

from skoopctl.bpf.metric import TUPLE_LABELS, EventMetric
from skoopctl.bpf.probe import BpfProbe, EventKind, Hook, Threshold

CONNTRACK = BpfProbe(
    name="conntrackevents",
    title="connections that conntrack begins, changes and ends, with both directions, NAT and state",
    hooks=(
        Hook(
            "entries of the table, and those that helpers expect",
            (),
            since="all; the module nf_conntrack_netlink has to be there",
            by="netlink: NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY, _EXP_NEW, _EXP_DESTROY",
        ),
    ),
    kinds=(
        EventKind(130, "conntrack-new", "ConntrackNew", "a connection was entered"),
        EventKind(131, "conntrack-update", "ConntrackUpdate", "its state or status changed"),
        EventKind(
            132, "conntrack-destroy", "ConntrackDestroy", "it was taken out: it timed out, or was deleted"
        ),
        EventKind(133, "expect-new", "ConntrackExpNew", "a helper expects a connection"),
        EventKind(134, "expect-destroy", "ConntrackExpDestroy", "it no longer expects it, or it came"),
    ),
    source="conntrack",
    backend="netlink",
)
DNS = BpfProbe(
    name="dns",
    title="DNS over UDP and TCP: queries that get an error, no such name, no answer, or an answer that takes long",
    hooks=(
        Hook(
            "queries and answers of each namespace",
            (),
            since="all; the module af_packet has to be there",
            by="packet socket, classic BPF: port 53",
        ),
    ),
    kinds=(
        EventKind(110, "dns-answer", "", "an answer came in time and without an error", sampled=False),
        EventKind(111, "dns-answer-slow", "", "an answer came without an error, after long"),
        EventKind(112, "dns-error", "", "an answer had a code other than NOERROR and NXDOMAIN"),
        EventKind(113, "dns-nxdomain", "", "there is no such name"),
        EventKind(114, "dns-timeout", "", "a query got no answer in time"),
    ),
    words=(
        *("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET"),
        *("NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "RCODE12", "RCODE13", "RCODE14", "RCODE15"),
        "NO_ANSWER",
    ),
    thresholds=(
        Threshold("slow", 100_000, "an answer is slow"),
        Threshold("timeout", 5_000_000, "a query is without an answer, since it was sent last"),
    ),
    histograms=(("answer", ""),),
    source="dns",
    backend="packet",
)
FLOW = BpfProbe(
    name="flow",
    title="bytes and packets of TCP connections, as their sockets count them",
    hooks=(
        Hook(
            "connections that are there, at the beginning and whenever counts are sent",
            (),
            since="all; the module tcp_diag has to be there; bytes to the last one since 4.19",
            by="netlink: sock_diag",
        ),
        Hook(
            "connections that end",
            (),
            since="4.3; before, what came after the last snapshot is not seen",
            by="netlink: SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY",
        ),
    ),
    kinds=(
        EventKind(120, "flow-sent", "", "what a socket sent to its peer", sampled=False),
        EventKind(
            121,
            "flow-received",
            "",
            "what a socket received from its peer, with the peer as source",
            sampled=False,
        ),
    ),
    metrics=(
        EventMetric("kubeskoop_flow_bytes", (120, 121), TUPLE_LABELS, of="bytes"),
        EventMetric("kubeskoop_flow_packets", (120, 121), TUPLE_LABELS, of="packets"),
    ),
    source="flow",
    backend="netlink",
)
