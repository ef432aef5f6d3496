"""conntrack: what connection tracking found, refused and lost, and how full its table is."""

from __future__ import annotations

from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import GAUGE, Row, readings

_EACH = "of each namespace; KubeSkoop has the node's only"

CONNTRACK_READINGS = readings(
    "conntrack",
    "conntrack",
    (
        Row("found", "Lookups that found a connection which a new one clashed with.", differs=_EACH),
        Row("invalid", "Packets that could be given to no connection (ctstate INVALID).", differs=_EACH),
        Row(
            "ignore",
            "Packets that were not looked up, for they were tracked or exempted already.",
            differs=_EACH,
            only="kernels before 5.10",
        ),
        Row(
            "insert",
            "Entries put into the table by hand or by another kernel's synchronisation.",
            differs=_EACH,
        ),
        Row("insertfailed", "New connections dropped because an equal entry was there.", differs=_EACH),
        Row(
            "drop",
            "New connections dropped because the table was full or their entry could not be made.",
            differs=_EACH,
        ),
        Row("earlydrop", "Entries thrown out to make room for new ones.", differs=_EACH),
        Row("error", "Packets dropped by a protocol's checks, ICMP errors above all.", differs=_EACH),
        Row("searchrestart", "Lookups begun anew because the table changed under them.", differs=_EACH),
        Row("entries", "Entries in the table now.", GAUGE, differs=_EACH),
        Row("maxentries", "Entries that the table may hold (nf_conntrack_max).", GAUGE, differs=_EACH),
        Row(
            "clash",
            "Clashes of two new connections that were resolved: neither was dropped.",
            name="skoopctl_conntrack_clash_resolved_total",
            only="kernels from 5.10 on",
        ),
        Row(
            "chaintoolong",
            "New connections dropped because their hash bucket was too long.",
            name="skoopctl_conntrack_chain_too_long_total",
            only="kernels from 5.15 on",
        ),
    ),
)

CONNTRACK = Probe(
    "conntrack",
    "connection tracking: entries, drops, failed inserts",
    Scope.NAMESPACE,
    ("conntrack-stats", "conntrack-proc", "conntrack-count"),
    tuple(reading.metric for reading in CONNTRACK_READINGS),
    "nfnetlink (IPCTNL_MSG_CT_GET_STATS_CPU, IPCTNL_MSG_CT_GET_STATS), or /proc/net/stat/nf_conntrack",
    "one dump and two numbers a namespace, 0.05 ms; 100 bytes a CPU",
    "root; module nf_conntrack, loaded already",
)
