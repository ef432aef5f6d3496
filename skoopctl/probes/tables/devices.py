"""netdev and qdisc: what devices and their queues carried and dropped."""

from __future__ import annotations

from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import GAUGE, Reading, Row, readings

DEVICE_LABELS = ("k8s_node", "device")

NETDEV_READINGS: tuple[Reading, ...] = (
    *readings(
        "netdev",
        "net-dev",
        (
            Row("rxbytes", "Bytes received, over all devices but lo.", where="Receive bytes"),
            Row("rxerrors", "Packets received damaged, over all devices but lo.", where="Receive errs"),
            Row("txbytes", "Bytes sent, over all devices but lo.", where="Transmit bytes"),
            Row(
                "txerrors", "Packets that could not be sent, over all devices but lo.", where="Transmit errs"
            ),
            Row("rxpackets", "Packets received, over all devices but lo.", where="Receive packets"),
            Row("rxdropped", "Packets dropped on receipt, over all devices but lo.", where="Receive drop"),
            Row("txpackets", "Packets sent, over all devices but lo.", where="Transmit packets"),
            Row(
                "txdropped", "Packets dropped before sending, over all devices but lo.", where="Transmit drop"
            ),
        ),
    ),
    *readings(
        "device",
        "devices",
        tuple(
            Row(
                f"{side}-{what}",
                f"{help_text} by this device of the node.",
                name=f"skoopctl_device_{side}_{name}_total",
                where=f"{side.capitalize()} {what}",
                only="the node's own devices: no veth, dummy, ifb, tun or tap; at most 64",
            )
            for side, verb in (("receive", "received"), ("transmit", "sent"))
            for what, name, help_text in (
                ("bytes", "bytes", f"Bytes {verb}"),
                ("packets", "packets", f"Packets {verb}"),
                ("drop", "drops", f"Packets dropped when they should be {verb}"),
                ("errs", "errors", f"Packets {verb} with errors"),
            )
        ),
        labels=DEVICE_LABELS,
    ),
)

_ROOTS = "all devices but lo; KubeSkoop knows only eth*, and looks their indexes up in the wrong namespace"

QDISC_READINGS = readings(
    "qdisc",
    "qdisc",
    (
        Row("bytes", "Bytes sent through root qdiscs.", differs=_ROOTS, where="TCA_STATS_BASIC bytes"),
        Row("packets", "Packets sent through root qdiscs.", differs=_ROOTS, where="TCA_STATS_BASIC packets"),
        Row("drops", "Packets dropped by root qdiscs.", differs=_ROOTS, where="TCA_STATS_QUEUE drops"),
        Row("qlen", "Packets queued now.", GAUGE, differs=_ROOTS, where="TCA_STATS_QUEUE qlen"),
        Row("backlog", "Bytes queued now.", GAUGE, differs=_ROOTS, where="TCA_STATS_QUEUE backlog"),
        Row(
            "overlimits",
            "Packets that were held back or dropped by a limit.",
            differs=_ROOTS,
            where="TCA_STATS_QUEUE overlimits",
        ),
    ),
)

NETDEV = Probe(
    "netdev",
    "devices: bytes, packets, errors, drops",
    Scope.NAMESPACE,
    ("net-dev", "link"),
    tuple(reading.metric for reading in NETDEV_READINGS),
    "/proc/net/dev; RTM_GETLINK for the kinds of the node's devices",
    "one file and one dump a namespace, 0.08 ms; more where there are many devices",
    "root, to enter the pods' namespaces",
)
QDISC = Probe(
    "qdisc",
    "queueing: what waits, what was dropped",
    Scope.NAMESPACE,
    ("qdisc",),
    tuple(reading.metric for reading in QDISC_READINGS),
    "RTM_GETQDISC",
    "one dump a namespace, 0.03 ms",
    "root, to enter the pods' namespaces",
)
