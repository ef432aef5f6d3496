"""The dashboard of one node: itself, and its pods as far as they are in trouble."""

from __future__ import annotations

from docs.dashboards.network import ANY, WINDOW, Place, network, processes, tcp, tcpext, udp
from docs.dashboards.parts import NOTE, WRONG, Board, Kind, Link, Panel, Query, Row, Variable, board_url

NODE = 'cluster=~"$cluster",k8s_node="$node"'
OWN = f'{NODE},k8s_pod=""'
PODS = f'{NODE},k8s_pod!=""'
PLACE = Place(OWN, PODS, "node")
LOSS = ((0.01, NOTE), (0.05, WRONG))
FULL = ((0.75, NOTE), (0.9, WRONG))
CLUSTER = Variable("cluster", "cluster", "kubeskoop_netdev_rxbytes", "Cluster", all=True)
TO_ROW = Link(
    "This pod",
    board_url("skoopctl-pods", namespace="${__data.fields.namespace}", pod="${__data.fields.pod}"),
    column="pod",
)


def _summed(metric: str) -> str:
    return f"sum(rate({metric}{{{NODE}}}[{WINDOW}]))"


def _number(title: str, about: str, expr: str, unit: str, steps: tuple[tuple[float, str], ...]) -> Panel:
    return Panel(
        title,
        about,
        (Query(expr),),
        unit=unit,
        kind=Kind.NUMBER,
        steps=steps,
        width=4,
        height=4,
        empty="not known",
    )


GLANCE = Row(
    "At a glance",
    (
        _number(
            "Segments sent again",
            "The share of all segments that the node and its pods sent again. Above 1 %, packets are lost "
            "on the way: see TCP below, then the pods in trouble.",
            f"{_summed('kubeskoop_tcp_retranssegs')} / ({_summed('kubeskoop_tcp_outsegs')} > 0)",
            "percentunit",
            LOSS,
        ),
        _number(
            "Listen queue overflows",
            "Connections that found an accept queue full, a second, on the node and in its pods.",
            _summed("kubeskoop_tcpext_listenoverflows"),
            "cps",
            ANY,
        ),
        _number(
            "UDP receive buffers full",
            "Datagrams that found a socket's buffer full, a second, on the node and in its pods.",
            _summed("kubeskoop_udp_rcvbuferrors"),
            "pps",
            ANY,
        ),
        _number(
            "Device and queue drops",
            "Packets that devices or queueing disciplines dropped, a second, on the node and in its pods.",
            " + ".join(
                _summed(f"kubeskoop_{metric}")
                for metric in ("netdev_rxdropped", "netdev_txdropped", "qdisc_drops")
            ),
            "pps",
            ANY,
        ),
        _number(
            "Conntrack table",
            "How full the node's table of connections is. When it is full, new connections are dropped: "
            "`net.netfilter.nf_conntrack_max` makes it larger, shorter timeouts make it emptier.",
            f"max(kubeskoop_conntrack_entries{{{OWN}}} / (kubeskoop_conntrack_maxentries{{{OWN}}} > 0))",
            "percentunit",
            FULL,
        ),
        _number(
            "Dropped before the stack",
            "Packets that a CPU's backlog could not hold, a second: net.core.netdev_max_backlog is too "
            "small, or one CPU takes all interrupts.",
            f"sum(rate(kubeskoop_softnet_dropped{{{OWN}}}[{WINDOW}]))",
            "pps",
            ANY,
        ),
    ),
)


def _trouble(expr: str, head: str, unit: str, steps: tuple[tuple[float, str], ...]) -> Query:
    return Query(f"topk(15, {expr} > 0)", head, unit, steps)


def _pod_rate(metric: str) -> str:
    return f"sum by (k8s_namespace, k8s_pod) (rate({metric}{{{PODS}}}[{WINDOW}]))"


