"""softnet and ipvs: what the node has once, and no pod of its own."""

from __future__ import annotations

from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import Row, readings

_ONCE = "once, for the node; KubeSkoop repeats the node's number for every pod"

SOFTNET_READINGS = readings(
    "softnet",
    "softnet",
    (
        Row(
            "processed",
            "Packets taken off the CPUs' input queues.",
            differs=_ONCE,
            where="column 1, all CPUs",
        ),
        Row(
            "dropped",
            "Packets dropped because a CPU's input queue was full (netdev_max_backlog).",
            differs=_ONCE,
            where="column 2, all CPUs",
        ),
        Row(
            "squeezed",
            "Times that a CPU stopped with packets left, its budget used up (netdev_budget).",
            name="skoopctl_softnet_time_squeezed_total",
            where="column 3, all CPUs",
        ),
        Row(
            "flowlimited",
            "Packets dropped by the flow limit: one flow filled most of a CPU's queue.",
            name="skoopctl_softnet_flow_limited_total",
            where="column 11, all CPUs",
        ),
    ),
)

IPVS_READINGS = readings(
    "ipvs",
    "ipvs-stats",
    (
        Row("connections", "Connections that IPVS has scheduled.", where="Total Conns"),
        Row(
            "incomingpackets",
            "Packets from clients.",
            differs="KubeSkoop gives the bytes under this name",
            where="Incoming Packets",
        ),
        Row("outgoingbytes", "Bytes to clients.", where="Outgoing Bytes"),
        Row("incomingbytes", "Bytes from clients.", where="Incoming Bytes"),
        Row("outgoingpackets", "Packets to clients.", where="Outgoing Packets"),
    ),
)

SOFTNET = Probe(
    "softnet",
    "the CPUs' input queues: packets, drops, budgets used up",
    Scope.HOST,
    ("softnet",),
    tuple(reading.metric for reading in SOFTNET_READINGS),
    "/proc/net/softnet_stat",
    "one small file",
    "nothing: every user may read it",
)
IPVS = Probe(
    "ipvs",
    "IPVS: connections, packets and bytes of all services together",
    Scope.HOST,
    ("ipvs-stats",),
    tuple(reading.metric for reading in IPVS_READINGS),
    "/proc/net/ip_vs_stats",
    "one small file",
    "module ip_vs, loaded already: kube-proxy in mode ipvs does that",
)
