"""The dashboard of one pod."""

from __future__ import annotations

from docs.dashboards.network import ANY, WINDOW, Place, network, processes, tcp, tcpext, udp
from docs.dashboards.nodes import CLUSTER, LOSS
from docs.dashboards.parts import Board, Kind, Link, Panel, Query, Row, Variable, board_url

POD = 'cluster=~"$cluster",k8s_namespace="$namespace",k8s_pod="$pod"'
PLACE = Place(POD)
THERE = '{__name__=~"kubeskoop_netdev_rxbytes|kubeskoop_tcpsummary_tcpestablishedconn",k8s_pod!=""'


def _number(title: str, about: str, expr: str, unit: str, steps: tuple[tuple[float, str], ...]) -> Panel:
    return Panel(
        title,
        about,
        (Query(expr),),
        unit=unit,
        kind=Kind.NUMBER,
        steps=steps,
        width=5,
        height=4,
        empty="not known",
    )


GLANCE = Row(
    "At a glance",
    (
        Panel(
            "Node",
            "Where the pod runs; a click shows the node. Pods that share the node's network have series of "
            "TCP states and of processes only, because the kernel counts the rest per network namespace.",
            (
                Query(
                    f"count by (k8s_node) (kubeskoop_tcpsummary_tcpestablishedconn{{{POD}}})", "{{k8s_node}}"
                ),
            ),
            kind=Kind.NUMBER,
            width=4,
            height=4,
            names_only=True,
            empty="not known",
            links=(Link("This node", board_url("skoopctl-nodes", node="${__field.labels.k8s_node}")),),
        ),
        _number(
            "Segments sent again",
            "The share of the pod's segments that it sent again. Above 1 %, packets are lost on the way: "
            "`skoopctl diagnose -s pod/NAMESPACE/NAME -d …` shows the way.",
            f"sum(rate(kubeskoop_tcp_retranssegs{{{POD}}}[{WINDOW}]))"
            f" / (sum(rate(kubeskoop_tcp_outsegs{{{POD}}}[{WINDOW}])) > 0)",
            "percentunit",
            LOSS,
        ),
        _number(
            "Listen queue overflows",
            "Connections that found an accept queue of the pod full, a second.",
            f"sum(rate(kubeskoop_tcpext_listenoverflows{{{POD}}}[{WINDOW}]))",
            "cps",
            ANY,
        ),
        _number(
            "UDP receive buffers full",
            "Datagrams that found a socket's buffer of the pod full, a second.",
            f"sum(rate(kubeskoop_udp_rcvbuferrors{{{POD}}}[{WINDOW}]))",
            "pps",
            ANY,
        ),
        _number(
            "Device and queue drops",
            "Packets that the pod's devices or their queues dropped, a second.",
            " + ".join(
                f"sum(rate(kubeskoop_{metric}{{{POD}}}[{WINDOW}]))"
                for metric in ("netdev_rxdropped", "netdev_txdropped", "qdisc_drops")
            ),
            "pps",
            ANY,
        ),
    ),
)

BOARD = Board(
    "skoopctl-pods",
    "skoopctl / pods",
    "One pod's network: what it sends, what it lost, and where.",
    (
        CLUSTER,
        Variable("namespace", "k8s_namespace", THERE + ',cluster=~"$cluster"}', "Namespace"),
        Variable("pod", "k8s_pod", THERE + ',cluster=~"$cluster",k8s_namespace="$namespace"}', "Pod"),
    ),
    (GLANCE, network(PLACE), tcp(PLACE), tcpext(PLACE), udp(PLACE), processes(PLACE)),
)