TROUBLE = Row(
    "Pods in trouble",
    (
        Panel(
            "Pods in trouble",
            "Pods of this node that lose something, each column a second but the first: the share of "
            "segments sent again, overflows of listen queues, full UDP buffers, drops of devices. A click "
            "on a pod shows it alone. An empty table is good news.",
            (
                _trouble(
                    f"{_pod_rate('kubeskoop_tcp_retranssegs')} / ({_pod_rate('kubeskoop_tcp_outsegs')} > 0)",
                    "sent again",
                    "percentunit",
                    LOSS,
                ),
                _trouble(_pod_rate("kubeskoop_tcpext_listenoverflows"), "listen overflows", "cps", ANY),
                _trouble(_pod_rate("kubeskoop_udp_rcvbuferrors"), "UDP buffer full", "pps", ANY),
                _trouble(
                    f"{_pod_rate('kubeskoop_netdev_rxdropped')} + {_pod_rate('kubeskoop_netdev_txdropped')}",
                    "device drops",
                    "pps",
                    ANY,
                ),
            ),
            kind=Kind.TABLE,
            width=24,
            columns=(("k8s_namespace", "namespace"), ("k8s_pod", "pod")),
            sort="sent again",
            links=(TO_ROW,),
            empty="no pod of this node loses anything",
        ),
    ),
)

CONNTRACK = Row(
    "Conntrack",
    (
        Panel(
            "Conntrack entries",
            "Connections that the node's own table holds, and how many fit. Pods have tables of their own, "
            "which are small; what passes the node is counted here.",
            (
                PLACE.now("kubeskoop_conntrack_entries", "entries"),
                PLACE.now("kubeskoop_conntrack_maxentries", "limit"),
            ),
        ),
        Panel(
            "Conntrack drops",
            "What conntrack did not take, a second. Insert failed: two packets of one flow raced, or the "
            "table is full; with UDP DNS it is the well-known lost answer. Early drop: the table is full "
            "and others had to go.",
            tuple(
                PLACE.rate(f"kubeskoop_conntrack_{metric}", legend)
                for metric, legend in (
                    ("insertfailed", "insert failed"),
                    ("drop", "dropped"),
                    ("earlydrop", "early drop"),
                    ("invalid", "invalid"),
                )
            ),
            unit="pps",
        ),
        Panel(
            "Conntrack searches again",
            "Lookups that had to begin anew because the table was resized or an entry moved, a second. "
            "Many: the table has too few buckets for its entries.",
            (PLACE.rate("kubeskoop_conntrack_searchrestart", "search restarts"),),
            unit="ops",
        ),
    ),
)

QUEUES = Row(
    "Queues of the node",
    (
        Panel(
            "Softnet",
            "Packets that CPUs took from devices, a second; for the node as a whole, because CPUs belong to no pod.",
            (
                PLACE.rate("kubeskoop_softnet_processed", "processed"),
                PLACE.rate("kubeskoop_softnet_dropped", "dropped"),
            ),
            unit="pps",
        ),
        Panel(
            "Queueing discipline drops",
            "Packets that a queue in front of a device dropped, or held back for its limit, a second.",
            (
                PLACE.rate("kubeskoop_qdisc_drops", "drops"),
                PLACE.rate("kubeskoop_qdisc_overlimits", "over limits"),
            ),
            unit="pps",
        ),
        Panel(
            "Queueing discipline backlog",
            "Bytes that wait in front of devices. A backlog that stays is a device slower than what is sent to it.",
            (PLACE.now("kubeskoop_qdisc_backlog", "backlog"),),
            unit="bytes",
        ),
    ),
)

_DEVICE = f'{{cluster=~"$cluster",k8s_node="$node"}}[{WINDOW}]'


def _device(what: str, name: str) -> Query:
    return Query(f"rate(skoopctl_device_{name}_total{_DEVICE})", f"{{{{device}}}} {what}")


DEVICES = Row(
    "Devices of the node",
    (
        Panel(
            "Bytes by device",
            "Bytes of each device of the node itself, those of pods left out, a second: what really goes through the "
            "network card, and what goes through the tunnel.",
            (_device("in", "receive_bytes"), _device("out", "transmit_bytes")),
            unit="Bps",
        ),
        Panel(
            "Drops by device",
            "Packets that each device dropped, a second: which one of them it is.",
            (_device("in", "receive_drops"), _device("out", "transmit_drops")),
            unit="pps",
            steps=ANY,
        ),
        Panel(
            "CPUs out of budget",
            "Times a second that a CPU stopped taking packets with some left (net.core.netdev_budget), and packets "
            "dropped because one flow filled most of a CPU's queue.",
            (
                PLACE.rate("skoopctl_softnet_time_squeezed_total", "squeezed"),
                PLACE.rate("skoopctl_softnet_flow_limited_total", "flow limited"),
            ),
            unit="ops",
        ),
    ),
)

PACKET_LOSS = Row(
    "Packet loss (with the eBPF probes)",
    (
        Panel(
            "Packet abnormal loss",
            "Packets that the kernel freed without delivering them, a second. It has data where push has the "
            "event probe packetloss; the dashboard of events has the reasons.",
            (Query(f"sum(rate(kubeskoop_packetloss_total{{{NODE}}}[{WINDOW}]))", "lost"),),
            unit="pps",
            width=24,
            empty="push has no event probe packetloss",
            links=(Link("The events of this node", board_url("skoopctl-events", node="$node")),),
        ),
    ),
    collapsed=True,
)

_RDMA = (
    ("RDMA Devices RX Bytes Rate", "Bps", ("rx_bytes_cnt",), "Bytes that RDMA devices received, a second."),
    ("RDMA Devices TX Bytes Rate", "Bps", ("tx_bytes_cnt",), "Bytes that RDMA devices sent, a second."),
    (
        "RDMA Devices RX Packets Rate",
        "pps",
        ("rx_packets_cnt",),
        "Packets that RDMA devices received, a second.",
    ),
    ("RDMA Devices TX Packets Rate", "pps", ("tx_packets_cnt",), "Packets that RDMA devices sent, a second."),
    (
        "RDMA Devices TX Packets Drop Rate",
        "pps",
        ("bps_limit_drop_cnt", "pps_limit_drop_cnt"),
        "Packets that were not sent because the instance's limit of bytes or packets was reached, a second.",
    ),
    (
        "RDMA Devices RX Packets Drop Rate",
        "pps",
        ("rx_bps_limit_drop_cnt", "rx_pps_limit_drop_cnt"),
        "Packets that were not received because the instance's limit of bytes or packets was reached, a second.",
    ),
)


def _rdma() -> Row:
    panels = [
        Panel(
            title,
            about,
            tuple(
                Query(
                    f"rate(kubeskoop_rdma_erdma_hw_{metric}{{{NODE}}}[{WINDOW}])",
                    "{{device}}/{{port}}"
                    + (f" {metric.removesuffix('_drop_cnt')}" if "drop" in metric else ""),
                )
                for metric in metrics
            ),
            unit=unit,
            width=6,
            steps=ANY if "drop" in metrics[0] else (),
        )
        for title, unit, metrics, about in _RDMA
    ]
    panels += [
        Panel(
            f"RDMA {name} Count", about, (Query(f"kubeskoop_rdma_{metric}{{{NODE}}}", "{{device}}"),), width=6
        )
        for name, metric, about in (
            ("QPs", "qp", "Queue pairs that exist: about one for each connection."),
            ("MRs", "mr", "Memory regions that are registered."),
        )
    ]
    return Row("RDMA", tuple(panels), collapsed=True)


BOARD = Board(
    "skoopctl-nodes",
    "skoopctl / nodes",
    "One node's network: what it lost, where, and which of its pods are in trouble.",
    (
        CLUSTER,
        Variable("node", "k8s_node", 'kubeskoop_netdev_rxbytes{cluster=~"$cluster"}', "Node"),
    ),
    (
        GLANCE,
        TROUBLE,
        network(PLACE),
        tcp(PLACE),
        tcpext(PLACE),
        udp(PLACE),
        CONNTRACK,
        QUEUES,
        DEVICES,
        processes(PLACE),
        PACKET_LOSS,
        _rdma(),
    ),
)
